// SPDX-License-Identifier: Apache-2.0
// Between a client and a PostgreSQL: keeps the server's answers back until the client has said so
// much. Whoever waits for an answer before he asks on, waits for ever.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>

#include "base/fd.h"

namespace lagwatch::postgres_server {

class Relay {
 public:
  // Listens in `directory`, for one connection, and hands on to the socket `server`.
  Relay(const std::string& directory, std::string server) : server_(std::move(server)) {
    listener_.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un address = named(directory + "/.s.PGSQL.5432");
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
              0);
    EXPECT_EQ(listen(listener_.get(), 1), 0);
    thread_ = std::thread([this] { run(); });
  }
  ~Relay() {
    end_ = true;
    thread_.join();
  }

  // From now on nothing of the server's gets through before the client has sent `count` Syncs.
  void hold_until_syncs(int count) {
    syncs_ = 0;
    hold_ = count;
  }
  int syncs() const { return syncs_; }

 private:
  static sockaddr_un named(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    return address;
  }

  bool wait(int fd) const {
    while (!end_) {
      pollfd one{fd, POLLIN, 0};
      if (poll(&one, 1, 5) > 0) return true;
    }
    return false;
  }

  void run() {
    if (!wait(listener_.get())) return;
    client_.reset(accept(listener_.get(), nullptr, nullptr));
    peer_.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un address = named(server_);
    connect(peer_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    while (!end_) {
      const bool held = syncs_ < hold_;
      pollfd both[] = {{client_.get(), POLLIN, 0},
                       {peer_.get(), static_cast<int16_t>(held ? 0 : POLLIN), 0}};
      if (poll(both, 2, 5) <= 0) continue;
      if (both[0].revents != 0 && !hand_on(client_.get(), peer_.get(), true)) return;
      if (!held && both[1].revents != 0 && !hand_on(peer_.get(), client_.get(), false)) return;
    }
  }

  bool hand_on(int from, int to, bool count) {
    char bytes[8192];
    const ssize_t size = read(from, bytes, sizeof bytes);
    if (size <= 0) return false;
    if (count) count_syncs(std::string_view(bytes, static_cast<size_t>(size)));
    return ::write(to, bytes, static_cast<size_t>(size)) == size;
  }

  // Frontend messages: a letter, four bytes of length (itself included), the rest. The first has no
  // letter.
  void count_syncs(std::string_view bytes) {
    said_.append(bytes);
    while (true) {
      const size_t letter = first_ ? 0 : 1;
      if (said_.size() < letter + 4) return;
      uint32_t length = 0;
      for (size_t i = 0; i < 4; ++i)
        length = (length << 8U) | static_cast<unsigned char>(said_[letter + i]);
      if (said_.size() < letter + length) return;
      if (!first_ && said_[0] == 'S') ++syncs_;
      first_ = false;
      said_.erase(0, letter + length);
    }
  }

  const std::string server_;
  UniqueFd listener_;
  UniqueFd client_;
  UniqueFd peer_;
  std::string said_;
  bool first_ = true;
  std::atomic<int> syncs_{0};
  std::atomic<int> hold_{0};
  std::atomic<bool> end_{false};
  std::thread thread_;
};

}  // namespace lagwatch::postgres_server
