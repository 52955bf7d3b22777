// SPDX-License-Identifier: Apache-2.0
// YAML as strict as a configuration needs it: yaml-cpp parses, but takes duplicate keys and
// unclosed quotes silently.
#pragma once

#include <compare>
#include <cstdint>
#include <deque>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lagwatch {

// Where something stands; line and column from 1, columns in characters. `file` is ConfigErrors'
// number.
struct YamlPlace {
  uint32_t file = 0;
  size_t line = 1;
  size_t column = 1;
  auto operator<=>(const YamlPlace&) const = default;
};

// All that is wrong with a configuration.
class ConfigErrors {
 public:
  // Names a file for messages; its number is the order in which errors are shown.
  uint32_t add_file(std::string name);
  void add(const YamlPlace& place, std::string message);

  bool empty() const { return errors_.empty(); }
  std::string show(const YamlPlace& place) const;  // file:line:column
  // `file:line:column: message`, in file order, each once, the first thousand.
  std::vector<std::string> lines() const;

 private:
  std::vector<std::string> files_;
  std::vector<std::pair<YamlPlace, std::string>> errors_;
  std::set<std::pair<YamlPlace, std::string>> known_;
};

struct YamlNode;

struct YamlEntry {
  YamlPlace place;  // of the key
  std::string key;
  const YamlNode* value = nullptr;
};

// Scalars are kept as they are written: what type a text is, the reader decides that wants one.
struct YamlNode {
  enum class Type { kNull, kScalar, kList, kMapping };
  Type type = Type::kNull;
  YamlPlace place;
  bool quoted = false;
  std::string text;                    // kScalar
  std::vector<const YamlNode*> items;  // kList
  std::vector<YamlEntry> entries;      // kMapping: each key once
  uint64_t weight = 1;                 // nodes in this tree, with every alias expanded

  const YamlEntry* find(std::string_view key) const;
};

// Owns nodes; their addresses stay.
using YamlNodes = std::deque<YamlNode>;

// The settings in `text` as a mapping. Null after errors, and when there are none.
const YamlNode* parse_yaml(std::string_view text, uint32_t file, YamlNodes& nodes,
                           ConfigErrors& errors);

// One mapping of both: lists are appended, mappings merged; anything else twice is an error.
// Null counts as an empty mapping.
const YamlNode* merge_yaml(const YamlNode* first, const YamlNode* second, YamlNodes& nodes,
                           ConfigErrors& errors);

}  // namespace lagwatch
