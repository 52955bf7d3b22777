// SPDX-License-Identifier: Apache-2.0
// Elasticsearch's lanes beside the main one: tasks, the search probe, routes, blocks, details.
#include <gtest/gtest.h>

#include "elasticsearch_replies.h"

namespace lagwatch {
namespace {

using namespace elasticsearch_replies;  // NOLINT: a test's own helpers
using namespace std::chrono_literals;

bool has(const std::string& samples, const std::string& line) {
  return golden::lines(samples).contains(line);
}

// Answers everything with `reply`.
Server server_with(const Reply& reply, ElasticsearchOptions options = {}, int version = 81905) {
  Server server([reply](const std::string&) { return reply; }, std::move(options));
  server.state().server.version = version;
  server.state().cluster = "c";
  return server;
}

TEST(ElasticsearchTasks, AreAskedOnlyWhileSearchesWait) {
  Server server = server_with(answer(R"({"tasks":[{"running_time_in_nanos":2500000000},)"
                                     R"({"running_time_in_nanos":31000000000},)"
                                     R"({"running_time_in_nanos":1000000}]})"));
  EXPECT_TRUE(server.samples("elasticsearch_tasks").empty());
  EXPECT_TRUE(server.asked.empty());
  server.state().search_busy = true;
  const std::string samples = server.samples("elasticsearch_tasks");
  ASSERT_EQ(server.asked.size(), 1U);
  EXPECT_NE(server.asked[0].find("&group_by=none"), std::string::npos);
  EXPECT_EQ(
      samples,
      "elasticsearch_search_tasks{target=\"t\",cluster=\"c\"} 3\n"
      "elasticsearch_search_tasks_oldest_seconds{target=\"t\",cluster=\"c\"} 31\n"
      "elasticsearch_search_tasks_over_seconds{target=\"t\",cluster=\"c\",threshold=\"1\"} 2\n"
      "elasticsearch_search_tasks_over_seconds{target=\"t\",cluster=\"c\",threshold=\"5\"} 1\n"
      "elasticsearch_search_tasks_over_seconds{target=\"t\",cluster=\"c\",threshold=\"30\"} "
      "1\n");
}

TEST(ElasticsearchTasks, AreGroupedByNodeBefore7) {
  Server server =
      server_with(answer(R"({"nodes":{"a":{"tasks":{"a:1":{"running_time_in_nanos":2000000000}}},)"
                         R"("b":{"tasks":{"b:7":{"running_time_in_nanos":4000000000}}}}})"),
                  {}, 50616);
  server.state().search_busy = true;
  const std::string samples = server.samples("elasticsearch_tasks");
  EXPECT_EQ(server.asked.at(0).find("group_by"), std::string::npos);
  EXPECT_TRUE(has(samples, "elasticsearch_search_tasks{target=\"t\",cluster=\"c\"} 2"));
  EXPECT_TRUE(
      has(samples, "elasticsearch_search_tasks_oldest_seconds{target=\"t\",cluster=\"c\"} 4"));
}

TEST(ElasticsearchTasks, DoNotExistBefore23) {
  Server server = server_with(answer("{}"), {}, 20204);
  server.state().search_busy = true;
  EXPECT_TRUE(server.samples("elasticsearch_tasks").empty());
  EXPECT_TRUE(server.asked.empty());
}

TEST(ElasticsearchTasks, OfAPartOfTheNodesOnlyTheOldestIsSaid) {
  Server server = server_with(answer(R"({"node_failures":[{"type":"failed_node_exception"}],)"
                                     R"("tasks":[{"running_time_in_nanos":2000000000}]})"));
  server.state().search_busy = true;
  EXPECT_EQ(server.samples("elasticsearch_tasks"),
            "elasticsearch_search_tasks_oldest_seconds{target=\"t\",cluster=\"c\"} 2\n");
}

TEST(ElasticsearchTasks, ThatCannotBeHadCostOnlyThemselves) {
  Server server = server_with(Error{Reason::kHung, "no answer", {}});
  server.state().search_busy = true;
  EXPECT_TRUE(server.samples("elasticsearch_tasks").empty());
  EXPECT_EQ(server.output().limits.size(), 1U);
}

// The search probe.

const ElasticsearchOptions kProbed{.probe_index = "products", .timeout = 2s};
const std::string kFine =
    R"({"took":5,"timed_out":false,"_shards":{"total":1,"successful":1,"failed":0}})";

std::string failures(const std::string& reason, int count = 1) {
  return "elasticsearch_probe_failures_total{target=\"t\",probe=\"search\",reason=\"" + reason +
         "\"} " + std::to_string(count);
}
std::string bucket(const std::string& le, int count) {
  return "elasticsearch_probe_duration_seconds_bucket{target=\"t\",probe=\"search\",le=\"" + le +
         "\"} " + std::to_string(count);
}
const std::string kSuccess = "elasticsearch_probe_success{target=\"t\",probe=\"search\"} ";

TEST(ElasticsearchProbe, IsASmallSearchOnAConnectionOfItsOwn) {
  const auto state = make_elasticsearch_state(kProbed);
  elasticsearch_state(*state).server.version = 81905;
  const Asks asks = collector("elasticsearch_probe").begin(*state);
  const HttpAsk& ask = std::get<HttpAsk>(asks.at(0));
  EXPECT_EQ(ask.url,
            "/products/_search?size=0&request_cache=false&terminate_after=1&timeout=666ms&"
            "track_total_hits=false&preference=_local&filter_path=took,timed_out,_shards");
  EXPECT_EQ(ask.accept, HttpAccept::kAnything);
  EXPECT_FALSE(ask.connection.empty());
  elasticsearch_state(*state).server.version = 60823;
  const Asks older = collector("elasticsearch_probe").begin(*state);
  EXPECT_EQ(std::get<HttpAsk>(older.at(0)).url.find("track_total_hits"), std::string::npos);
}

TEST(ElasticsearchProbe, ThereIsNoneWithoutAnIndex) {
  Server server = server_with(answer(kFine));
  EXPECT_TRUE(server.samples("elasticsearch_probe").empty());
  EXPECT_TRUE(server.asked.empty());
}

TEST(ElasticsearchProbe, ObservesWhatItTook) {
  Server server = server_with(answer(kFine, 200, 0.03), kProbed);
  const std::string samples = server.samples("elasticsearch_probe");
  EXPECT_TRUE(has(samples, kSuccess + "1"));
  EXPECT_TRUE(has(samples, bucket("0.025", 0)));
  EXPECT_TRUE(has(samples, bucket("0.05", 1)));
  EXPECT_TRUE(has(samples, bucket("+Inf", 1)));
  EXPECT_TRUE(has(samples, failures("hung", 0)));
  EXPECT_TRUE(
      has(samples, "elasticsearch_probe_took_seconds{target=\"t\",probe=\"search\"} 0.005"));
  EXPECT_TRUE(has(samples,
                  "elasticsearch_probe_last_duration_seconds{target=\"t\",probe=\"search\"} 0.03"));
}

TEST(ElasticsearchProbe, OneThatWasGivenUpCountsAboveTheTimeout) {
  for (const Reason reason : {Reason::kHung, Reason::kStalled, Reason::kConnectTimeout}) {
    // The timeout is a bound of the histogram's here: it would have taken longer.
    Server server = server_with(failure(reason, 0.999), {.probe_index = "products", .timeout = 1s});
    const std::string samples = server.samples("elasticsearch_probe");
    EXPECT_TRUE(has(samples, kSuccess + "0"));
    EXPECT_TRUE(has(samples, bucket("1", 0))) << samples;
    EXPECT_TRUE(has(samples, bucket("2.5", 1)));
    EXPECT_TRUE(has(samples, failures(std::string(reason_name(reason)))));
  }
}

TEST(ElasticsearchProbe, OneThatWasRefusedAtOnceIsNoFastSearch) {
  for (const Reason reason : {Reason::kRefused, Reason::kReset, Reason::kTls, Reason::kResolve}) {
    Server server = server_with(failure(reason, 0.0002), kProbed);
    const std::string samples = server.samples("elasticsearch_probe");
    EXPECT_TRUE(has(samples, bucket("+Inf", 0)));
    EXPECT_TRUE(has(samples, failures(std::string(reason_name(reason)))));
    EXPECT_EQ(samples.find("last_duration"), std::string::npos);
  }
}

TEST(ElasticsearchProbe, BadNewsHaveReasons) {
  const auto error = [](const std::string& type, int status) {
    return answer(R"({"error":{"root_cause":[{"type":")" + type +
                      R"("}],"type":"search_phase_execution_exception"},"status":1})",
                  status);
  };
  const std::pair<Reply, std::string> cases[] = {
      {error("es_rejected_execution_exception", 429), "rejected"},
      {error("circuit_breaking_exception", 429), "breaker"},
      {error("no_shard_available_action_exception", 503), "shards_failed"},
      {answer(R"({"error":{"type":"search_phase_execution_exception"},"status":503})", 503),
       "shards_failed"},
      {answer(R"({"error":{"type":"cluster_block_exception"},"status":503})", 503), "no_master"},
      {answer(R"({"error":{"type":"index_not_found_exception"},"status":404})", 404),
       "index_missing"},
      {answer(R"({"error":"IndexMissingException[[products] missing]","status":404})", 404),
       "index_missing"},
      {answer(R"({"error":{"type":"security_exception"},"status":403})", 403), "auth"},
      {answer("<html>", 503), "http_status"},
      {answer("<html>", 200), "protocol"},
      {answer(kFine.substr(0, 40)), "protocol"},
      {answer(R"({"took":"5","timed_out":false,"_shards":{"failed":0}})"), "protocol"},
      {answer(R"({"took":5,"timed_out":false,"_shards":{"total":2,"successful":1,"failed":1,)"
              R"("failures":[{"reason":{"type":"illegal_state_exception"}}]}})"),
       "shards_failed"},
      {answer(R"({"took":5,"timed_out":false,"_shards":{"failed":1,"failures":)"
              R"([{"reason":{"type":"es_rejected_execution_exception"}}]}})"),
       "rejected"},
      {answer(R"({"took":1000,"timed_out":true,"_shards":{"failed":0}})"), "timed_out"},
  };
  for (const auto& [reply, reason] : cases) {
    Server server = server_with(reply, kProbed);
    const std::string samples = server.samples("elasticsearch_probe");
    EXPECT_TRUE(has(samples, failures(reason))) << reason << "\n" << samples;
    EXPECT_TRUE(has(samples, kSuccess + "0")) << reason;
  }
}

