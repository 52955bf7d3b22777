// SPDX-License-Identifier: Apache-2.0
#include "config/config.h"

#include <string_view>
#include <utility>

#include "config/config_files.h"
#include "config/config_value.h"
#include "config/targets.h"
#include "config/yaml_reader.h"

namespace lagwatch {
namespace {

// What targets inherit stands before them.
constexpr ConfigField<Config> kFields[] = {
    {"site", [](const ConfigValue& v, Config& c) { assign(c.site, read_label_value(v)); }},
    {"interval", [](const ConfigValue& v, Config& c) { assign(c.interval, read_interval(v)); }},
    {"timeout", [](const ConfigValue& v, Config& c) { assign(c.timeout, read_timeout(v)); }},
    {"haproxy", read_haproxy},
    {"postgres", read_postgres},
    {"apache", read_apache},
    {"probes", read_probes},
    {"passenger", read_passenger},
    {"routes", read_routes},
    {"elasticsearch", read_elasticsearch},
    {"host", read_host},
    {"agents", read_agents},
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
