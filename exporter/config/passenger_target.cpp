// SPDX-License-Identifier: Apache-2.0
// The keys `passenger` and `routes` of the configuration.
#include <algorithm>
#include <string_view>

#include "config/targets.h"

namespace lagwatch {
namespace {

constexpr uint64_t kMostProcesses = 10000;
constexpr uint64_t kLongestTerm = 1000;
constexpr size_t kMostRoutes = 100;
constexpr size_t kMaxRouteNameBytes = 100;

// It becomes part of an HTTP header.
void read_username(const ConfigValue& value, PassengerTarget& target) {
  const auto name = read_text(value);
  if (!name) return;
  if (name->find(':') != std::string::npos) return value.error("must not have a colon");
  target.passenger.username = *name;
}

void read_command(const ConfigValue& value, PassengerTarget& target) {
  auto words = read_each(value, read_text);
  if (!words) return;
  if (std::any_of(words->begin(), words->end(),
                  [](const std::string& word) { return word.starts_with("--show"); })) {
    return value.error("must not have --show, which lagwatch adds");
  }
  target.passenger.status_command = std::move(*words);
}

void check_passenger(const ConfigValue& value, const PassengerTarget&) {
  ConfigErrors& errors = value.scope().errors;
  const auto has = [&](std::string_view key) { return value.node().find(key) != nullptr; };
  if (has("username") != has("password_file")) {
    errors.add(place_of(value, has("username") ? "username" : "password_file"),
               "username and password_file need each other");
  }
  if (has("requests_file") && !has("status_file")) {
    errors.add(place_of(value, "requests_file"), "requests_file needs status_file");
  }
  const std::string_view way = has("status_command") ? "status_command" : "status_file";
  if (!has(way)) return;
  for (const std::string_view other : {"registry", "username", "status_file"}) {
    if (other == way || !has(other)) continue;
    errors.add(place_of(value, other),
               std::string(other) + " means nothing beside " + std::string(way));
  }
}

constexpr ConfigField<PassengerTarget> kPassengerFields[] = {
    kNameField<PassengerTarget>,
    {"registry", [](const ConfigValue& v,
                    PassengerTarget& t) { assign(t.passenger.registry, read_absolute_path(v)); }},
    {"username", read_username},
    {"password_file",
     [](const ConfigValue& v, PassengerTarget& t) {
       assign(t.passenger.password_file, read_absolute_path(v));
     }},
    {"status_command", read_command},
    {"status_file",
     [](const ConfigValue& v, PassengerTarget& t) {
       assign(t.passenger.status_file, read_absolute_path(v));
     }},
    {"requests_file",
     [](const ConfigValue& v, PassengerTarget& t) {
       assign(t.passenger.requests_file, read_absolute_path(v));
     }},
    {"max_processes",
     [](const ConfigValue& v, PassengerTarget& t) {
       assign(t.passenger.max_processes, read_integer(v, 0, kMostProcesses));
     }},
    kIntervalField<PassengerTarget>,
    kTimeoutField<PassengerTarget>,
    kLabelsField<PassengerTarget>,
};

void read_route_name(const ConfigValue& value, RouteRule& route) {
  const auto name = read_text(value);
  if (!name) return;
  if (name->size() > kMaxRouteNameBytes)
    return value.error("is longer than " + std::to_string(kMaxRouteNameBytes) + " bytes");
  route.name = *name;
}

constexpr ConfigField<RouteRule> kRouteFields[] = {
    {"name", read_route_name, Need::kRequired},
    {"match", [](const ConfigValue& v, RouteRule& r) { assign(r.match, read_pattern(v)); },
     Need::kRequired},
    {"query_param",
     [](const ConfigValue& v, RouteRule& r) { assign(r.query_param, read_text(v)); }},
    {"short_below", [](const ConfigValue& v,
                       RouteRule& r) { assign(r.short_below, read_integer(v, 1, kLongestTerm)); }},
};

}  // namespace

void read_passenger(const ConfigValue& value, Config& config) {
  read_targets<PassengerTarget>(value, config, kPassengerFields, check_passenger, config.passenger);
}

void read_routes(const ConfigValue& value, Config& config) {
  const auto items = read_list(value);
  if (!items) return;
  ConfigErrors& errors = value.scope().errors;
  if (items->size() > kMostRoutes)
    return value.error("must not be more than " + std::to_string(kMostRoutes));
  for (const ConfigValue& item : *items) {
    RouteRule& route = config.routes.emplace_back();
    read_mapping<RouteRule>(item, kRouteFields, route);
    if (item.node().type != YamlNode::Type::kMapping) continue;
    const bool param = item.node().find("query_param") != nullptr;
    const bool below = item.node().find("short_below") != nullptr;
    if (param != below) {
      errors.add(place_of(item, param ? "query_param" : "short_below"),
                 "query_param and short_below need each other");
    }
  }
}

}  // namespace lagwatch
