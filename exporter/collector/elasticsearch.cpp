// SPDX-License-Identifier: Apache-2.0
// Elasticsearch 1.x to 9.x and OpenSearch: the cluster's health and what each node does now, asked
// side by side, each able to fail alone. A server that says no (no master, a full queue, a circuit
// breaker) is up; its answer has metrics of its own.
// Source: /, /_cluster/health, /_nodes/stats. Privilege: cluster monitor.
#include "collector/elasticsearch.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/text.h"
#include "collector/elasticsearch_columns.h"
#include "collector/elasticsearch_json.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxBytes = 64U << 20U;
constexpr int64_t kHoursKept = 24;

constexpr Column kUpColumns[] = {
    {.name = "elasticsearch_up",
     .help = "1 if the server answered the last questions about health or nodes, if only to say "
             "no; 0 if it did not."},
};
constexpr Schema kUpSchema{{}, kUpColumns};

constexpr std::string_view kColors[] = {"green", "yellow", "red"};
constexpr std::string_view kClusterLabels[] = {"cluster"};
enum HealthColumn : size_t { kStatus, kNoMaster, kExpected, kFirstNumber };
constexpr Column kHealth[] = {
    {.name = "elasticsearch_cluster_health_status",
     .source = "status",
     .help = "1 for the colour that the cluster has: yellow lacks replicas, red lacks data.",
     .label = "color",
     .values = kColors,
     .expand = Expand::kState},
    gauge("elasticsearch_no_master", "status 503, discovered_master",
          "1 if the server knows no master, so that no index and no setting can be changed; absent "
          "if it did not say."),
    gauge("elasticsearch_nodes_expected", "number_of_nodes",
          "Most nodes that the cluster had in the last 24 hours, as far as this process saw."),
    gauge("elasticsearch_cluster_health_number_of_nodes", "number_of_nodes",
          "Nodes in the cluster."),
    gauge("elasticsearch_cluster_health_number_of_data_nodes", "number_of_data_nodes",
          "Data nodes in the cluster."),
    gauge("elasticsearch_cluster_health_active_primary_shards", "active_primary_shards",
          "Primary shards that are active."),
    gauge("elasticsearch_cluster_health_active_shards", "active_shards",
          "Shards that are active, replicas included."),
    gauge("elasticsearch_cluster_health_relocating_shards", "relocating_shards",
          "Shards that move to another node."),
    gauge("elasticsearch_cluster_health_initializing_shards", "initializing_shards",
          "Shards that are being made."),
    gauge("elasticsearch_cluster_health_unassigned_shards", "unassigned_shards",
          "Shards that are on no node."),
    gauge("elasticsearch_cluster_health_unassigned_primary_shards", "unassigned_primary_shards",
          "Primary shards that are on no node (8.x+)."),
    gauge("elasticsearch_cluster_health_delayed_unassigned_shards", "delayed_unassigned_shards",
          "Shards whose node is waited for before they are made anew."),
    gauge("elasticsearch_cluster_health_number_of_pending_tasks", "number_of_pending_tasks",
          "Tasks that wait for the master."),
    gauge("elasticsearch_cluster_health_number_of_in_flight_fetch", "number_of_in_flight_fetch",
          "Questions about shards that the master waits for."),
    gauge("elasticsearch_cluster_health_task_max_waiting_in_queue_millis",
          "task_max_waiting_in_queue_millis", "How long the first of them has waited."),
};
constexpr Schema kHealthSchema{kClusterLabels, kHealth};

constexpr Column kNodesColumns[] = {
    gauge("elasticsearch_nodes_stats_failed_nodes", "_nodes.failed",
          "Nodes that gave the one that was asked no statistics in time (5.0+): frozen, or gone "
          "and not missed yet."),
};
constexpr Schema kNodesSchema{kClusterLabels, kNodesColumns};