TEST(ElasticsearchProbe, CountsAddUp) {
  Server server = server_with(answer(kFine, 200, 0.004), kProbed);
  server.samples("elasticsearch_probe");
  server.samples("elasticsearch_probe");
  server.answers([](const std::string&) { return failure(Reason::kHung, 2.0); });
  const std::string samples = server.samples("elasticsearch_probe");
  EXPECT_TRUE(has(samples, bucket("0.005", 2)));
  EXPECT_TRUE(has(samples, bucket("2.5", 3)));
  EXPECT_TRUE(has(samples, failures("hung")));
}

TEST(ElasticsearchProbe, TellsHowTheMainLaneWent) {
  Server server = server_with(answer(kFine), {});
  server.state().health_up = false;
  server.state().health_scrapes = 4;
  const std::string samples = server.samples("elasticsearch_probe");
  EXPECT_TRUE(has(samples, "elasticsearch_cluster_health_up{target=\"t\"} 0"));
  EXPECT_TRUE(has(samples, "elasticsearch_cluster_health_total_scrapes{target=\"t\"} 4"));
  EXPECT_EQ(samples.find("node_stats_up"), std::string::npos) << "not known yet";
}

// The others.

TEST(ElasticsearchRoutes, BucketsThatAreLeftOutAreEmpty) {
  Server server = server_with(answer(
      R"({"cluster_name":"c","nodes":{"a":{"name":"n1","http":{"routes":{"/_search":{"responses":{)"
      R"("handling_time_histogram":[{"lt_millis":1,"count":2},{"ge_millis":8,"lt_millis":16,)"
      R"("count":3},{"ge_millis":65536,"count":1}]}},"/_bulk":{}}}}}})"));
  const std::string samples = server.samples("elasticsearch_routes");
  const std::string series =
      "elasticsearch_http_route_duration_seconds_bucket{target=\"t\","
      "cluster=\"c\",name=\"n1\",route=\"/_search\",le=\"";
  EXPECT_TRUE(has(samples, series + "0.001\"} 2"));
  EXPECT_TRUE(has(samples, series + "0.008\"} 2"));
  EXPECT_TRUE(has(samples, series + "0.016\"} 5"));
  EXPECT_TRUE(has(samples, series + "65.536\"} 5"));
  EXPECT_TRUE(has(samples, series + "+Inf\"} 6"));
  EXPECT_EQ(samples.find("_sum"), std::string::npos) << "the server does not tell it";
  EXPECT_EQ(samples.find("_bulk"), std::string::npos);
}

