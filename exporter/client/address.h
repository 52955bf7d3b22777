// SPDX-License-Identifier: Apache-2.0
// Socket addresses as the configuration writes them.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace lagwatch {

// Either `path` (a Unix socket) or `host` and `port` (TCP).
struct Address {
  std::string path;
  std::string host;
  std::string port;
};

// "/path", "tcp://host:port", "tcp://[v6]:port". Anything else is kUnsupported.
Result<Address> parse_address(std::string_view text);

}  // namespace lagwatch
