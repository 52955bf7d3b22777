// SPDX-License-Identifier: Apache-2.0
// What the main lane makes of good answers, bad news and answers that are none; every state and
// every fault.
#include <gtest/gtest.h>

#include "elasticsearch_replies.h"

namespace lagwatch {
namespace {

using namespace elasticsearch_replies;  // NOLINT: a test's own helpers
using namespace std::chrono_literals;
using testing::Test;

const std::string kRoot =
    R"({"name":"n1","cluster_name":"c","cluster_uuid":"u","version":{"number":"8.19.5"}})";
const std::string kGreen =
    R"({"cluster_name":"c","status":"green","number_of_nodes":3,"unassigned_shards":0})";
const std::string kNodes =
    R"({"_nodes":{"total":1,"successful":1,"failed":0},"cluster_name":"c","nodes":{"id1":{"name":"n1",)"
    R"("host":"10.0.0.1","roles":["data_hot","master"],"indices":{"docs":{"count":7}},)"
    R"("thread_pool":{"search":{"threads":2,"queue":0,"active":1,"rejected":3,"completed":9},)"
    R"("flush":{"threads":1,"queue":0,"active":0}},"http":{"current_open":4}}}})";
const std::string kNoMaster =
    R"({"error":{"root_cause":[{"type":"master_not_discovered_exception","reason":null}],)"
    R"("type":"master_not_discovered_exception","reason":null},"status":503})";
const std::string kHtml = "<html><body><h1>503 Service Unavailable</h1></body></html>";
const std::string kNode =
    R"({target="t",cluster="c",host="10.0.0.1",name="n1",es_master_node="true",)"
    R"(es_data_node="true",es_ingest_node="false",es_client_node="true")";

// Files by name, as file_of() has them; what is not there is the usual answer.
struct Answers {
  std::map<std::string, Reply> replies;
  Reply operator()(const std::string& path) const {
    const auto found = replies.find(file_of(path));
    if (found != replies.end()) return found->second;
    const std::map<std::string, std::string> usual = {
        {"root.json", kRoot}, {"health.json", kGreen}, {"nodes.json", kNodes}};
    const auto body = usual.find(file_of(path));
    if (body != usual.end()) return answer(body->second);
    return Error{Reason::kProtocol, "not expected: " + path, {}};
  }
};

bool has(const std::string& samples, const std::string& line) {
  return golden::lines(samples).contains(line);
}

TEST(Elasticsearch, AsksTheVersionFirstThenBothSideBySide) {
  Server server(Answers{});
  server.samples("elasticsearch");
  ASSERT_EQ(server.asked.size(), 3U);
  EXPECT_EQ(server.asked[0], "/_cluster/health?master_timeout=1000ms&timeout=1000ms");
  EXPECT_EQ(server.asked[1], "/");
  EXPECT_TRUE(
      server.asked[2].starts_with("/_nodes/stats/indices,jvm,thread_pool,process,breaker,"
                                  "http,indexing_pressure/search,"))
      << server.asked[2];
  EXPECT_TRUE(server.asked[2].ends_with("&timeout=2000ms"));
  server.asked.clear();
  server.samples("elasticsearch");
  EXPECT_EQ(server.asked.size(), 2U);
  EXPECT_LT(server.asked[1].size(), 2000U) << "Elasticsearch takes lines of 4096 bytes";
}

TEST(Elasticsearch, AskOfOldVersionsNamesOnlyWhatTheyHave) {
  for (const char* version : {"1.7.6", "2.4.6", "6.8.23", "7.8.1"}) {
    Server server(Answers{
        {{"root.json", answer(R"({"version":{"number":")" + std::string(version) + "\"}}")}}});
    server.samples("elasticsearch");
    EXPECT_EQ(server.asked.back().find(",indexing_pressure/"), std::string::npos) << version;
  }
}

TEST(Elasticsearch, OpenSearchIsAskedAsVersion7) {
  Server server(Answers{{{"root.json", answer(R"({"version":{"distribution":"opensearch",)"
                                              R"("number":"1.3.20"}})")}}});
  server.samples("elasticsearch");
  EXPECT_NE(server.asked.back().find(",indexing_pressure/"), std::string::npos);
  EXPECT_TRUE(server.samples("elasticsearch_routes").empty());
}

TEST(Elasticsearch, EverySettingIsInTheAsk) {
  const auto state = make_elasticsearch_state({.url = "https://s:9200",
                                               .user = "u",
                                               .password_file = "/p",
                                               .ca_file = "/ca",
                                               .pinned_key = "sha256//x",
                                               .local_node = true,
                                               .timeout = 1500ms});
  elasticsearch_state(*state).server.version = 81905;
  const Asks asks = collector("elasticsearch").begin(*state);
  const HttpAsk& ask = std::get<HttpAsk>(asks.at(1));
  EXPECT_TRUE(ask.url.starts_with("https://s:9200/_nodes/_local/stats/")) << ask.url;
  EXPECT_TRUE(ask.url.ends_with("&timeout=1000ms"));
  EXPECT_EQ(ask.user, "u");
  EXPECT_EQ(ask.password_file, "/p");
  EXPECT_EQ(ask.ca_file, "/ca");
  EXPECT_EQ(ask.pinned_key, "sha256//x");
  EXPECT_EQ(ask.accept, HttpAccept::kAnyStatus);
  EXPECT_EQ(ask.max_bytes, 64U << 20U);
}

TEST(Elasticsearch, ANodeHasTheLabelsOfElasticsearchExporter) {
  Server server(Answers{});
  const std::string samples = server.samples("elasticsearch");
  EXPECT_TRUE(has(samples, "elasticsearch_indices_docs" + kNode + "} 7")) << samples;
  EXPECT_TRUE(
      has(samples, "elasticsearch_thread_pool_rejected_count" + kNode + ",type=\"search\"} 3"));
  EXPECT_TRUE(has(samples, "elasticsearch_http_current_open" + kNode + "} 4"));
  EXPECT_TRUE(has(samples,
                  "elasticsearch_cluster_health_status{target=\"t\",cluster=\"c\","
                  "color=\"green\"} 1"));
  EXPECT_TRUE(has(samples, "elasticsearch_no_master{target=\"t\",cluster=\"c\"} 0"));
  EXPECT_TRUE(has(samples, "elasticsearch_nodes_stats_failed_nodes{target=\"t\",cluster=\"c\"} 0"));
  // The detail lane's pool, and what the node did not say.
  EXPECT_EQ(samples.find("flush"), std::string::npos);
  EXPECT_EQ(samples.find("jvm"), std::string::npos);
  EXPECT_FALSE(server.state().search_busy);
}

TEST(Elasticsearch, RedAndYellowAreResults) {
  for (const std::string& color : {std::string("red"), std::string("yellow")}) {
    Server server(Answers{{{"health.json", answer(R"({"cluster_name":"c","status":")" + color +
                                                  R"(","number_of_nodes":3})")}}});
    const std::string samples = server.samples("elasticsearch");
    EXPECT_TRUE(has(samples,
                    "elasticsearch_cluster_health_status{target=\"t\",cluster=\"c\","
                    "color=\"" +
                        color + "\"} 1"));
    EXPECT_TRUE(server.output().limits.empty());
  }
}

TEST(Elasticsearch, WithoutAMasterTheServerIsUp) {
  for (const std::string& body :
       {kNoMaster,
        std::string(R"({"error":"MasterNotDiscoveredException[waited for [1s]]","status":503})"),
        std::string(
            R"({"error":{"type":"cluster_block_exception","reason":"blocked by: )"
            R"([SERVICE_UNAVAILABLE/1/state not recovered / initialized];"},"status":503})")}) {
    Server server(Answers{{{"health.json", answer(body, 503)}, {"nodes.json", answer(body, 503)}}});
    const std::string samples = server.samples("elasticsearch");
    EXPECT_TRUE(has(samples, "elasticsearch_no_master{target=\"t\",cluster=\"c\"} 1")) << samples;
    EXPECT_TRUE(has(samples, "elasticsearch_refused{target=\"t\",reason=\"no_master\"} 1"));
    EXPECT_TRUE(has(samples, "elasticsearch_refusals_total{target=\"t\",reason=\"no_master\"} 2"));
    EXPECT_EQ(samples.find("cluster_health_status"), std::string::npos) << "not known, so absent";
    EXPECT_TRUE(server.output().limits.empty());
  }
}

TEST(Elasticsearch, OpenSearchSaysItWithinAGoodAnswer) {
  Server server(Answers{{{"health.json", answer(R"({"cluster_name":"c","status":"red",)"
                                                R"("discovered_master":false})")}}});
  EXPECT_TRUE(has(server.samples("elasticsearch"),
                  "elasticsearch_no_master{target=\"t\",cluster=\"c\"} 1"));
}

TEST(Elasticsearch, ARejectedOrBrokenQuestionCostsItsPart) {
  const std::pair<std::string, std::string> bodies[] = {
      {R"({"error":{"type":"es_rejected_execution_exception"},"status":429})", "rejected"},
      {R"({"error":{"type":"circuit_breaking_exception"},"status":429})", "breaker"},
      {R"({"error":"EsRejectedExecutionException[rejected]","status":503})", "rejected"}};
  for (const auto& [body, reason] : bodies) {
    Server server(Answers{{{"nodes.json", answer(body, 429)}}});
    const std::string samples = server.samples("elasticsearch");
    EXPECT_TRUE(has(samples, "elasticsearch_refused{target=\"t\",reason=\"" + reason + "\"} 1"));
    EXPECT_TRUE(has(samples,
                    "elasticsearch_cluster_health_number_of_nodes{target=\"t\","
                    "cluster=\"c\"} 3"));
    EXPECT_EQ(samples.find("thread_pool"), std::string::npos);
    EXPECT_EQ(server.state().node_stats_up, false);
    EXPECT_EQ(server.state().health_up, true);
  }
}

TEST(Elasticsearch, OneHungQuestionCostsItsPartAndTwoAreAHungServer) {
  const Reply hung = Error{Reason::kHung, "connected, and no answer in time", {}};
  Server server(Answers{});
  server.samples("elasticsearch");
  server.answers(Answers{{{"nodes.json", hung}}});
  EXPECT_NE(server.samples("elasticsearch").find("cluster_health_status"), std::string::npos);
  ASSERT_EQ(server.output().limits.size(), 1U);
  EXPECT_EQ(server.output().limits[0].reason, Reason::kHung);
  server.answers(Answers{{{"health.json", hung}}});
  EXPECT_NE(server.samples("elasticsearch").find("thread_pool"), std::string::npos);
  server.answers(Answers{{{"health.json", hung}, {"nodes.json", hung}}});
  EXPECT_EQ(server.error("elasticsearch").reason, Reason::kHung);
  EXPECT_EQ(server.state().health_up, false);
  EXPECT_EQ(server.state().node_stats_up, false);
  EXPECT_EQ(server.state().server.version, 0) << "it may come back as another";
}

TEST(Elasticsearch, CredentialsThatAreMissingOrWrongAreNamedWithTheFix) {
  const Reply no = answer(R"({"error":{"type":"security_exception"},"status":401})", 401);
  const Reply forbidden = answer(R"({"error":{"type":"security_exception"},"status":403})", 403);
  const auto fails = [](const Reply& reply, ElasticsearchOptions options) {
    Server server(Answers{{{"root.json", reply}, {"health.json", reply}, {"nodes.json", reply}}},
                  std::move(options));
    return server.error("elasticsearch");
  };
  Error error = fails(no, {});
  EXPECT_EQ(error.reason, Reason::kAuth);
  EXPECT_NE(error.fix.find("username and password_file"), std::string::npos) << error.fix;
  EXPECT_NE(error.fix.find("\"cluster\":[\"monitor\"]"), std::string::npos) << error.fix;
  error = fails(no, {.user = "lagwatch", .password_file = "/p"});
  EXPECT_EQ(error.reason, Reason::kAuth);
  EXPECT_TRUE(error.fix.starts_with("check username and password_file")) << error.fix;
  error = fails(forbidden, {.api_key_file = "/k"});
  EXPECT_EQ(error.reason, Reason::kAuth);
  EXPECT_NE(error.fix.find("\"cluster\":[\"monitor\"]"), std::string::npos) << error.fix;
}

TEST(Elasticsearch, ALoadBalancersPageIsAFailure) {
  const Reply page = answer(kHtml, 503);
  Server down(Answers{{{"root.json", page}, {"health.json", page}, {"nodes.json", page}}});
  EXPECT_EQ(down.error("elasticsearch").reason, Reason::kHttpStatus);
  const Reply fine = answer(kHtml, 200);
  Server other(Answers{{{"root.json", fine}, {"health.json", fine}, {"nodes.json", fine}}});
  EXPECT_EQ(other.error("elasticsearch").reason, Reason::kProtocol);
}

TEST(Elasticsearch, HalfABodyIsAFailureWhereverItEnds) {
  for (size_t bytes = 1; bytes < kNodes.size(); ++bytes) {
    Server server(Answers{{{"nodes.json", answer(kNodes.substr(0, bytes))}}});
    server.samples("elasticsearch");
    ASSERT_EQ(server.output().limits.size(), 1U) << bytes << " bytes were taken for the whole";
    EXPECT_EQ(server.output().limits[0].reason, Reason::kProtocol);
    EXPECT_EQ(server.output().tables.size(), 2U) << "nothing of it is shown";
  }
  for (size_t bytes = 1; bytes < kGreen.size(); ++bytes) {
    Server server(Answers{{{"health.json", answer(kGreen.substr(0, bytes))}}});
    const std::string samples = server.samples("elasticsearch");
    EXPECT_EQ(samples.find("cluster_health"), std::string::npos) << bytes;
    EXPECT_EQ(server.state().health_unread, 1U);
  }
}

TEST(Elasticsearch, AFieldOfAnotherTypeCostsItselfOnly) {
  Server server(Answers{
      {{"nodes.json",
        answer(
            R"({"cluster_name":"c","nodes":{"id1":{"name":"n1","host":["?"],"roles":"master",)"
            R"("indices":{"docs":{"count":"7"},"search":{"query_total":5,"query_current":{},)"
            R"("open_contexts":-1,"fetch_total":1e999,"fetch_current":nul}},"jvm":"?",)"
            R"("process":{"open_file_descriptors":[1]},"http":{"current_open":4}},"id2":[1]}})")},
       {"health.json", answer(R"({"cluster_name":"c","status":"green","number_of_nodes":"3",)"
                              R"("active_shards":2})")}}});
  const std::string samples = server.samples("elasticsearch");
  for (const std::string absent : {"indices_docs", "search_active_queries", "search_open_contexts",
                                   "fetch", "open_files", "number_of_nodes"})
    EXPECT_EQ(samples.find(absent), std::string::npos) << absent;
  EXPECT_NE(samples.find("elasticsearch_indices_search_query_total{"), std::string::npos);
  EXPECT_NE(samples.find("elasticsearch_http_current_open{"), std::string::npos);
  EXPECT_NE(samples.find("elasticsearch_cluster_health_active_shards{"), std::string::npos);
  EXPECT_TRUE(server.output().limits.empty());
}

TEST(Elasticsearch, TenThousandClosedClientsDoNotMatter) {
  std::string clients = R"("clients":[)";
  for (int i = 0; i < 10000; ++i) {
    clients += (i == 0 ? "" : ",");
    clients += R"({"id":)" + std::to_string(i) +
               R"(,"agent":"faraday","local_address":"10.0.0.1:9200","last_uri":"/a/_search"})";
  }
  std::string body = kNodes;
  body.insert(body.find(R"("current_open")"), clients + "],");
  Server server(Answers{{{"nodes.json", answer(body)}}});
  EXPECT_TRUE(
      has(server.samples("elasticsearch"), "elasticsearch_http_current_open" + kNode + "} 4"));
}

TEST(Elasticsearch, NodesWithTheSameLabelsAreNotASeriesTwice) {
  std::string body = kNodes;
  const std::string node =
      body.substr(body.find("{\"name\""), body.rfind("}}}") + 1 - body.find("{\"name\""));
  body.insert(body.rfind("}}"), ",\"id2\":" + node);
  Server server(Answers{{{"nodes.json", answer(body)}}});
  const std::string samples = server.samples("elasticsearch");
  EXPECT_TRUE(has(samples, "elasticsearch_indices_docs" + kNode + "} 7"));
  EXPECT_GT(server.output().series_dropped, 0U);
}

TEST(Elasticsearch, RolesBefore5AreWhatAttributesDoNotDeny) {
  Server server(Answers{
      {{"root.json", answer(R"({"version":{"number":"1.7.6"}})")},
       {"nodes.json",
        answer(R"({"cluster_name":"c","nodes":{"a":{"name":"n1","attributes":{"data":"false"},)"
               R"("indices":{"docs":{"count":1}}}}})")}}});
  EXPECT_NE(server.samples("elasticsearch")
                .find("es_master_node=\"true\",es_data_node=\"false\",es_ingest_node=\"false\","
                      "es_client_node=\"false\""),
            std::string::npos);
}

TEST(Elasticsearch, TheMostNodesOfADayAreExpected) {
  const auto nodes = [](int number) {
    return Answers{{{"health.json", answer(R"({"cluster_name":"c","status":"green",)"
                                           R"("number_of_nodes":)" +
                                           std::to_string(number) + "}")}}};
  };
  const auto expected = [](const std::string& samples, int number) {
    return has(samples, "elasticsearch_nodes_expected{target=\"t\",cluster=\"c\"} " +
                            std::to_string(number));
  };
  Server server(nodes(3));
  server.samples("elasticsearch");
  server.answers(nodes(2));
  EXPECT_TRUE(expected(server.samples("elasticsearch", golden::moment(23 * 3600)), 3));
  server.answers(Answers{{{"health.json", answer(kNoMaster, 503)}}});
  EXPECT_TRUE(expected(server.samples("elasticsearch", golden::moment(23 * 3600)), 3));
  server.answers(nodes(2));
  EXPECT_TRUE(expected(server.samples("elasticsearch", golden::moment(25 * 3600)), 2));
}

TEST(Elasticsearch, AnotherVersionBehindTheSameAddressIsAskedAnew) {
  Server server(Answers{});
  server.samples("elasticsearch");
  server.answers(Answers{{{"nodes.json", answer(R"({"error":{"type":"illegal_argument_exception"},)"
                                                R"("status":400})",
                                                400)}}});
  server.samples("elasticsearch");
  server.answers(Answers{});
  server.asked.clear();
  server.samples("elasticsearch");
  EXPECT_EQ(server.asked.size(), 3U);
  EXPECT_EQ(server.asked[1], "/");
}

}  // namespace
}  // namespace lagwatch
