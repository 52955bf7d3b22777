// SPDX-License-Identifier: Apache-2.0
// A small search of our own, every interval, on a connection of its own and whatever else fails: it
// passes the search pool as users' searches do. That it fails or is slow is its result and never
// the target's failure. Beside it, how the main lane's questions went, for it does not tell once
// they fail.
// Source: /INDEX/_search. Privilege: read on the index.
#include <algorithm>
#include <cmath>
#include <iterator>

#include "collector/elasticsearch.h"
#include "collector/elasticsearch_json.h"

namespace lagwatch {
namespace {

using simdjson::ondemand::value;

constexpr int kTracksHits = 70000;

constexpr std::string_view kBounds[] = {"0.005", "0.01", "0.025", "0.05", "0.1", "0.25",
                                        "0.5",   "1",    "2.5",   "5",    "10"};
constexpr std::string_view kReasons[] = {
    "resolve",   "refused",  "connect_timeout", "hung",          "stalled",   "reset",
    "tls",       "auth",     "permission",      "http_status",   "protocol",  "too_large",
    "no_master", "rejected", "breaker",         "shards_failed", "timed_out", "index_missing"};
constexpr std::string_view kLabels[] = {"probe"};
enum ProbeColumn : size_t { kSuccess, kLast, kTook, kDuration, kFailures };
constexpr Column kColumns[] = {
    gauge("elasticsearch_probe_success", "search",
          "1 if the last probe was answered in full: no shard failed, none ran out of time."),
    gauge("elasticsearch_probe_last_duration_seconds", "search",
          "How long the last probe took, or was waited for; absent where there was no waiting, as "
          "when it was refused."),
    Column{.name = "elasticsearch_probe_took_seconds",
           .source = "took",
           .help = "How long Elasticsearch says it took; the rest is connection and HTTP.",
           .scale = 0.001},
    Column{.name = "elasticsearch_probe_duration_seconds",
           .type = Type::kHistogram,
           .source = "search",
           .help = "How long probes took; one that was given up counts with at least the timeout, "
                   "one that was refused at once not at all.",
           .values = kBounds,
           .expand = Expand::kHistogram},
    Column{.name = "elasticsearch_probe_failures_total",
           .type = Type::kCounter,
           .source = "search",
           .help = "Probes that failed, by reason.",
           .label = "reason",
           .values = kReasons,
           .expand = Expand::kEach},
};
constexpr Schema kSchema{kLabels, kColumns};
static_assert(std::size(kBounds) == ElasticsearchProbe::kBounds.size());

constexpr Column kScrapes[] = {
    gauge("elasticsearch_cluster_health_up", "/_cluster/health",
          "1 if the last question about the cluster's health was answered with it."),
    counter("elasticsearch_cluster_health_total_scrapes", "/_cluster/health",
            "Questions about the cluster's health."),
    counter("elasticsearch_cluster_health_json_parse_failures", "/_cluster/health",
            "Answers to them that could not be read."),
    gauge("elasticsearch_node_stats_up", "/_nodes/stats",
          "1 if the last question about the nodes was answered with their statistics."),
    counter("elasticsearch_node_stats_total_scrapes", "/_nodes/stats",
            "Questions about the nodes."),
    counter("elasticsearch_node_stats_json_parse_failures", "/_nodes/stats",
            "Answers to them that could not be read."),
};
constexpr Schema kScrapesSchema{{}, kScrapes};
constexpr const Schema* kSchemas[] = {&kSchema, &kScrapesSchema};

Asks begin(State& base) {
  const ElasticsearchState& state = elasticsearch_state(base);
  if (state.options.probe_index.empty()) return {};
  std::string path =
      "/" + state.options.probe_index +
      "/_search?size=0&request_cache=false&terminate_after=1&timeout=" + server_timeout(state, 1);
  if (state.server.api() >= kTracksHits) path += "&track_total_hits=false";
  path += "&preference=_local&filter_path=took,timed_out,_shards";
  HttpAsk ask = ask_elasticsearch(state, path);
  ask.connection = "elasticsearch-probe";
  ask.accept = HttpAccept::kAnything;
  ask.max_bytes = 1U << 20U;
  return {std::move(ask)};
}

// What a probe found. Without a reason it succeeded.
struct Found {
  std::string_view reason;
  bool waited = false;  // its duration tells of the search
  double took = kAbsent;
};

Found read_result(std::string& body) {
  Found found;
  found.waited = true;
  double failed = kAbsent;
  bool timed_out = false;
  const bool rejected = body.find("es_rejected_execution_exception") != std::string::npos;
  JsonDocument document(body);
  simdjson::ondemand::object object;
  const bool whole = document.object().get(object) == simdjson::SUCCESS &&
                     json_fields(object, [&](std::string_view key, value field) {
                       if (key == "took") found.took = json_number(field);
                       if (key == "timed_out") timed_out = json_number(field) == 1;
                       if (key != "_shards") return true;
                       return json_fields(field, [&](std::string_view name, value number) {
                         if (name == "failed") failed = json_number(number);
                         return true;
                       });
                     });
  if (!whole || std::isnan(found.took) || std::isnan(failed)) return {.reason = "protocol"};
  if (failed > 0) {
    found.reason = rejected ? "rejected" : "shards_failed";
  } else if (timed_out) {
    found.reason = "timed_out";
  }
  return found;
}

Found find(const ElasticsearchState& state, Answer& answer) {
  if (answer.http->failure) {
    const Reason reason = answer.http->failure->reason;
    const bool timeout =
        reason == Reason::kHung || reason == Reason::kStalled || reason == Reason::kConnectTimeout;
    const std::string_view name = reason_name(reason);
    const bool known =
        std::find(std::begin(kReasons), std::end(kReasons), name) != std::end(kReasons);
    return {.reason = known ? name : "protocol", .waited = timeout};
  }
  if (const auto trouble = elasticsearch_trouble(state, answer)) {
    return {.reason = trouble->refusal ? refusal_name(*trouble->refusal)
                                       : reason_name(trouble->error.reason)};
  }
  return read_result(answer.body);
}

void observe(ElasticsearchProbe& probe, double duration) {
  const auto bound = std::lower_bound(ElasticsearchProbe::kBounds.begin(),
                                      ElasticsearchProbe::kBounds.end(), duration);
  ++probe.observed[static_cast<size_t>(bound - ElasticsearchProbe::kBounds.begin())];
  probe.sum += duration;
}

void write_probe(ElasticsearchState& state, Answer& answer, Output& out) {
  ElasticsearchProbe& probe = state.probe;
  const double total = answer.http->total;
  const bool given_up = answer.http->failure.has_value();
  const Found found = find(state, answer);
  // Above the timeout, not at it: it would have taken longer.
  const double least = std::nextafter(seconds(state.options.timeout), HUGE_VAL);
  const double duration = given_up ? std::max(total, least) : total;
  if (found.waited) observe(probe, duration);
  if (!found.reason.empty()) ++probe.failures[found.reason];

  const std::string_view labels[] = {"search"};
  Table& table = out.table(kSchema);
  table.add_row(labels);
  table.set(0, kSuccess, found.reason.empty() ? 1 : 0);
  if (found.waited) table.set(0, kLast, duration);
  table.set(0, kTook, found.took);
  double count = 0;
  for (size_t i = 0; i < probe.observed.size(); ++i)
    table.set(0, kDuration, count += static_cast<double>(probe.observed[i]), i);
  table.set(0, kDuration, probe.sum, probe.observed.size());
  for (size_t i = 0; i < std::size(kReasons); ++i) {
    const auto failures = probe.failures.find(kReasons[i]);
    const bool none = failures == probe.failures.end();
    table.set(0, kFailures, none ? 0 : static_cast<double>(failures->second), i);
  }
}

Step read(State& base, std::span<Reply> replies, const Moment&, Output& out) {
  ElasticsearchState& state = elasticsearch_state(base);
  if (!replies.empty()) {
    if (replies[0].ok()) {
      write_probe(state, *replies[0], out);
    } else {
      out.limit(replies[0].error());
    }
  }
  Table& scrapes = out.table(kScrapesSchema);
  scrapes.add_row();
  const auto set = [&](size_t column, std::optional<bool> up, uint64_t scraped, uint64_t unread) {
    if (!up) return;  // not asked yet
    scrapes.set(0, column, *up ? 1 : 0);
    scrapes.set(0, column + 1, static_cast<double>(scraped));
    scrapes.set(0, column + 2, static_cast<double>(unread));
  };
  set(0, state.health_up, state.health_scrapes, state.health_unread);
  set(3, state.node_stats_up, state.node_stats_scrapes, state.node_stats_unread);
  return Done{};
}

}  // namespace

extern const Collector elasticsearch_probe{
    "elasticsearch_probe", &kElasticsearchKind, Lane::kProbe, kSchemas, begin, read};

}  // namespace lagwatch