constexpr std::string_view kRefusals[] = {"no_master", "rejected", "breaker"};
constexpr Column kRefused[] = {
    {.name = "elasticsearch_refused",
     .source = "error.type",
     .help = "1 if the server refused one of the last questions for this reason.",
     .label = "reason",
     .values = kRefusals,
     .expand = Expand::kEach},
    {.name = "elasticsearch_refusals_total",
     .type = Type::kCounter,
     .source = "error.type",
     .help = "Questions of ours that the server refused for this reason.",
     .label = "reason",
     .values = kRefusals,
     .expand = Expand::kEach},
};
constexpr Schema kRefusedSchema{{}, kRefused};

const NodeTables& main_tables() {
  static const NodeTables tables(elasticsearch_main_tables());
  return tables;
}

HttpAsk ask_health(const ElasticsearchState& state) {
  const std::string wait = server_timeout(state, 1);
  return ask_elasticsearch(state, "/_cluster/health?master_timeout=" + wait + "&timeout=" + wait);
}

HttpAsk ask_nodes(const ElasticsearchState& state) {
  return ask_elasticsearch(
      state, elasticsearch_main_request(state.server.api(), state.options.local_node) +
                 "&timeout=" + server_timeout(state, 2));
}

Asks begin(State& base) {
  ElasticsearchState& state = elasticsearch_state(base);
  state.health.reset();
  state.asked_root = state.server.version == 0;
  Asks asks{ask_health(state)};
  if (state.asked_root) {
    asks.emplace_back(ask_elasticsearch(state, "/"));
  } else {
    asks.emplace_back(ask_nodes(state));
  }
  return asks;
}

// How one of the two questions ended.
struct Outcome {
  bool good = false;
  std::optional<Refusal> refusal;
  std::optional<Error> error;
};

Outcome outcome_of(const ElasticsearchState& state, const Reply& reply) {
  if (!reply.ok()) return {false, {}, reply.error()};
  const auto trouble = elasticsearch_trouble(state, *reply);
  if (!trouble) return {true, {}, {}};
  if (trouble->refusal) return {false, trouble->refusal, {}};
  return {false, {}, trouble->error};
}

Outcome unread(const ElasticsearchState& state, std::string_view what) {
  return {false,
          {},
          Error{Reason::kProtocol,
                state.options.url + std::string(what) + ": the answer is not Elasticsearch's",
                "name an Elasticsearch or OpenSearch, not what stands before it"}};
}

void remember_nodes(ElasticsearchState& state, const Moment& now, double nodes) {
  const int64_t hour =
      std::chrono::duration_cast<std::chrono::hours>(now.steady.time_since_epoch()).count();
  double& most = state.most_nodes[hour];
  most = std::max(most, nodes);
  while (state.most_nodes.begin()->first <= hour - kHoursKept)
    state.most_nodes.erase(state.most_nodes.begin());
}

// Whether the body is a cluster's health; writes row 0.
bool parse_health(ElasticsearchState& state, std::string& body, const Moment& now, Table& table) {
  JsonDocument document(body);
  simdjson::ondemand::object object;
  if (document.object().get(object) != simdjson::SUCCESS) return false;
  bool known = false;
  double no_master = 0;
  double nodes = kAbsent;
  const bool whole = json_fields(object, [&](std::string_view key, simdjson::ondemand::value one) {
    if (key == "cluster_name") return true;  // read for the labels
    if (key == "status") {
      const std::string_view color = json_text(one);
      const auto found = std::find(std::begin(kColors), std::end(kColors), color);
      known = found != std::end(kColors);
      table.set(0, kStatus, known ? static_cast<double>(found - std::begin(kColors)) : kNoState);
    } else if (key == "discovered_master" || key == "discovered_cluster_manager") {
      if (json_number(one) == 0) no_master = 1;
    } else {
      for (size_t i = kFirstNumber; i < std::size(kHealth); ++i) {
        if (kHealth[i].source != key) continue;
        const double number = json_number(one);
        table.set(0, i, number);
        if (key == "number_of_nodes") nodes = number;
      }
    }
    return true;
  });
  if (!whole || !known) return false;
  table.set(0, kNoMaster, no_master);
  if (nodes >= 0) remember_nodes(state, now, nodes);
  return true;
}

