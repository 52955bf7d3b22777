// SPDX-License-Identifier: Apache-2.0
// How long searches have been running or waiting: what sees a pile-up that averages do not. Asked
// only while a search pool is full or queueing, for the answer grows with the searches.
// Source: /_tasks (2.3+). Privilege: cluster monitor.
#include <algorithm>
#include <array>

#include "collector/elasticsearch.h"
#include "collector/elasticsearch_json.h"

namespace lagwatch {
namespace {

using simdjson::ondemand::value;

constexpr int kFirstVersion = 20300;
constexpr int kUngrouped = 70000;
constexpr size_t kMaxBytes = 16U << 20U;  // some 200,000 searches
constexpr double kPerSecond = 1e9;

constexpr std::string_view kThresholds[] = {"1", "5", "30"};
constexpr double kSeconds[] = {1, 5, 30};
constexpr std::string_view kLabels[] = {"cluster"};
constexpr Column kColumns[] = {
    gauge("elasticsearch_search_tasks", "tasks",
          "Searches, multi-searches and scrolls in flight, those that wait for a thread included "
          "(2.3+). Asked only while a search pool is full or queueing; absent else, and when a "
          "node did not answer."),
    gauge("elasticsearch_search_tasks_oldest_seconds", "running_time_in_nanos",
          "How long the oldest of them has been in flight; absent while they are not asked for."),
    {.name = "elasticsearch_search_tasks_over_seconds",
     .source = "running_time_in_nanos",
     .help = "How many of them have been in flight for longer than so many seconds.",
     .label = "threshold",
     .values = kThresholds,
     .expand = Expand::kEach},
};
constexpr Schema kSchema{kLabels, kColumns};
constexpr const Schema* kSchemas[] = {&kSchema};

Asks begin(State& base) {
  const ElasticsearchState& state = elasticsearch_state(base);
  const int api = state.server.api();
  if (!state.search_busy || api < kFirstVersion) return {};
  std::string path =
      "/_tasks?actions=indices:data/read/search,indices:data/read/msearch,"
      "indices:data/read/scroll&timeout=" +
      server_timeout(state, 2);
  if (state.options.local_node) path += "&nodes=_local";
  if (api >= kUngrouped) path += "&group_by=none";
  path +=
      "&filter_path=node_failures.type,tasks.running_time_in_nanos,"
      "nodes.*.tasks.*.running_time_in_nanos";
  HttpAsk ask = ask_elasticsearch(state, path);
  ask.max_bytes = kMaxBytes;
  return {std::move(ask)};
}

// What is known of the searches in flight.
struct Tasks {
  double count = 0;
  double oldest = 0;
  std::array<double, std::size(kSeconds)> over{};
  bool all = true;  // every node answered

  bool take(value task) {
    return json_fields(task, [this](std::string_view key, value field) {
      const double age = key == "running_time_in_nanos" ? json_number(field) / kPerSecond : kAbsent;
      if (std::isnan(age)) return true;
      ++count;
      oldest = std::max(oldest, age);
      for (size_t i = 0; i < over.size(); ++i) over[i] += age > kSeconds[i] ? 1 : 0;
      return true;
    });
  }
  // A list, or before 7.0 an object by id, within one by node.
  bool take_list(value list) {
    simdjson::ondemand::json_type type{};
    if (list.type().get(type) != simdjson::SUCCESS) return false;
    if (type == simdjson::ondemand::json_type::array)
      return json_elements(list, [this](value task) { return take(task); });
    return json_fields(list, [this](std::string_view, value task) { return take(task); });
  }
  bool take_nodes(value nodes) {
    return json_fields(nodes, [this](std::string_view, value node) {
      return json_fields(node, [this](std::string_view key, value list) {
        return key != "tasks" || take_list(list);
      });
    });
  }
};

bool parse(std::string& body, Tasks& tasks) {
  JsonDocument document(body);
  simdjson::ondemand::object object;
  return document.object().get(object) == simdjson::SUCCESS &&
         json_fields(object, [&](std::string_view key, value field) {
           if (key == "node_failures") tasks.all = false;
           if (key == "tasks") return tasks.take_list(field);
           return key != "nodes" || tasks.take_nodes(field);
         });
}

Step read(State& base, std::span<Reply> replies, const Moment&, Output& out) {
  const ElasticsearchState& state = elasticsearch_state(base);
  if (replies.empty()) return Done{};
  Answer* const answered = elasticsearch_answer(state, replies[0], out);
  if (answered == nullptr) return Done{};
  Tasks tasks;
  if (!parse(answered->body, tasks)) {
    say_unread(state, "/_tasks", out);
    return Done{};
  }
  const std::string_view labels[] = {state.cluster};
  Table& table = out.table(kSchema);
  table.add_row(labels);
  // Of a part of the nodes the oldest is a lower bound and says enough; a number would not be.
  if (tasks.all) table.set(0, 0, tasks.count);
  table.set(0, 1, tasks.oldest);
  if (tasks.all) table.set_each(0, 2, tasks.over);
  return Done{};
}

}  // namespace

extern const Collector elasticsearch_tasks{
    "elasticsearch_tasks", &kElasticsearchKind, Lane::kRequests, kSchemas, begin, read};

}  // namespace lagwatch
