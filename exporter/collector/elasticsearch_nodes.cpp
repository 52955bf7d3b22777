// SPDX-License-Identifier: Apache-2.0
#include "collector/elasticsearch_nodes.h"

#include <algorithm>
#include <set>

namespace lagwatch {
namespace {

using simdjson::ondemand::json_type;
using simdjson::ondemand::value;

constexpr size_t kNone = static_cast<size_t>(-1);
constexpr size_t kMostRoles = 64;
// Elements of an array have their place as key; those beyond are not read.
constexpr std::string_view kPlaces[] = {"0", "1", "2",  "3",  "4",  "5",  "6",  "7",
                                        "8", "9", "10", "11", "12", "13", "14", "15"};

// The part before `mark`, which is taken off `rest`.
std::string_view take(std::string_view& rest, char mark) {
  const size_t end = std::min(rest.find(mark), rest.size());
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return part;
}

std::string_view yes(bool is) { return is ? "true" : "false"; }

std::string_view node_label(std::string_view label, const std::string& cluster,
                            const NodeInfo& node) {
  if (label == "cluster") return cluster;
  if (label == "host") return node.host;
  if (label == "name") return node.name;
  if (label == "node") return node.id;
  if (label == "es_master_node") return yes(node.has("master"));
  if (label == "es_data_node") return yes(node.has("data"));
  if (label == "es_ingest_node") return yes(node.has("ingest"));
  if (label == "es_client_node") return yes(node.http);
  return {};
}

}  // namespace

bool NodeInfo::has(std::string_view role) const {
  if (!knows_roles) {
    if (role == "master") return !no_master;
    return role == "data" && !no_data;
  }
  // Data tiers hold data too.
  return std::any_of(roles.begin(), roles.end(), [&](std::string_view one) {
    return one == role || (role == "data" && one.starts_with("data_"));
  });
}

NodeTables::NodeTables(std::span<const NodeTable> tables)
    : tables_(tables), keys_(1), many_(tables.size()), key_labels_(tables.size(), kNone) {
  for (size_t i = 0; i < tables.size(); ++i) {
    size_t cell = 0;
    for (const Column& column : tables[i].schema->columns) {
      std::string_view sources = column.source;
      for (size_t element = 0; element < cell_count(column); ++element)
        add(take(sources, ' '), {i, cell++});
    }
    widths_.push_back(cell);
    for (size_t label = 0; label < tables[i].label_sources.size(); ++label) {
      const std::string_view source = tables[i].label_sources[label];
      if (source.ends_with('*')) {
        key_labels_[i] = label;
      } else {
        add(source, {i, label, true});
      }
    }
  }
}

void NodeTables::add(std::string_view paths, const Place& place) {
  while (!paths.empty()) {
    const std::string_view path = take(paths, '|');
    const size_t star = path.find(".*");
    if (star != std::string_view::npos) {
      many_[place.table] = true;
      std::vector<size_t>& opens = keys_[key_at(path.substr(0, star + 2))].opens;
      if (std::find(opens.begin(), opens.end(), place.table) == opens.end())
        opens.push_back(place.table);
    }
    keys_[key_at(path)].places.push_back(place);
  }
}

size_t NodeTables::key_at(std::string_view path) {
  size_t at = 0;
  while (!path.empty()) {
    const std::string_view name = take(path, '.');
    size_t next = name == "*" ? keys_[at].any : child_of(keys_[at], name);
    if (next == 0) {
      next = keys_.size();
      keys_.emplace_back();
      if (name == "*") {
        keys_[at].any = next;
      } else {
        keys_[at].children.emplace_back(name, next);
      }
    }
    at = next;
  }
  return at;
}

size_t NodeTables::child_of(const Key& key, std::string_view name) const {
  for (const auto& [child, index] : key.children) {
    if (child == name) return index;
  }
  return 0;
}

// Reads one body. One object an answer.
class NodeReader {
 public:
  NodeReader(const NodeTables& tables, const std::string& base, const std::string& cluster,
             const NodeTables::OnNode& on_node)
      : tables_(tables), on_node_(on_node), current_(tables.tables_.size(), kNone) {
    answer_.cluster = cluster;
    for (const NodeTable& table : tables.tables_) answer_.tables.emplace_back(*table.schema, base);
  }

  bool read(simdjson::ondemand::object object) {
    bool nodes = false;
    const bool whole = json_fields(object, [&](std::string_view key, value part) {
      if (key == "cluster_name") answer_.cluster = json_text(part);
      if (key == "_nodes") return read_counts(part);
      if (key != "nodes") return true;
      nodes = true;
      return json_fields(part,
                         [this](std::string_view id, value node) { return read_node(id, node); });
    });
    // Without a node that answers, filter_path leaves out `nodes` itself.
    return whole && (nodes || answer_.failed >= 0);
  }

  NodesAnswer take() { return std::move(answer_); }

 private:
  using Key = NodeTables::Key;

  bool read_counts(value counts) {
    return json_fields(counts, [this](std::string_view key, value count) {
      if (key == "failed") answer_.failed = json_number(count);
      return true;
    });
  }

  bool read_node(std::string_view id, value node) {
    info_ = {};
    info_.id = id;
    rows_.clear();
    for (size_t i = 0; i < tables_.tables_.size(); ++i)
      current_[i] = tables_.many_[i] ? kNone : open(i, {});
    const Key& root = tables_.keys_[0];
    const bool whole = json_fields(node, [&](std::string_view key, value field) {
      if (key == "name") return text(info_.name, field);
      if (key == "host") return text(info_.host, field);
      if (key == "roles") return read_roles(field);
      if (key == "attributes") return read_attributes(field);
      if (key == "http") info_.http = true;
      const size_t child = tables_.child_of(root, key);
      return child == 0 || walk(child, field);
    });
    if (!whole) return false;
    if (info_.name.empty()) info_.name = id;
    write();
    return true;
  }

