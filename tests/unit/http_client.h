// SPDX-License-Identifier: Apache-2.0
// An HTTP client of plain sockets for tests of the server: it can also be silent, slow or rude.
#pragma once

#include <arpa/inet.h>
#include <dirent.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"

namespace lagwatch::testing {

using namespace std::chrono_literals;

// Generous: what is waited for comes in milliseconds, but not on a busy machine under a sanitizer.
constexpr Duration kPatience = 20s;

inline Instant steady_now() { return std::chrono::steady_clock::now(); }

// Lets time pass. No test is right only because of it.
inline void pause_for(std::chrono::milliseconds time) {
  poll(nullptr, 0, static_cast<int>(time.count()));
}

// Looks until `condition` holds; false where it did not within the patience.
inline bool eventually(const std::function<bool()>& condition, Duration patience = kPatience) {
  const Instant until = steady_now() + patience;
  while (!condition()) {
    if (steady_now() > until) return false;
    pause_for(1ms);
  }
  return true;
}

inline size_t open_descriptors() {
  size_t count = 0;
  DIR* dir = opendir("/proc/self/fd");
  while (readdir(dir) != nullptr) ++count;
  closedir(dir);
  return count;
}

struct Reply {
  int status = 0;  // 0: the connection ended or stood still before there was a whole answer
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // unchunked
  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

// One connection. Reads wait `kPatience` at most.
class Client {
 public:
  // "127.0.0.1:80" or "[::1]:80".
  explicit Client(const std::string& address) : Client(address, UniqueFd()) {}
  // On a socket made before, for when there are no descriptors left.
  Client(const std::string& address, UniqueFd fd) : fd_(std::move(fd)) {
    const size_t colon = address.rfind(':');
    const std::string host = address.substr(0, colon);
    const uint16_t port =
        parse_number<uint16_t>(std::string_view(address).substr(colon + 1)).value();
    sockaddr_in6 v6{};
    sockaddr_in v4{};
    const bool is_v6 = host.front() == '[';
    if (is_v6) {
      v6.sin6_family = AF_INET6;
      v6.sin6_port = htons(port);
      inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6.sin6_addr);
    } else {
      v4.sin_family = AF_INET;
      v4.sin_port = htons(port);
      inet_pton(AF_INET, host.c_str(), &v4.sin_addr);
    }
    if (!fd_) fd_.reset(socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    connected_ =
        connect(fd_.get(),
                is_v6 ? reinterpret_cast<sockaddr*>(&v6) : reinterpret_cast<sockaddr*>(&v4),
                is_v6 ? sizeof v6 : sizeof v4) == 0;
  }

  bool connected() const { return connected_; }
  int fd() const { return fd_.get(); }
  void close() { fd_.reset(); }

  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  Reply get(const std::string& target) { return request("GET", target); }
  Reply request(const std::string& method, const std::string& target,
                const std::string& headers = "", const std::string& body = "") {
    send(method + " " + target + " HTTP/1.1\r\nHost: test\r\n" + headers + "\r\n" + body);
    return read_reply(method == "HEAD");
  }

  Reply read_reply(bool head = false) {
    Reply reply;
    const std::string top = take_until("\r\n\r\n");
    if (top.size() < 12 || top.substr(0, 5) != "HTTP/") return reply;
    parse_headers(top, reply);
    const int status = parse_number<int>(std::string_view(top).substr(9, 3)).value_or(0);
    if (head || take_body(reply)) reply.status = status;
    return reply;
  }

  // All up to the end of the connection.
  std::string read_rest() {
    const Instant until = steady_now() + kPatience;
    while (read_some(until)) continue;
    return std::exchange(buffer_, "");
  }

  // Whether the other side has closed, or does so within the patience. What it sent before is
  // dropped.
  bool closed(Duration patience = kPatience) {
    const Instant until = steady_now() + patience;
    while (read_some(until)) buffer_.clear();
    return ended_;
  }
  // Whether it has by now.
  bool closed_now() {
    char byte = 0;
    const ssize_t got = recv(fd_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN);
  }

 private:
  bool read_some(Instant until) {
    pollfd wanted{fd_.get(), POLLIN, 0};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - steady_now()).count();
    if (poll(&wanted, 1, static_cast<int>(std::max<int64_t>(left, 0))) <= 0) return false;
    char bytes[65536];
    const ssize_t got = recv(fd_.get(), bytes, sizeof bytes, 0);
    ended_ = got <= 0;
    if (got > 0) buffer_.append(bytes, static_cast<size_t>(got));
    return got > 0;
  }

  std::string take(size_t size) {
    const Instant until = steady_now() + kPatience;
    while (buffer_.size() < size && read_some(until)) continue;
    if (buffer_.size() < size) return "";
    std::string out = buffer_.substr(0, size);
    buffer_.erase(0, size);
    return out;
  }

  std::string take_until(std::string_view mark) {
    const Instant until = steady_now() + kPatience;
    size_t at = 0;
    while ((at = buffer_.find(mark)) == std::string::npos && read_some(until)) continue;
    return at == std::string::npos ? "" : take(at + mark.size());
  }

  static void parse_headers(std::string_view top, Reply& reply) {
    for (size_t at = top.find("\r\n"); at + 4 < top.size();) {
      const size_t end = top.find("\r\n", at + 2);
      const std::string_view line = top.substr(at + 2, end - at - 2);
      const size_t colon = line.find(':');
      std::string name(line.substr(0, colon));
      std::transform(name.begin(), name.end(), name.begin(), ::tolower);
      reply.headers[name] = std::string(trim(line.substr(colon + 1)));
      at = end;
    }
  }

  bool take_body(Reply& reply) {
    if (reply.header("transfer-encoding") == "chunked") return take_chunks(reply);
    const auto length = reply.headers.find("content-length");
    if (length == reply.headers.end()) {
      reply.body = read_rest();
      return ended_;
    }
    const size_t size = parse_number<size_t>(length->second).value_or(0);
    reply.body = take(size);
    return reply.body.size() == size;
  }

  bool take_chunks(Reply& reply) {
    while (true) {
      const std::string line = take_until("\r\n");
      size_t size = 0;
      const auto parsed = std::from_chars(line.data(), line.data() + line.size(), size, 16);
      if (line.empty() || parsed.ec != std::errc()) return false;
      const std::string chunk = take(size + 2);
      if (chunk.size() != size + 2) return false;
      if (size == 0) return true;
      reply.body.append(chunk, 0, size);
    }
  }

  UniqueFd fd_;
  bool connected_ = false;
  bool ended_ = false;
  std::string buffer_;
};

}  // namespace lagwatch::testing
