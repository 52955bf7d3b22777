// SPDX-License-Identifier: Apache-2.0
// How long each node took to answer searches, as a histogram: the only latency that Elasticsearch
// itself tells truly, waiting included, though only of searches that ended.
// Source: /_nodes/stats/http, routes (8.12+, not OpenSearch). Privilege: cluster monitor.
#include <array>

#include "collector/elasticsearch.h"
#include "collector/elasticsearch_json.h"

namespace lagwatch {
namespace {

using simdjson::ondemand::value;

constexpr int kFirstVersion = 81200;
constexpr size_t kMostRows = 2000;

// Of the server's buckets, from below 1 ms by doubling.
constexpr std::string_view kBounds[] = {"0.001", "0.002", "0.004",  "0.008",  "0.016", "0.032",
                                        "0.064", "0.128", "0.256",  "0.512",  "1.024", "2.048",
                                        "4.096", "8.192", "16.384", "32.768", "65.536"};
constexpr std::string_view kLabels[] = {"cluster", "name", "route"};
constexpr Column kColumns[] = {
    Column{.name = "elasticsearch_http_route_duration_seconds",
           .type = Type::kHistogram,
           .source = "http.routes.*.responses.handling_time_histogram",
           .help = "Time from a search's arrival at this node to its answer, by route (8.12+); the "
                   "server tells no sum.",
           .values = kBounds,
           .expand = Expand::kHistogram},
};
constexpr Schema kSchema{kLabels, kColumns};
constexpr const Schema* kSchemas[] = {&kSchema};

// Counts by bucket; the last is +Inf.
using Buckets = std::array<double, std::size(kBounds) + 1>;

Asks begin(State& base) {
  const ElasticsearchState& state = elasticsearch_state(base);
  if (state.server.opensearch || state.server.version < kFirstVersion) return {};
  const std::string node = state.options.local_node ? "_local/" : "";
  return {ask_elasticsearch(
      state, "/_nodes/" + node +
                 "stats/http?filter_path=cluster_name,nodes.*.name,nodes.*.http.routes."
                 "*search*.responses.handling_time_histogram&timeout=" +
                 server_timeout(state, 2))};
}

// "ge_millis": 8 is the bucket up to 16 ms; without it, up to 1 ms.
bool read_bucket(value one, Buckets& buckets) {
  double from = 0;
  double count = 0;
  if (!json_fields(one, [&](std::string_view key, value field) {
        if (key == "ge_millis") from = json_number(field);
        if (key == "count") count = json_number(field);
        return true;
      }))
    return false;
  size_t bucket = 0;
  for (double bound = 1; bucket < buckets.size() - 1 && from >= bound; bound *= 2) ++bucket;
  if (count >= 0 && from >= 0) buckets[bucket] += count;
  return true;
}

bool read_histogram(value route, Buckets& buckets) {
  return json_fields(route, [&](std::string_view key, value responses) {
    return key != "responses" || json_fields(responses, [&](std::string_view name, value list) {
             return name != "handling_time_histogram" ||
                    json_elements(list, [&](value one) { return read_bucket(one, buckets); });
           });
  });
}

struct Row {
  std::string_view node;
  std::string_view route;
  Buckets buckets{};
};

bool read_node(value node, std::vector<Row>& rows) {
  const size_t first = rows.size();
  std::string_view name;
  const bool whole = json_fields(node, [&](std::string_view key, value field) {
    if (key == "name") name = json_text(field);
    return key != "http" || json_fields(field, [&](std::string_view part, value routes) {
             return part != "routes" ||
                    json_fields(routes, [&](std::string_view path, value route) {
                      if (path.find("search") == std::string_view::npos) return true;
                      return read_histogram(route, rows.emplace_back(Row{{}, path}).buckets);
                    });
           });
  });
  for (size_t i = first; i < rows.size(); ++i) rows[i].node = name;
  return whole;
}

void write(std::span<const Row> rows, const std::string& cluster, Output& out) {
  Table& table = out.table(kSchema);
  for (const Row& one : rows) {
    if (table.rows() == kMostRows) {
      ++out.series_dropped;
      continue;
    }
    const std::string_view labels[] = {cluster, one.node, one.route};
    const size_t row = table.add_row(labels);
    double count = 0;
    for (size_t i = 0; i < one.buckets.size(); ++i) table.set(row, 0, count += one.buckets[i], i);
  }
}

Step read(State& base, std::span<Reply> replies, const Moment&, Output& out) {
  const ElasticsearchState& state = elasticsearch_state(base);
  if (replies.empty()) return Done{};
  Answer* const answered = elasticsearch_answer(state, replies[0], out);
  if (answered == nullptr) return Done{};
  JsonDocument document(answered->body);
  simdjson::ondemand::object object;
  std::vector<Row> rows;
  const bool whole =
      document.object().get(object) == simdjson::SUCCESS &&
      json_fields(object, [&](std::string_view key, value nodes) {
        return key != "nodes" || json_fields(nodes, [&](std::string_view, value node) {
                 return read_node(node, rows);
               });
      });
  if (whole) {
    write(rows, state.cluster, out);
  } else {
    say_unread(state, "/_nodes/stats/http", out);
  }
  return Done{};
}

}  // namespace

extern const Collector elasticsearch_routes{
    "elasticsearch_routes", &kElasticsearchKind, Lane::kBasics, kSchemas, begin, read};

}  // namespace lagwatch
