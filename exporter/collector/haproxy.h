// SPDX-License-Identifier: Apache-2.0
// HAProxy's options and the State its collector keeps.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "collector/collector.h"

namespace lagwatch {

struct HaproxyOptions {
  // Where `show info` and `show stat` can be had: "/path", "tcp://host:port" or
  // "http(s)://[user@]host[:port]/path;csv". Several are the processes of one HAProxy (nbproc):
  // they are summed, and only when all answered.
  std::vector<std::string> sockets;

  // For the HTTP statistics page: one line; read at each collect.
  std::string password_file;
  std::string ca_file;

  // RE2 patterns over whole proxy names. Empty: all are kept, none is dropped. `exclude` wins.
  std::string include_proxies;
  std::string exclude_proxies;

  // Write only the active state of *_status and *_check_status, not the zeros: 21 fewer samples a
  // server.
  bool sparse_states = false;

  // Server rows beyond this many are left out and counted; frontends and backends are always kept.
  size_t max_servers = 10000;
};

std::unique_ptr<State> make_haproxy_state(HaproxyOptions options);

extern const Kind kHaproxyKind;

}  // namespace lagwatch
