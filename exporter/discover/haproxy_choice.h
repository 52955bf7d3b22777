// SPDX-License-Identifier: Apache-2.0
// Which of an HAProxy's sockets and pages to use: one that this user may use, with the fewest
// rights.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "discover/access.h"
#include "discover/haproxy_config.h"

namespace lagwatch {

// Who asks, and what is suggested to allow it.
struct HaproxyAsker {
  std::string root;                      // put before paths that are opened
  std::string user;                      // the effective user's name
  std::string group_words;               // "group lagwatch", as `stats socket` takes it
  std::string socket_name = "lagwatch";  // of suggested sockets, without ".sock"
};

// What must be done before a denied socket can be used. `level` is what it grants; empty: not
// known.
std::string denied_socket(const HaproxyAsker& asker, const std::string& path,
                          std::string_view level, const std::string& config_path);

struct HaproxyChoice {
  std::vector<std::string> sockets;  // as in the configuration; empty: none can be used
  std::vector<std::string> notes;
  std::vector<std::string> problems;  // only without sockets
};

// `config_path` is the file that would be changed. Whether TCP and HTTP answer is not tried.
HaproxyChoice choose_haproxy_sockets(const HaproxyConfig& config, const std::string& config_path,
                                     const HaproxyAsker& asker);

}  // namespace lagwatch
