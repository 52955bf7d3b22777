// SPDX-License-Identifier: Apache-2.0
// The key `host` of the configuration.
#include "config/targets.h"

namespace lagwatch {
namespace {

struct HostTarget {
  TargetOptions& target;
  HostOptions& host;
};

constexpr ConfigField<HostTarget> kHostFields[] = {
    {"enabled",
     [](const ConfigValue& v, HostTarget& t) { assign(t.host.enabled, read_boolean(v)); }},
    kNameField<HostTarget>,
    {"paths", [](const ConfigValue& v,
                 HostTarget& t) { assign(t.host.paths, read_each(v, read_absolute_path)); }},
    kIntervalField<HostTarget>,
    kTimeoutField<HostTarget>,
    kLabelsField<HostTarget>,
};

}  // namespace

void read_host(const ConfigValue& value, Config& config) {
  value.scope().kind = value.name();
  config.host_target = target_defaults(config, config.host_target.name);
  HostTarget target{config.host_target, config.host};
  read_mapping<HostTarget>(value, kHostFields, target);
}

}  // namespace lagwatch
