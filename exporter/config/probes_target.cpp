// SPDX-License-Identifier: Apache-2.0
// The key `probes` of the configuration: URLs that are asked as visitors or health checks ask them.
#include "config/targets.h"

namespace lagwatch {
namespace {

void read_url(const ConfigValue& value, ProbeTarget& target) {
  const auto url = read_http_url(value);
  if (!url) return;
  target.probe.user = url->user;
  target.probe.url = url->url;
}

// One status, or a list of them.
void read_statuses(const ConfigValue& value, ProbeTarget& target) {
  const auto items = read_one_or_more(value);
  if (!items) return;
  for (const ConfigValue& item : *items) {
    if (const auto status = read_integer(item, 100, 599))
      target.probe.expect_status.push_back(static_cast<int>(*status));
  }
}

void check_probe(const ConfigValue& value, const ProbeTarget& target) {
  const ProbeOptions& options = target.probe;
  if (options.url.empty()) return;  // said already
  check_http_settings(value, "url", !options.user.empty(), options.url.starts_with("https://"));
}

constexpr ConfigField<ProbeTarget> kFields[] = {
    kNameField<ProbeTarget>,
    {"url", read_url, Need::kRequired},
    kIntervalField<ProbeTarget>,
    kTimeoutField<ProbeTarget>,
    kLabelsField<ProbeTarget>,
    {"password_file", [](const ConfigValue& v,
                         ProbeTarget& t) { assign(t.probe.password_file, read_absolute_path(v)); }},
    {"ca_file",
     [](const ConfigValue& v, ProbeTarget& t) { assign(t.probe.ca_file, read_absolute_path(v)); }},
    {"host_header", [](const ConfigValue& v,
                       ProbeTarget& t) { assign(t.probe.host_header, read_host_header(v)); }},
    {"expect_status", read_statuses},
    {"expect_body",
     [](const ConfigValue& v, ProbeTarget& t) { assign(t.probe.expect_body, read_pattern(v)); }},
    {"reject_body",
     [](const ConfigValue& v, ProbeTarget& t) { assign(t.probe.reject_body, read_pattern(v)); }},
};

}  // namespace

void read_probes(const ConfigValue& value, Config& config) {
  read_targets<ProbeTarget>(value, config, kFields, check_probe, config.probes, LeftOut::kNone);
}

}  // namespace lagwatch