  static bool text(std::string_view& out, value field) {
    out = json_text(field);
    return true;
  }

  bool read_roles(value field) {
    info_.knows_roles = true;
    return json_elements(field, [&](value role) {
      if (info_.roles.size() < kMostRoles) info_.roles.push_back(json_text(role));
      return true;
    });
  }

  bool read_attributes(value field) {
    return json_fields(field, [&](std::string_view key, value one) {
      if (key == "master") info_.no_master = json_text(one) == "false";
      if (key == "data") info_.no_data = json_text(one) == "false";
      if (key == "client" && json_text(one) == "true") info_.no_master = info_.no_data = true;
      return true;
    });
  }

  size_t open(size_t table, std::string_view key) {
    NodeRow& row = rows_.emplace_back();
    row.table = table;
    row.key = key;
    row.labels.resize(tables_.tables_[table].label_sources.size());
    if (tables_.key_labels_[table] != kNone) row.labels[tables_.key_labels_[table]] = key;
    row.cells.assign(tables_.widths_[table], kAbsent);
    return rows_.size() - 1;
  }

  bool walk(size_t index, value field) {
    const Key& key = tables_.keys_[index];
    json_type type{};
    if (field.type().get(type) != simdjson::SUCCESS) return true;  // a bad word costs itself
    switch (type) {
      case json_type::object:
        if (key.children.empty() && key.any == 0) return true;
        return json_fields(field,
                           [&](std::string_view name, value one) { return enter(key, name, one); });
      case json_type::array: {
        if (key.children.empty() && key.any == 0) return true;
        size_t place = 0;
        return json_elements(field, [&](value one) {
          return place == std::size(kPlaces) || enter(key, kPlaces[place++], one);
        });
      }
      case json_type::string:
        put_text(key, field);
        return true;
      case json_type::number:
      case json_type::boolean:
        put_number(key, field);
        return true;
      case json_type::null:
        break;
    }
    return true;
  }

  bool enter(const Key& key, std::string_view name, value field) {
    if (const size_t child = tables_.child_of(key, name); child != 0) return walk(child, field);
    if (key.any == 0) return true;
    const Key& any = tables_.keys_[key.any];
    bool wanted = any.opens.empty();
    for (const size_t table : any.opens) {
      const NodeTable& declared = tables_.tables_[table];
      if (declared.wants != nullptr && !declared.wants(name)) continue;
      current_[table] = open(table, name);
      wanted = true;
    }
    const bool whole = !wanted || walk(key.any, field);
    for (const size_t table : any.opens) current_[table] = kNone;
    return whole;
  }

  void put_number(const Key& key, value field) {
    if (key.places.empty()) return;
    const double number = json_number(field);
    if (std::isnan(number)) return;
    for (const NodeTables::Place& place : key.places) {
      if (place.label || current_[place.table] == kNone) continue;
      NodeRow& row = rows_[current_[place.table]];
      row.cells[place.cell] = number;
      row.any = true;
    }
  }

  void put_text(const Key& key, value field) {
    for (const NodeTables::Place& place : key.places) {
      if (!place.label || current_[place.table] == kNone) continue;
      rows_[current_[place.table]].labels[place.cell] = json_text(field);
      return;  // a text is read once
    }
  }

  void write() {
    if (on_node_) on_node_(info_, rows_);
    // Nodes that cannot be told apart by their labels would be one series twice.
    const bool fresh =
        names_.insert(std::string(info_.host) + '\n' + std::string(info_.name)).second;
    std::set<std::pair<size_t, std::string>> seen;
    for (const NodeRow& row : rows_) {
      if (!row.any) continue;
      std::string own;
      for (const std::string_view label : row.labels) (own += label) += '\n';
      if (!fresh || !seen.emplace(row.table, own).second) {
        ++answer_.dropped;
      } else {
        write_row(row);
      }
    }
  }

  void write_row(const NodeRow& row) {
    const Schema& schema = *tables_.tables_[row.table].schema;
    labels_.clear();
    size_t own = 0;
    for (const std::string_view label : schema.labels) {
      const bool of_node = schema.labels.size() - labels_.size() > row.labels.size() - own;
      labels_.push_back(of_node ? node_label(label, answer_.cluster, info_) : row.labels[own++]);
    }
    Table& table = answer_.tables[row.table];
    const size_t at = table.add_row(labels_);
    size_t cell = 0;
    for (size_t column = 0; column < schema.columns.size(); ++column) {
      const size_t count = cell_count(schema.columns[column]);
      table.set_each(at, column, std::span(row.cells).subspan(cell, count));
      cell += count;
    }
  }

  const NodeTables& tables_;
  const NodeTables::OnNode& on_node_;
  NodesAnswer answer_;
  NodeInfo info_;
  std::vector<NodeRow> rows_;    // of the node that is read
  std::vector<size_t> current_;  // the row that a table's values go to now, kNone: none
  std::set<std::string> names_;  // of the nodes so far
  std::vector<std::string_view> labels_;
};

std::optional<NodesAnswer> NodeTables::read(std::string& body, const std::string& base,
                                            const std::string& cluster,
                                            const OnNode& on_node) const {
  JsonDocument document(body);
  simdjson::ondemand::object object;
  if (document.object().get(object) != simdjson::SUCCESS) return std::nullopt;
  NodeReader reader(*this, base, cluster, on_node);
  if (!reader.read(object)) return std::nullopt;
  return reader.take();
}

}  // namespace lagwatch