TEST(ElasticsearchRoutes, AreAskedFrom812On) {
  Server server = server_with(answer("{}"), {}, 81105);
  EXPECT_TRUE(server.samples("elasticsearch_routes").empty());
  EXPECT_TRUE(server.asked.empty());
}

TEST(ElasticsearchBlocks, TellWhatMayNotBeWritten) {
  const std::string block = R"({"retryable":false})";
  Server server = server_with(answer(R"({"cluster_name":"c","blocks":{"global":{"13":)" + block +
                                     R"(},"indices":{"a":{"12":)" + block + R"(},"b":{"12":)" +
                                     block + R"(,"8":)" + block + "}}}}"));
  EXPECT_EQ(server.samples("elasticsearch_blocks"),
            "elasticsearch_cluster_read_only{target=\"t\",cluster=\"c\"} 1\n"
            "elasticsearch_cluster_blocks{target=\"t\",cluster=\"c\"} 1\n"
            "elasticsearch_index_read_only{target=\"t\",cluster=\"c\","
            "block=\"read_only_allow_delete\"} 2\n"
            "elasticsearch_index_read_only{target=\"t\",cluster=\"c\",block=\"read_only\"} 0\n"
            "elasticsearch_index_read_only{target=\"t\",cluster=\"c\",block=\"write\"} 1\n");
}

