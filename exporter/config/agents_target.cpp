// SPDX-License-Identifier: Apache-2.0
// The key `agents` of the configuration: other agents whose /metrics is read.
#include "config/targets.h"

namespace lagwatch {
namespace {

constexpr uint64_t kMostSeries = 1000000;

void read_url(const ConfigValue& value, AgentTarget& target) {
  const auto url = read_http_url(value);
  if (!url) return;
  target.agent.user = url->user;
  target.agent.url = url->url;
  if (url->path.empty()) target.agent.url += "/metrics";
  if (url->path == "/") target.agent.url += "metrics";
}

void check_agent(const ConfigValue& value, const AgentTarget& target) {
  const AgentOptions& options = target.agent;
  if (options.url.empty()) return;  // said already
  check_http_settings(value, "url", !options.user.empty(), options.url.starts_with("https://"));
}

constexpr ConfigField<AgentTarget> kFields[] = {
    kNameField<AgentTarget>,
    {"url", read_url, Need::kRequired},
    kIntervalField<AgentTarget>,
    kTimeoutField<AgentTarget>,
    kLabelsField<AgentTarget>,
    {"password_file", [](const ConfigValue& v,
                         AgentTarget& t) { assign(t.agent.password_file, read_absolute_path(v)); }},
    {"ca_file",
     [](const ConfigValue& v, AgentTarget& t) { assign(t.agent.ca_file, read_absolute_path(v)); }},
    {"max_series",
     [](const ConfigValue& v, AgentTarget& t) {
       assign(t.agent.max_series, read_integer(v, 1, kMostSeries));
     }},
};

}  // namespace

void read_agents(const ConfigValue& value, Config& config) {
  read_targets<AgentTarget>(value, config, kFields, check_agent, config.agents, LeftOut::kNone);
}

}  // namespace lagwatch
