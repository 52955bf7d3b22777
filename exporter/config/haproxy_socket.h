// SPDX-License-Identifier: Apache-2.0
// The forms in which the configuration may say where HAProxy's statistics are, told apart and
// checked.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace lagwatch {

struct HaproxySocketForm {
  bool http = false;  // the statistics page; else a stats socket
  bool tls = false;
  bool user = false;  // the URL names one
};

// "/path", "tcp://host:port" or "http(s)://[user@]host[:port]/path"; else nothing, and `wrong` says
// why without quoting the text, which may hold a password.
std::optional<HaproxySocketForm> parse_haproxy_socket(std::string_view text, std::string& wrong);

}  // namespace lagwatch
