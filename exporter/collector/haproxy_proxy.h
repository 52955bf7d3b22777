// SPDX-License-Identifier: Apache-2.0
// The rows of `show stat` as HAProxy's own exporter would write them.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "collector/haproxy.h"
#include "collector/haproxy_backend.h"
#include "collector/haproxy_stat.h"

namespace lagwatch {

// Fills the tables of stat_scope(). Borrows all it is given; made anew at each collect.
class ProxyTables {
 public:
  ProxyTables(Output& out, const StatDump& dump, const BackendMemory& memory,
              const HaproxyOptions& options);

  // A frontend, listener or server; backends come with their servers.
  void write(size_t row);
  void write_backend(const BackendRows& rows);

  // Hands the tables to the output.
  void finish();

 private:
  // Views of the dump.
  struct Name {
    std::string_view proxy;
    std::string_view name;
    bool operator==(const Name&) const = default;
  };
  struct NameHash {
    size_t operator()(const Name& name) const {
      const std::hash<std::string_view> hash;
      return hash(name.proxy) * 31 + hash(name.name);
    }
  };

  Table& table(RowType type) { return tables_[static_cast<size_t>(type)]; }
  size_t add(size_t row);
  std::string unique_name(size_t row);
  void set_numbers(size_t at, size_t row);
  void write_server(size_t row);

  Output& out_;
  const StatDump& dump_;
  const BackendMemory& memory_;
  const HaproxyOptions& options_;
  std::vector<Table> tables_;                                // by RowType
  std::array<std::unordered_set<Name, NameHash>, 4> names_;  // already written, by RowType
};

}  // namespace lagwatch
