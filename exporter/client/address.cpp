// SPDX-License-Identifier: Apache-2.0
#include "client/address.h"

#include "base/text.h"

namespace lagwatch {
namespace {

Error bad(std::string_view text) {
  return Error{Reason::kUnsupported, "\"" + printable(text) + "\" is not a socket address",
               "write /path/to/socket, tcp://host:port or tcp://[ipv6]:port"};
}

}  // namespace

Result<Address> parse_address(std::string_view text) {
  constexpr std::string_view kTcp = "tcp://";
  if (text.starts_with('/')) return Address{.path = std::string(text), .host = {}, .port = {}};
  if (!text.starts_with(kTcp)) return bad(text);
  const std::string_view rest = text.substr(kTcp.size());
  const size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return bad(text);
  std::string_view host = rest.substr(0, colon);
  const std::string_view port = rest.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return bad(text);
  }
  const auto number = parse_number<unsigned>(port);
  if (host.empty() || !number || *number == 0 || *number > 65535) return bad(text);
  return Address{.path = {}, .host = std::string(host), .port = std::string(port)};
}

}  // namespace lagwatch
