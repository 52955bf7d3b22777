// SPDX-License-Identifier: Apache-2.0
// The answer of /_nodes/stats as tables. Which field goes where is said by the columns' `source`:
// a path within a node, alternatives of other versions behind `|`, the values of a column with
// several behind blanks; `*` is any key and makes a row of its own. One pass over the body.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collector/elasticsearch_json.h"
#include "model/snapshot.h"

namespace lagwatch {

// One table of a node's values.
struct NodeTable {
  const Schema* schema = nullptr;
  // Where the labels come from that are not the node's, in their order: a path that ends in `*` is
  // the key there, others are texts.
  std::span<const std::string_view> label_sources = {};
  // Which keys at `*` are wanted; null: all.
  bool (*wants)(std::string_view key) = nullptr;
};

// What is said of a node itself, as elasticsearch_exporter labels it.
struct NodeInfo {
  std::string_view id;
  std::string_view host;
  std::string_view name;
  std::vector<std::string_view> roles;
  bool knows_roles = false;  // 5.0+; before, attributes say what a node is not
  bool no_master = false;    // by its attributes
  bool no_data = false;
  bool http = false;

  bool has(std::string_view role) const;
};

// The row of one table while its node is read.
struct NodeRow {
  size_t table = 0;
  std::string_view key;  // at `*`
  std::vector<std::string_view> labels;
  std::vector<double> cells;  // as the source has them
  bool any = false;
};

struct NodesAnswer {
  std::string cluster;
  double failed = kAbsent;  // nodes that did not answer the one that was asked
  std::vector<Table> tables;
  uint64_t dropped = 0;  // rows that would have had the labels of others
};

// The tables' sources as one tree of keys. One constant object a collector.
class NodeTables {
 public:
  explicit NodeTables(std::span<const NodeTable> tables);

  // Called for each node that was read, with its rows; both are gone afterwards.
  using OnNode = std::function<void(const NodeInfo& node, std::span<const NodeRow> rows)>;

  // Nothing where the body is no such answer. `base`: the target's labels; `cluster`: its name as
  // it is known, unless the answer says it before its nodes.
  std::optional<NodesAnswer> read(std::string& body, const std::string& base,
                                  const std::string& cluster, const OnNode& on_node = {}) const;

  std::span<const NodeTable> tables() const { return tables_; }

 private:
  friend class NodeReader;

  // Where a value goes: a cell of a table's row, or one of its labels.
  struct Place {
    size_t table = 0;
    size_t cell = 0;
    bool label = false;
  };
  struct Key {
    std::vector<std::pair<std::string_view, size_t>> children;
    size_t any = 0;  // the child `*`; 0: none
    std::vector<Place> places;
    std::vector<size_t> opens;  // tables that have a row here
  };

  size_t key_at(std::string_view path);
  void add(std::string_view paths, const Place& place);
  size_t child_of(const Key& key, std::string_view name) const;

  std::span<const NodeTable> tables_;
  std::vector<Key> keys_;
  std::vector<size_t> widths_;      // cells of each table
  std::vector<bool> many_;          // tables whose rows are at a `*`
  std::vector<size_t> key_labels_;  // which label is the key, per table; npos: none
};

// The labels that a node has in elasticsearch_exporter.
inline constexpr std::string_view kNodeLabels[] = {
    "cluster",      "host",           "name",          "es_master_node",
    "es_data_node", "es_ingest_node", "es_client_node"};

}  // namespace lagwatch