// The cluster's name stands first, and is a label of all that follows.
void read_cluster(ElasticsearchState& state, std::string& body) {
  JsonDocument document(body);
  simdjson::ondemand::object object;
  std::string_view name;
  if (document.object().get(object) == simdjson::SUCCESS &&
      object.find_field_unordered("cluster_name").get_string().get(name) == simdjson::SUCCESS)
    state.cluster = name;
}

Outcome read_health(ElasticsearchState& state, Reply& reply, const Moment& now, Output& out) {
  ++state.health_scrapes;
  Outcome outcome = outcome_of(state, reply);
  // 408: it waited for something and says how things are all the same.
  const bool readable = reply.ok() && (outcome.good || reply->http->status == 408);
  if (readable) read_cluster(state, reply->body);
  const std::string_view labels[] = {state.cluster};
  Table table(kHealthSchema, out.base);
  table.add_row(labels);
  if (readable) {
    outcome = parse_health(state, reply->body, now, table) ? Outcome{true, {}, {}}
                                                           : unread(state, "/_cluster/health");
    if (!outcome.good) {
      ++state.health_unread;
      table = Table(kHealthSchema, out.base);
      table.add_row(labels);
    }
  }
  if (outcome.refusal == Refusal::kNoMaster) table.set(0, kNoMaster, 1);
  if (!state.most_nodes.empty()) {
    double most = 0;
    for (const auto& [hour, nodes] : state.most_nodes) most = std::max(most, nodes);
    table.set(0, kExpected, most);
  }
  out.tables.push_back(std::move(table));
  state.health_up = outcome.good;
  return outcome;
}

Outcome read_nodes(ElasticsearchState& state, Reply& reply, Output& out) {
  ++state.node_stats_scrapes;
  state.node_stats_up = false;
  Outcome outcome = outcome_of(state, reply);
  if (!outcome.good) {
    // Another version than we took it for: asked anew.
    if (reply.ok() && reply->http->status == 400) state.server = {};
    return outcome;
  }
  bool busy = false;
  auto answer = main_tables().read(
      reply->body, out.base, state.cluster, [&](const NodeInfo&, std::span<const NodeRow> rows) {
        for (const NodeRow& row : rows) {
          if (elasticsearch_main_tables()[row.table].schema != &kElasticsearchPoolSchema ||
              row.key != "search")
            continue;
          const double active = row.cells[0];
          const double queue = row.cells[1];
          const double threads = row.cells[4];
          busy = busy || queue > 0 || (active > 0 && active >= threads);
        }
      });
  if (!answer) {
    ++state.node_stats_unread;
    return unread(state, "/_nodes/stats");
  }
  state.search_busy = busy;
  state.node_stats_up = true;
  if (!answer->cluster.empty()) state.cluster = answer->cluster;
  const std::string_view labels[] = {state.cluster};
  Table& nodes = out.table(kNodesSchema);
  nodes.set(nodes.add_row(labels), 0, answer->failed);
  for (Table& table : answer->tables) out.tables.push_back(std::move(table));
  out.series_dropped += answer->dropped;
  return outcome;
}

void write_refusals(ElasticsearchState& state, std::span<const Outcome> outcomes, Output& out) {
  Table& table = out.table(kRefusedSchema);
  table.add_row();
  for (const Outcome& outcome : outcomes) {
    if (outcome.refusal) ++state.refusals[static_cast<size_t>(*outcome.refusal)];
  }
  for (size_t i = 0; i < std::size(kRefusals); ++i) {
    const bool now = std::any_of(outcomes.begin(), outcomes.end(), [&](const Outcome& outcome) {
      return outcome.refusal && static_cast<size_t>(*outcome.refusal) == i;
    });
    table.set(0, 0, now ? 1 : 0, i);
    table.set(0, 1, static_cast<double>(state.refusals[i]), i);
  }
}

