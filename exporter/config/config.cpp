// SPDX-License-Identifier: Apache-2.0
#include "config/config.h"

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

#include "base/text.h"
#include "config/config_files.h"
#include "config/config_value.h"
#include "config/haproxy_socket.h"
#include "config/yaml_reader.h"

namespace lagwatch {
namespace {

constexpr Duration kMinInterval = std::chrono::milliseconds(100);
constexpr Duration kMaxInterval = std::chrono::hours(1);
constexpr Duration kMinTimeout = std::chrono::milliseconds(10);
constexpr Duration kMaxTimeout = std::chrono::minutes(1);
constexpr size_t kMaxNameBytes = 100;
constexpr size_t kMaxLabelValueBytes = 256;
constexpr uint64_t kMostServers = 1000000;

constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
constexpr std::string_view kDigits = "0123456789";
// Labels that lagwatch, its rules or Prometheus set.
constexpr std::string_view kReservedLabels[] = {"site",     "target", "kind",
                                                "instance", "job",    "agent"};

bool consists_of(std::string_view text, std::string_view a, std::string_view b,
                 std::string_view c = {}) {
  return std::all_of(text.begin(), text.end(), [&](char ch) {
    return a.find(ch) != std::string_view::npos || b.find(ch) != std::string_view::npos ||
           c.find(ch) != std::string_view::npos;
  });
}

// Registers a target's name, which is given at `place`.
void claim_name(ConfigScope& scope, const std::string& name, const YamlPlace& place) {
  const auto [first, fresh] = scope.names.emplace(name, place);
  if (fresh) return;
  scope.errors.add(place,
                   "name \"" + name + "\" is already used at " + scope.errors.show(first->second));
}

void read_name(const ConfigValue& value, std::string& out) {
  const auto name = read_text(value);
  if (!name) return;
  if (name->size() > kMaxNameBytes || !consists_of(*name, kLetters, kDigits, "_.:-")) {
    value.error("must be 1 to 100 letters, digits or _ . : -");
    return;
  }
  out = *name;
  claim_name(value.scope(), out, value.place());
}

std::optional<std::string> read_label_value(const ConfigValue& value) {
  auto text = read_text(value);
  if (!text || text->size() <= kMaxLabelValueBytes) return text;
  value.error("is longer than " + std::to_string(kMaxLabelValueBytes) + " bytes");
  return std::nullopt;
}

bool check_label_name(const ConfigValue& value, const YamlEntry& entry) {
  const ConfigScope& scope = value.scope();
  const std::string& name = entry.key;
  const std::string shown = "label \"" + printable(name, 60) + "\" ";
  std::string wrong;
  if (name.empty() || !consists_of(name, kLetters, kDigits, "_") ||
      kDigits.find(name[0]) != std::string::npos) {
    wrong = "must be letters, digits and _, and not begin with a digit";
  } else if (name.starts_with("__")) {
    wrong = "begins with __, which Prometheus keeps for itself";
  } else if (std::find(std::begin(kReservedLabels), std::end(kReservedLabels), name) !=
             std::end(kReservedLabels)) {
    wrong = name == "site" ? "is set by the top-level setting site"
                           : "is set by lagwatch or Prometheus";
  } else if (scope.label_taken && scope.label_taken(scope.kind, name)) {
    wrong = "is one that metrics of kind " + std::string(scope.kind) + " have";
  }
  if (!wrong.empty()) value.scope().errors.add(entry.place, shown + wrong);
  return wrong.empty();
}

void read_labels(const ConfigValue& value, std::vector<std::pair<std::string, std::string>>& out) {
  if (!check_mapping(value)) return;
  for (const YamlEntry& entry : value.node().entries) {
    if (!check_label_name(value, entry)) continue;
    if (auto text = read_label_value(value.entry(entry)))
      out.emplace_back(entry.key, std::move(*text));
  }
}

std::optional<Duration> read_interval(const ConfigValue& value) {
  return read_duration(value, kMinInterval, kMaxInterval);
}
std::optional<Duration> read_timeout(const ConfigValue& value) {
  return read_duration(value, kMinTimeout, kMaxTimeout);
}

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

// A list of targets of one kind: a new kind calls this with its fields and what is to be checked
// across them.
template <typename T>
void read_targets(const ConfigValue& value, const Config& config,
                  std::span<const ConfigField<T>> fields,
                  void (*check)(const ConfigValue& value, const T& target),
                  std::optional<std::vector<T>>& out) {
  if (value.node().type == YamlNode::Type::kNull) {
    value.error("has no value: write [] to turn it off, leave it out to have it discovered");
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

// ---- haproxy

std::optional<std::string> read_haproxy_socket(const ConfigValue& value) {
  auto text = read_text(value);
  std::string wrong;
  if (!text || parse_haproxy_socket(*text, wrong)) return text;
  value.error(wrong);
  return std::nullopt;
}

// Where a setting of this target is wrong, or the target itself.
YamlPlace place_of(const ConfigValue& target, std::string_view key) {
  const YamlEntry* const entry = target.node().find(key);
  return entry == nullptr ? target.place() : target.entry(*entry).place();
}

void check_haproxy(const ConfigValue& value, const HaproxyTarget& target) {
  const HaproxyOptions& options = target.haproxy;
  ConfigErrors& errors = value.scope().errors;
  if (options.sockets.empty()) return;  // said already
  HaproxySocketForm any;
  std::string ignored;
  for (const std::string& socket : options.sockets) {
    const auto form = parse_haproxy_socket(socket, ignored);
    if (!form) return;
    any.http = any.http || form->http;
    any.tls = any.tls || form->tls;
    any.user = any.user || form->user;
    if (std::count(options.sockets.begin(), options.sockets.end(), socket) > 1) {
      return errors.add(place_of(value, "sockets"),
                        "sockets must not name one twice: they are summed");
    }
  }
  if (any.http && options.sockets.size() > 1) {
    errors.add(place_of(value, "sockets"),
               "sockets must be stats sockets when there are several, not URLs");
  }
  const bool password = value.node().find("password_file") != nullptr;
  if (any.user && !password) {
    errors.add(place_of(value, "sockets"), "sockets names a user, so password_file is required");
  } else if (password && !any.user) {
    errors.add(place_of(value, "password_file"),
               "password_file needs a URL with a user: http(s)://user@host/path");
  }
  if (value.node().find("ca_file") != nullptr && !any.tls) {
    errors.add(place_of(value, "ca_file"), "ca_file needs an https:// URL");
  }
}

constexpr ConfigField<HaproxyTarget> kHaproxyFields[] = {
    kNameField<HaproxyTarget>,
    {"sockets",
     [](const ConfigValue& v, HaproxyTarget& t) {
       assign(t.haproxy.sockets, read_each(v, read_haproxy_socket));
     },
     Need::kRequired},
    kIntervalField<HaproxyTarget>,
    kTimeoutField<HaproxyTarget>,
    kLabelsField<HaproxyTarget>,
    {"password_file",
     [](const ConfigValue& v, HaproxyTarget& t) {
       assign(t.haproxy.password_file, read_absolute_path(v));
     }},
    {"ca_file", [](const ConfigValue& v,
                   HaproxyTarget& t) { assign(t.haproxy.ca_file, read_absolute_path(v)); }},
    {"include_proxies",
     [](const ConfigValue& v, HaproxyTarget& t) {
       assign(t.haproxy.include_proxies, read_pattern(v));
     }},
    {"exclude_proxies",
     [](const ConfigValue& v, HaproxyTarget& t) {
       assign(t.haproxy.exclude_proxies, read_pattern(v));
     }},
    {"sparse_states", [](const ConfigValue& v,
                         HaproxyTarget& t) { assign(t.haproxy.sparse_states, read_boolean(v)); }},
    {"max_servers",
     [](const ConfigValue& v, HaproxyTarget& t) {
       assign(t.haproxy.max_servers, read_integer(v, 0, kMostServers));
     }},
};

// ---- host

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

void read_host(const ConfigValue& value, Config& config) {
  value.scope().kind = value.name();
  config.host_target = target_defaults(config, config.host_target.name);
  HostTarget target{config.host_target, config.host};
  read_mapping<HostTarget>(value, kHostFields, target);
}

// ---- the whole

// What targets inherit stands before them.
constexpr ConfigField<Config> kFields[] = {
    {"site", [](const ConfigValue& v, Config& c) { assign(c.site, read_label_value(v)); }},
    {"interval", [](const ConfigValue& v, Config& c) { assign(c.interval, read_interval(v)); }},
    {"timeout", [](const ConfigValue& v, Config& c) { assign(c.timeout, read_timeout(v)); }},
    {"haproxy",
     [](const ConfigValue& v, Config& c) {
       read_targets<HaproxyTarget>(v, c, kHaproxyFields, check_haproxy, c.haproxy);
     }},
    {"host", read_host},
};

constexpr std::string_view kHostName = "host";

Config read_config(const YamlNode* root, const LabelTaken& taken_labels, ConfigErrors& errors) {
  Config config;
  config.host_target.name = kHostName;
  ConfigScope scope{.errors = errors, .names = {}, .label_taken = taken_labels, .kind = {}};
  if (root != nullptr) read_mapping<Config>({scope, "", *root, root->place}, kFields, config);
  if (root == nullptr || root->find("host") == nullptr) {
    config.host_target = target_defaults(config, std::string(kHostName));
  }
  const auto taken = scope.names.find(std::string(kHostName));
  if (taken == scope.names.end() || !config.host.enabled || config.host_target.name != kHostName)
    return config;
  const YamlEntry* const host = root->find("host");
  if (host == nullptr || host->value->find("name") == nullptr) {
    errors.add(taken->second,
               "name \"host\" is that of the host itself: choose another, or set host.name");
  }
  return config;
}

}  // namespace

TargetOptions target_defaults(const Config& config, std::string name) {
  TargetOptions options{.name = std::move(name),
                        .interval = config.interval,
                        .timeout = config.timeout,
                        .labels = {}};
  if (!config.site.empty()) options.labels.emplace_back("site", config.site);
  return options;
}

ConfigResult load_config(const std::string& path, const LabelTaken& taken) {
  ConfigErrors errors;
  YamlNodes nodes;
  const YamlNode* root = nullptr;
  for (const ConfigText& file : read_config_files(path, errors)) {
    root = merge_yaml(root, parse_yaml(file.text, file.number, nodes, errors), nodes, errors);
  }
  ConfigResult result{read_config(root, taken, errors), {}};
  result.errors = errors.lines();
  return result;
}

ConfigResult parse_config(const std::string& name, const std::string& text,
                          const LabelTaken& taken) {
  ConfigErrors errors;
  YamlNodes nodes;
  const YamlNode* const root = parse_yaml(text, errors.add_file(name), nodes, errors);
  ConfigResult result{read_config(root, taken, errors), {}};
  result.errors = errors.lines();
  return result;
}

}  // namespace lagwatch
