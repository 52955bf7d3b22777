// SPDX-License-Identifier: Apache-2.0
// What the kinds of targets share in the configuration: the settings that each has, and lists of
// them. A kind has a file of its own, KIND_target.cpp: its settings as a table, what is to be
// checked across them, and the function declared at the end of this one.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/config.h"
#include "config/config_value.h"

namespace lagwatch {

// Registers a target's name, which is given at `place`.
void claim_name(ConfigScope& scope, const std::string& name, const YamlPlace& place);
// A target's name, registered.
void read_name(const ConfigValue& value, std::string& out);
void read_labels(const ConfigValue& value, std::vector<std::pair<std::string, std::string>>& out);
std::optional<std::string> read_label_value(const ConfigValue& value);
std::optional<Duration> read_interval(const ConfigValue& value);
std::optional<Duration> read_timeout(const ConfigValue& value);

// An http or https URL with a path that can stand in a request. The user goes into a field of its
// own: the URL is shown in messages.
struct ConfiguredUrl {
  std::string url;   // without the user
  std::string user;  // empty: none
  std::string path;  // with the query, as given
};
std::optional<ConfiguredUrl> read_http_url(const ConfigValue& value);
// What stands in the header Host: a name or address, with a port or without.
std::optional<std::string> read_host_header(const ConfigValue& value);

// Where a setting of this target is, or the target itself where it is not set.
YamlPlace place_of(const ConfigValue& target, std::string_view key);

// Whether password_file and ca_file fit the URL that `key` gives: one with a user, one of https.
void check_http_settings(const ConfigValue& target, std::string_view key, bool user, bool tls);

// The fields that every kind of target has. T has a member `target`.
template <typename T>
constexpr ConfigField<T> kNameField = {
    "name", [](const ConfigValue& v, T& t) { read_name(v, t.target.name); }};
template <typename T>
constexpr ConfigField<T> kIntervalField = {
    "interval", [](const ConfigValue& v, T& t) { assign(t.target.interval, read_interval(v)); }};
template <typename T>
constexpr ConfigField<T> kTimeoutField = {
    "timeout", [](const ConfigValue& v, T& t) { assign(t.target.timeout, read_timeout(v)); }};
template <typename T>
constexpr ConfigField<T> kLabelsField = {
    "labels", [](const ConfigValue& v, T& t) { read_labels(v, t.target.labels); }};

// What leaving a kind out means.
enum class LeftOut { kDiscovered, kNone };

// A list of targets of one kind: a new kind calls this with its fields and what is to be checked
// across them.
template <typename T>
void read_targets(const ConfigValue& value, const Config& config,
                  std::span<const ConfigField<T>> fields,
                  void (*check)(const ConfigValue& value, const T& target),
                  std::optional<std::vector<T>>& out, LeftOut left_out = LeftOut::kDiscovered) {
  if (value.node().type == YamlNode::Type::kNull) {
    value.error(left_out == LeftOut::kNone
                    ? "has no value: write [] for none"
                    : "has no value: write [] to turn it off, leave it out to have it discovered");
    return;
  }
  const auto items = read_list(value);
  if (!items) return;
  value.scope().kind = value.name();
  out.emplace();
  for (const ConfigValue& item : *items) {
    T& target = out->emplace_back();
    target.target = target_defaults(config, {});
    read_mapping(item, fields, target);
    if (item.node().type != YamlNode::Type::kMapping) continue;
    check(item, target);
    if (item.node().find("name") != nullptr) continue;
    if (items->size() > 1) {
      value.scope().errors.add(item.place(), "name is required where there are several");
    } else {
      target.target.name = value.name();
      claim_name(value.scope(), target.target.name, item.place());
    }
  }
}

// The kinds, each in a file of its own.
void read_agents(const ConfigValue& value, Config& config);
void read_apache(const ConfigValue& value, Config& config);
void read_haproxy(const ConfigValue& value, Config& config);
void read_postgres(const ConfigValue& value, Config& config);
void read_probes(const ConfigValue& value, Config& config);
void read_passenger(const ConfigValue& value, Config& config);
void read_elasticsearch(const ConfigValue& value, Config& config);
void read_host(const ConfigValue& value, Config& config);

// How request paths are grouped, for all targets.
void read_routes(const ConfigValue& value, Config& config);

}  // namespace lagwatch
