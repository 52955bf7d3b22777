// SPDX-License-Identifier: Apache-2.0
// Options of another agent as a target, and the State its collector keeps.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "collector/collector.h"
#include "model/remote_facts.h"

namespace lagwatch {

// Families that may be taken over from another agent, by name, and their types.
using AgentFamilies = std::unordered_map<std::string_view, Type>;

struct AgentOptions {
  std::string url;   // of its /metrics, http or https, without a user
  std::string user;  // basic authentication where not empty
  std::string password_file;
  std::string ca_file;

  // Series beyond this many are left out and counted.
  size_t max_series = 200000;

  // Filled by cli: what samples get where they lack it, `agent` (the target's name) among them, and
  // what is catalogued. Joined families are not: joins are computed here anew.
  OwnLabels own_labels;
  std::shared_ptr<const AgentFamilies> families;
};

std::unique_ptr<State> make_agent_state(AgentOptions options);

extern const Kind kAgentKind;

}  // namespace lagwatch
