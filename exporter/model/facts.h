// SPDX-License-Identifier: Apache-2.0
// What targets say beside their samples, so that join/ can compare targets with each other.
// Every fact is also an exported family: facts read from another agent join just the same.
#pragma once

#include <cstddef>
#include <string>
#include <variant>
#include <vector>

#include "model/postgres_facts.h"

namespace lagwatch {

// A backend as one HAProxy sees it. Exported as haproxy_backend_status and
// haproxy_backend_agg_server_status.
struct HaproxyBackend {
  std::string proxy;
  bool up = false;  // as HAProxy says; a backend without servers is up
  size_t servers_up = 0;
  size_t servers_down = 0;  // MAINT and DRAIN are in neither
};

using Fact =
    std::variant<HaproxyBackend, PostgresNode, PostgresReceiver, PostgresSenders, PostgresSender,
                 PostgresSlot, PostgresHeartbeat, PostgresArchiving, PostgresWalKept>;
using Facts = std::vector<Fact>;

// A target of another agent, as read from that agent's /metrics.
struct RemoteTarget {
  std::string name;         // its label `target` there
  std::string label_block;  // all its constant labels and `agent`, rendered
  Facts facts;
};

}  // namespace lagwatch
