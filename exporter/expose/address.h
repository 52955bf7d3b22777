// SPDX-License-Identifier: Apache-2.0
// Where the HTTP server listens, and who is near: listen addresses as the operator writes them.
#pragma once

#include <sys/socket.h>

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace lagwatch {

struct Listener {
  UniqueFd fd;          // non-blocking, close-on-exec, listening
  std::string address;  // as bound: "127.0.0.1:10093", "[::]:10093"
};

// `host:port`, host being an IPv4 address, an IPv6 address in brackets (IPv6 only), `localhost` or
// nothing. The latter two are IPv4 and IPv6, one socket each, IPv6 only where this host has it.
// Port 0 is any free one, the same for both. The error names the address and what to do about it.
Result<std::vector<Listener>> listen_on(const std::vector<std::string>& addresses);

// 127.0.0.0/8, ::1 and IPv4-mapped 127.0.0.0/8.
bool is_loopback(const sockaddr& address);

}  // namespace lagwatch
