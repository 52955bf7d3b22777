// SPDX-License-Identifier: Apache-2.0
// Typed values out of YAML nodes, and mappings as tables of fields, so that a kind of target is a
// table. Messages name the key and never quote the value: a secret in the wrong place must not
// reach a log.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "config/yaml_reader.h"

namespace lagwatch {

// What all values of one configuration share while they are read.
struct ConfigScope {
  ConfigErrors& errors;
  std::map<std::string, YamlPlace> names;  // of targets, over all kinds: where each is given
  // Whether metrics of a kind have a label of this name; null: not known.
  std::function<bool(std::string_view kind, std::string_view label)> label_taken;
  std::string_view kind;  // of the targets that are being read
};

// A value, and what to call it. Borrowed from the nodes and the scope.
class ConfigValue {
 public:
  ConfigValue(ConfigScope& scope, std::string_view name, const YamlNode& node,
              const YamlPlace& key_place)
      : scope_(&scope), name_(name), node_(&node), key_place_(key_place) {}

  ConfigScope& scope() const { return *scope_; }
  std::string_view name() const { return name_; }
  const YamlNode& node() const { return *node_; }
  // Where its mistakes are: the value, or its key when there is none.
  YamlPlace place() const;
  // Says "NAME `what`".
  void error(std::string_view what) const;

  // The same place with a part of the value.
  ConfigValue item(const YamlNode& node) const { return {*scope_, name_, node, place()}; }
  ConfigValue entry(const YamlEntry& entry) const {
    return {*scope_, entry.key, *entry.value, entry.place};
  }

 private:
  ConfigScope* scope_;
  std::string_view name_;
  const YamlNode* node_;
  YamlPlace key_place_;
};

// Each of these gives nothing after having said what is wrong.

// One line of 1 to 4096 bytes.
std::optional<std::string> read_text(const ConfigValue& value);
std::optional<std::string> read_absolute_path(const ConfigValue& value);
// `true` or `false`, unquoted.
std::optional<bool> read_boolean(const ConfigValue& value);
// Decimal digits without a leading zero (yaml-cpp would take 010 for 8).
std::optional<uint64_t> read_integer(const ConfigValue& value, uint64_t min, uint64_t max);
// As Prometheus writes them: 500ms, 5s, 1h30m.
std::optional<Duration> read_duration(const ConfigValue& value, Duration min, Duration max);
// An RE2 pattern.
std::optional<std::string> read_pattern(const ConfigValue& value);
// The items of a list.
std::optional<std::vector<ConfigValue>> read_list(const ConfigValue& value);
// The items of a list, or the one text instead of it; at least one.
std::optional<std::vector<ConfigValue>> read_one_or_more(const ConfigValue& value);
// The texts of those by `read`; nothing if one is wrong.
std::optional<std::vector<std::string>> read_each(
    const ConfigValue& value, std::optional<std::string> (*read)(const ConfigValue& item));

template <typename T, typename U>
void assign(T& to, std::optional<U> from) {
  if (from) to = static_cast<T>(std::move(*from));
}

enum class Need { kOptional, kRequired };

// One key of a mapping that becomes a T, and what reads it.
template <typename T>
struct ConfigField {
  std::string_view key;
  void (*read)(const ConfigValue& value, T& out);
  Need need = Need::kOptional;
};

// Whether `value` is a mapping; says so if not.
bool check_mapping(const ConfigValue& value);
// Says which keys are unknown, and which known one was meant.
void check_keys(const ConfigValue& value, std::span<const std::string_view> known);

// Reads the fields in the order of `fields`, whatever their order in the file.
template <typename T>
void read_mapping(const ConfigValue& value, std::span<const ConfigField<T>> fields, T& out) {
  if (!check_mapping(value)) return;
  std::vector<std::string_view> known;
  for (const ConfigField<T>& field : fields) known.push_back(field.key);
  check_keys(value, known);
  for (const ConfigField<T>& field : fields) {
    if (const YamlEntry* entry = value.node().find(field.key)) {
      field.read(value.entry(*entry), out);
    } else if (field.need == Need::kRequired) {
      value.scope().errors.add(value.place(), std::string(field.key) + " is required");
    }
  }
}

}  // namespace lagwatch