// A port with TLS closes the connection of who speaks plain HTTP, without a word.
Error with_hint(const ElasticsearchState& state, Error error) {
  if (error.reason == Reason::kReset && error.fix.empty() &&
      state.options.url.starts_with("http://"))
    error.fix = "if the server has TLS, as 8.x has it by default, write https:// and set ca_file";
  return error;
}

Step read(State& base, std::span<Reply> replies, const Moment& now, Output& out) {
  ElasticsearchState& state = elasticsearch_state(base);
  if (std::exchange(state.asked_root, false)) {
    read_root(state, replies[1]);
    // The time is over; the next exchange asks the nodes beside it.
    if (!replies[0].ok()) {
      state.health_up = state.node_stats_up = false;
      return with_hint(state, replies[0].error());
    }
    state.health = std::move(replies[0]);
    return More{{ask_nodes(state)}};
  }
  const bool kept = state.health.has_value();
  Reply health = kept ? *std::exchange(state.health, {}) : std::move(replies[0]);
  const Outcome outcomes[] = {read_health(state, health, now, out),
                              read_nodes(state, replies[kept ? 0 : 1], out)};
  if (outcomes[0].error && outcomes[1].error) {
    state.server = {};  // what comes back may be another version
    return with_hint(state, *outcomes[0].error);
  }
  for (const Outcome& outcome : outcomes) {
    if (outcome.error) out.limit(*outcome.error);
  }
  write_refusals(state, outcomes, out);
  return Done{};
}

std::vector<const Schema*> all_schemas() {
  std::vector<const Schema*> all{&kHealthSchema, &kNodesSchema, &kRefusedSchema};
  for (const NodeTable& table : elasticsearch_main_tables()) all.push_back(table.schema);
  return all;
}
const std::vector<const Schema*> kSchemas = all_schemas();

}  // namespace

HttpAsk ask_elasticsearch(const ElasticsearchState& state, const std::string& path) {
  const ElasticsearchOptions& options = state.options;
  return HttpAsk{.url = options.url + path,
                 .user = options.user,
                 .password_file = options.password_file,
                 .api_key_file = options.api_key_file,
                 .ca_file = options.ca_file,
                 .pinned_key = options.pinned_key,
                 .headers = {"X-Opaque-Id: lagwatch"},  // names our tasks in lists of them
                 .accept = HttpAccept::kAnyStatus,
                 .max_bytes = kMaxBytes};
}

std::string server_timeout(const ElasticsearchState& state, int thirds) {
  const auto third =
      std::chrono::duration_cast<std::chrono::milliseconds>(state.options.timeout).count() / 3;
  return std::to_string(std::max<int64_t>(third, 1) * thirds) + "ms";
}

std::optional<Trouble> elasticsearch_trouble(const ElasticsearchState& state,
                                             const Answer& answer) {
  const ElasticsearchOptions& options = state.options;
  return trouble_of(answer.http->status, answer.body, options.url,
                    !options.user.empty() || !options.api_key_file.empty());
}

Answer* elasticsearch_answer(const ElasticsearchState& state, Reply& reply, Output& out) {
  if (!reply.ok()) {
    out.limit(reply.error());
    return nullptr;
  }
  const auto trouble = elasticsearch_trouble(state, *reply);
  if (!trouble) return &*reply;
  if (!trouble->refusal) out.limit(trouble->error);
  return nullptr;
}

void say_unread(const ElasticsearchState& state, std::string_view path, Output& out) {
  out.limit({Reason::kProtocol,
             state.options.url + std::string(path) + ": the answer cannot be read",
             {}});
}

std::unique_ptr<State> make_elasticsearch_state(ElasticsearchOptions options) {
  auto state = std::make_unique<ElasticsearchState>();
  state->options = std::move(options);
  return state;
}

const Kind kElasticsearchKind{"elasticsearch", "elasticsearch_up", &kUpSchema};

extern const Collector elasticsearch{
    "elasticsearch", &kElasticsearchKind, Lane::kMain, kSchemas, begin, read};

}  // namespace lagwatch
