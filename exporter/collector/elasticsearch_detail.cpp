// SPDX-License-Identifier: Apache-2.0
// What is many and tells little of this minute: the rest of elasticsearch_exporter's names of
// nodes, and which server this is. What fails here costs only what is shown here. Source: /,
// /_nodes/stats. Privilege: cluster monitor.
#include "collector/elasticsearch.h"
#include "collector/elasticsearch_columns.h"

namespace lagwatch {
namespace {

constexpr std::string_view kVersionLabels[] = {"build_date",   "build_hash",     "cluster",
                                               "cluster_uuid", "lucene_version", "version"};
constexpr Column kVersion[] = {
    gauge("elasticsearch_version", "version", "1; which version this is."),
    gauge("elasticsearch_clusterinfo_version_info", "version", "1; which version this is."),
};
constexpr Schema kVersionSchema{kVersionLabels, kVersion};

constexpr std::string_view kUrlLabels[] = {"url"};
constexpr Column kInfo[] = {
    gauge("elasticsearch_clusterinfo_up", "GET /", "1 if the last question about it was answered."),
    gauge("elasticsearch_clusterinfo_last_retrieval_success_ts", "GET /",
          "When that was, Unix time."),
};
constexpr Schema kInfoSchema{kUrlLabels, kInfo};

constexpr std::string_view kScrapes[] = {"cluster-info"};
constexpr Column kScrape[] = {
    {.name = "elasticsearch_scrape_success",
     .source = "GET /",
     .help = "1 if it succeeded, under the name of elasticsearch_exporter's collector.",
     .label = "collector",
     .values = kScrapes,
     .expand = Expand::kEach},
    {.name = "elasticsearch_scrape_duration_seconds",
     .source = "GET /",
     .help = "How long the answer took.",
     .label = "collector",
     .values = kScrapes,
     .expand = Expand::kEach},
};
constexpr Schema kScrapeSchema{{}, kScrape};

constexpr std::string_view kRoleLabels[] = {"cluster", "host", "name", "node"};
constexpr std::string_view kRoles[] = {
    "data",      "data_cold",   "data_content", "data_frozen", "data_hot",
    "data_warm", "ingest",      "master",       "ml",          "remote_cluster_client",
    "transform", "voting_only", "client"};
constexpr Column kRole[] = {
    {.name = "elasticsearch_nodes_roles",
     .source = "roles",
     .help = "1 for the roles that the node has; `client` if it answers HTTP.",
     .label = "role",
     .values = kRoles,
     .expand = Expand::kEach},
};
constexpr Schema kRoleSchema{kRoleLabels, kRole};

const NodeTables& detail_tables() {
  static const NodeTables tables(elasticsearch_detail_tables());
  return tables;
}

const NodeTables& disk_tables() {
  static const NodeTables tables(elasticsearch_disk_tables());
  return tables;
}

Asks begin(State& base) {
  const ElasticsearchState& state = elasticsearch_state(base);
  const bool local = state.options.local_node;
  const std::string wait = "&timeout=" + server_timeout(state, 2);
  return {ask_elasticsearch(state, "/"),
          ask_elasticsearch(state, elasticsearch_detail_request(local) + wait),
          ask_elasticsearch(state, elasticsearch_disk_request(local) + wait)};
}

void write_info(ElasticsearchState& state, Reply& reply, const Moment& now, Output& out) {
  const std::optional<HttpDetail> http = reply.ok() ? reply->http : std::nullopt;
  read_root(state, reply);
  const bool up = http && http->status == 200 && state.server.version != 0;
  const std::string_view url[] = {state.options.url};
  Table& info = out.table(kInfoSchema);
  info.set(info.add_row(url), 0, up ? 1 : 0);
  if (up) info.set(0, 1, unix_seconds(now.wall));
  Table& scrape = out.table(kScrapeSchema);
  scrape.set(scrape.add_row(), 0, up ? 1 : 0);
  if (http) scrape.set(0, 1, http->total);
  const ElasticsearchServer& server = state.server;
  if (server.version == 0) return;
  const std::string_view labels[] = {server.build_date,   server.build_hash,     state.cluster,
                                     server.cluster_uuid, server.lucene_version, server.number};
  Table& version = out.table(kVersionSchema);
  version.add_row(labels);
  version.set(0, 0, 1);
  version.set(0, 1, 1);
}

void write_roles(const NodeInfo& node, const std::string& cluster, Table& table) {
  const std::string_view labels[] = {cluster, node.host, node.name, node.id};
  const size_t row = table.add_row(labels);
  for (size_t i = 0; i < std::size(kRoles); ++i) {
    const bool has = kRoles[i] == "client" ? node.http : node.has(kRoles[i]);
    table.set(row, 0, has ? 1 : 0, i);
  }
}

void write_nodes(const ElasticsearchState& state, const NodeTables& tables, Reply& reply,
                 const NodeTables::OnNode& on_node, Output& out) {
  Answer* const answered = elasticsearch_answer(state, reply, out);
  if (answered == nullptr) return;
  auto answer = tables.read(answered->body, out.base, state.cluster, on_node);
  if (!answer) return say_unread(state, "/_nodes/stats", out);
  for (Table& table : answer->tables) out.tables.push_back(std::move(table));
  out.series_dropped += answer->dropped;
}

Step read(State& base, std::span<Reply> replies, const Moment& now, Output& out) {
  ElasticsearchState& state = elasticsearch_state(base);
  write_info(state, replies[0], now, out);
  Table roles(kRoleSchema, out.base);
  write_nodes(
      state, detail_tables(), replies[1],
      [&](const NodeInfo& node, std::span<const NodeRow>) {
        write_roles(node, state.cluster, roles);
      },
      out);
  out.tables.push_back(std::move(roles));
  write_nodes(state, disk_tables(), replies[2], {}, out);
  return Done{};
}

std::vector<const Schema*> all_schemas() {
  std::vector<const Schema*> all{&kVersionSchema, &kInfoSchema, &kScrapeSchema, &kRoleSchema};
  for (const NodeTable& table : elasticsearch_detail_tables()) {
    if (table.schema != &kElasticsearchPoolSchema) all.push_back(table.schema);
  }
  for (const NodeTable& table : elasticsearch_disk_tables()) all.push_back(table.schema);
  return all;
}
const std::vector<const Schema*> kSchemas = all_schemas();

}  // namespace

extern const Collector elasticsearch_detail{
    "elasticsearch_detail", &kElasticsearchKind, Lane::kDetail, kSchemas, begin, read};

}  // namespace lagwatch
