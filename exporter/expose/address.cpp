// SPDX-License-Identifier: Apache-2.0
// Reads listen addresses, binds them, and says in the operator's words what stood in the way.
#include "expose/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "base/text.h"

namespace lagwatch {
namespace {

constexpr std::string_view kFlag = "--web.listen-address";
// Both families want the same free port: another process may take it on one of them in between.
constexpr int kFreePortTries = 16;

// An address to bind. sockaddr_in6 holds sockaddr_in too.
struct Endpoint {
  sockaddr_in6 storage{};
  int family = AF_INET;
  bool optional = false;  // fine without, where this host has no such family

  sockaddr* address() { return reinterpret_cast<sockaddr*>(&storage); }
  const sockaddr* address() const { return reinterpret_cast<const sockaddr*>(&storage); }
  socklen_t size() const { return family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6); }
};

Endpoint make_v4(in_addr host, uint16_t port) {
  Endpoint endpoint;
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_addr = host;
  v4.sin_port = htons(port);
  memcpy(&endpoint.storage, &v4, sizeof v4);
  return endpoint;
}

Endpoint make_v6(in6_addr host, uint16_t port) {
  Endpoint endpoint;
  endpoint.family = AF_INET6;
  endpoint.storage.sin6_family = AF_INET6;
  endpoint.storage.sin6_addr = host;
  endpoint.storage.sin6_port = htons(port);
  return endpoint;
}

std::vector<Endpoint> make_both(in6_addr v6, uint32_t v4, uint16_t port) {
  // IPv6 first: it may be missing, then IPv4 alone decides.
  Endpoint first = make_v6(v6, port);
  first.optional = true;
  return {first, make_v4({htonl(v4)}, port)};
}

// Nothing where `text` is no address.
std::optional<std::vector<Endpoint>> parse(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::optional<uint16_t> port = parse_number<uint16_t>(text.substr(colon + 1));
  if (!port) return std::nullopt;
  const std::string host(text.substr(0, colon));
  if (host.empty()) return make_both(in6addr_any, INADDR_ANY, *port);
  if (host == "localhost") return make_both(in6addr_loopback, INADDR_LOOPBACK, *port);
  in_addr v4{};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return {{make_v4(v4, *port)}};
  if (host.size() < 2 || host.front() != '[' || host.back() != ']') return std::nullopt;
  in6_addr v6{};
  if (inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6) != 1) return std::nullopt;
  return {{make_v6(v6, *port)}};
}

std::string format(const sockaddr& address) {
  char host[INET6_ADDRSTRLEN] = "?";
  if (address.sa_family == AF_INET) {
    sockaddr_in v4{};
    memcpy(&v4, &address, sizeof v4);
    inet_ntop(AF_INET, &v4.sin_addr, host, sizeof host);
    return std::string(host) + ":" + std::to_string(ntohs(v4.sin_port));
  }
  sockaddr_in6 v6{};
  memcpy(&v6, &address, sizeof v6);
  inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof host);
  return "[" + std::string(host) + "]:" + std::to_string(ntohs(v6.sin6_port));
}

uint16_t port_of(const Endpoint& endpoint) {
  // The port is at the same place in both families' addresses.
  return ntohs(endpoint.storage.sin6_port);
}

std::string fix_for(int error, const Endpoint& endpoint) {
  const std::string port = std::to_string(port_of(endpoint));
  switch (error) {
    case EADDRINUSE:
      return "Another process listens there: `ss -ltnp 'sport = :" + port +
             "'` names it. Stop it, or choose another port with " + std::string(kFlag) + ".";
    case EACCES:
    case EPERM:
      return "Ports below 1024 need CAP_NET_BIND_SERVICE: choose a higher one with " +
             std::string(kFlag) + ", or add AmbientCapabilities=CAP_NET_BIND_SERVICE to the unit.";
    case EADDRNOTAVAIL:
      return "No interface of this host has that address: compare `ip address` with " +
             std::string(kFlag) + ".";
    case EAFNOSUPPORT:
      return "IPv6 is off on this host: give an IPv4 address to " + std::string(kFlag) + ".";
    case EMFILE:
    case ENFILE:
      return "No file descriptor is left: raise LimitNOFILE.";
    default:
      return "";
  }
}

Error bind_error(int error, const Endpoint& endpoint) {
  const bool permission = error == EACCES || error == EPERM;
  return {.reason = permission ? Reason::kPermission : Reason::kUnsupported,
          .message = "cannot listen on " + format(*endpoint.address()) + ": " + strerror(error),
          .fix = fix_for(error, endpoint)};
}

// Returns 0 or errno.
int open_listener(const Endpoint& endpoint, Listener& out) {
  UniqueFd fd(socket(endpoint.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return errno;
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (endpoint.family == AF_INET6) setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (bind(fd.get(), endpoint.address(), endpoint.size()) != 0) return errno;
  if (listen(fd.get(), SOMAXCONN) != 0) return errno;
  Endpoint bound = endpoint;
  socklen_t size = sizeof bound.storage;
  if (getsockname(fd.get(), bound.address(), &size) != 0) return errno;
  out = {std::move(fd), format(*bound.address())};
  return 0;
}

bool family_missing(int error) { return error == EAFNOSUPPORT || error == EADDRNOTAVAIL; }

uint16_t bound_port(const Listener& listener) {
  const std::string_view address = listener.address;
  return parse_number<uint16_t>(address.substr(address.rfind(':') + 1)).value_or(0);
}

// All of `endpoints`, which came from one address, on one port.
Result<std::vector<Listener>> open_together(std::vector<Endpoint> endpoints) {
  std::vector<Listener> out;
  for (Endpoint& endpoint : endpoints) {
    if (!out.empty()) endpoint.storage.sin6_port = htons(bound_port(out.front()));
    Listener listener;
    const int error = open_listener(endpoint, listener);
    if (error != 0 && endpoint.optional && family_missing(error)) continue;
    if (error != 0) return bind_error(error, endpoint);
    out.push_back(std::move(listener));
  }
  return out;
}

Result<std::vector<Listener>> open_address(const std::string& address) {
  const std::optional<std::vector<Endpoint>> endpoints = parse(address);
  if (!endpoints) {
    return Error{.reason = Reason::kUnsupported,
                 .message = std::string(kFlag) + ": \"" + printable(address) + "\" is no address",
                 .fix =
                     "Write :10093 for all interfaces, 127.0.0.1:10093, [::1]:10093 or "
                     "localhost:10093; other names are not looked up."};
  }
  const bool any_port = port_of(endpoints->front()) == 0;
  Result<std::vector<Listener>> result = open_together(*endpoints);
  for (int tries = 1; any_port && !result && tries < kFreePortTries; ++tries) {
    result = open_together(*endpoints);
  }
  return result;
}

}  // namespace

Result<std::vector<Listener>> listen_on(const std::vector<std::string>& addresses) {
  std::vector<Listener> out;
  for (const std::string& address : addresses) {
    Result<std::vector<Listener>> opened = open_address(address);
    if (!opened) return opened.error();
    for (Listener& listener : *opened) out.push_back(std::move(listener));
  }
  return out;
}

bool is_loopback(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    sockaddr_in v4{};
    memcpy(&v4, &address, sizeof v4);
    return ntohl(v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
  }
  if (address.sa_family != AF_INET6) return false;
  sockaddr_in6 v6{};
  memcpy(&v6, &address, sizeof v6);
  if (IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr)) return true;
  return IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) && v6.sin6_addr.s6_addr[12] == IN_LOOPBACKNET;
}

}  // namespace lagwatch