TEST(ElasticsearchBlocks, NoneIsAMeasuredZeroAndAnotherAnswerIsNone) {
  Server server = server_with(answer(R"({"cluster_name":"c"})"));
  EXPECT_TRUE(has(server.samples("elasticsearch_blocks"),
                  "elasticsearch_cluster_read_only{target=\"t\",cluster=\"c\"} 0"));
  server.answers([](const std::string&) { return answer("{}"); });
  EXPECT_TRUE(server.samples("elasticsearch_blocks").empty());
  EXPECT_EQ(server.output().limits.size(), 1U);
}

TEST(ElasticsearchDetail, WithoutTheDisksTheRestStands) {
  Server server([](const std::string& path) {
    if (path == "/") return answer(R"({"cluster_name":"c","version":{"number":"8.19.5"}})");
    if (path.find("/stats/fs") != std::string::npos)
      return Reply(Error{Reason::kHung, "no answer", {}});
    return answer(R"({"cluster_name":"c","nodes":{"i":{"name":"n1","roles":["master"],)"
                  R"("os":{"cpu":{"load_average":{"1m":0.5}}},"thread_pool":{"flush":{"queue":1},)"
                  R"("search":{"queue":2}}}}})");
  });
  const std::string samples = server.samples("elasticsearch_detail");
  EXPECT_NE(samples.find("elasticsearch_os_load1{"), std::string::npos) << samples;
  EXPECT_NE(samples.find("type=\"flush\"} 1"), std::string::npos);
  EXPECT_EQ(samples.find("type=\"search\""), std::string::npos) << "the main lane's";
  EXPECT_TRUE(
      has(samples, "elasticsearch_version{target=\"t\",cluster=\"c\",version=\"8.19.5\"} 1"));
  EXPECT_TRUE(has(samples,
                  "elasticsearch_nodes_roles{target=\"t\",cluster=\"c\",name=\"n1\","
                  "node=\"i\",role=\"master\"} 1"));
  EXPECT_TRUE(
      has(samples, "elasticsearch_clusterinfo_up{target=\"t\",url=\"" + Server::kUrl + "\"} 1"));
  EXPECT_EQ(server.output().limits.size(), 1U);
}

}  // namespace
}  // namespace lagwatch
