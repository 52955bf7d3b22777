// SPDX-License-Identifier: Apache-2.0
// What the collector makes of a series of answers: losses, reloads, unverified servers, counters
// that never go back.
#include "collector/haproxy.h"

#include <gtest/gtest.h>

#include <optional>

#include "golden.h"

namespace lagwatch {
namespace {

const Collector& the_collector() {
  for (const Collector* collector : collectors()) {
    if (collector->name == "haproxy") return *collector;
  }
  std::abort();
}

// One HAProxy whose answers the test writes.
class Haproxy {
 public:
  explicit Haproxy(HaproxyOptions options = {.sockets = {"/s"}})
      : http_(options.sockets[0].starts_with("http")) {
    state_ = make_haproxy_state(std::move(options));
  }

  // Rows are "px,sv,status,check_status,check_code,lastchg,stot,hrsp_5xx,type,sid,tracked".
  void answer(double at, const std::string& pid, const std::vector<std::string>& rows) {
    answer_all(at, {body(at, pid, rows)});
  }

  std::string body(double at, const std::string& pid, const std::vector<std::string>& rows) const {
    std::string text;
    if (!http_)
      text = "Name: HAProxy\nVersion: 2.6\nPid: " + pid +
             "\nUptime_sec: " + std::to_string(int(at)) + "\nCumReq: 5\n\n";
    text +=
        "# "
        "pxname,svname,status,check_status,check_code,lastchg,stot,hrsp_5xx,type,sid,tracked,"
        "chkdown,\n";
    for (const std::string& row : rows) text += row + "\n";
    return text + (http_ ? "" : "\n");
  }

  void answer_all(double at, const std::vector<std::string>& bodies) {
    std::vector<Reply> replies;
    for (const std::string& one : bodies) replies.emplace_back(Answer{one, {}});
    output_ = std::make_shared<Output>("target=\"t\"");
    step_ = the_collector().read(*state_, replies, golden::moment(at), *output_);
    lines_ = golden::lines(golden::samples(output_, golden::moment(at), kHaproxyKind));
  }

  std::string value(const std::string& series) const {
    for (const std::string& line : lines_) {
      if (line.starts_with(series + " ")) return line.substr(series.size() + 1);
    }
    return "absent";
  }
  // With the label target first, as it is rendered.
  std::string of(const std::string& name, const std::string& labels = "") const {
    return value(name + "{target=\"t\"" + (labels.empty() ? "" : "," + labels) + "}");
  }
  bool failed() const { return std::holds_alternative<Error>(step_); }
  const Output& output() const { return *output_; }
  Asks asks() { return the_collector().begin(*state_); }

 private:
  bool http_;
  std::unique_ptr<State> state_;
  std::shared_ptr<Output> output_;
  Step step_;
  std::set<std::string> lines_;
};

const std::string kWeb = "proxy=\"web\"";
const std::string kBackendUp = "web,BACKEND,UP,,,500,9,0,1,0,,0,";
const std::string kBackendDown = "web,BACKEND,DOWN,,,1,9,0,1,0,,1,";
std::string server(const std::string& name, const std::string& rest) {
  return "web," + name + "," + rest;
}
const std::string kUp = "UP,L7OK,200,500,3,0,2,";

TEST(HaproxyLosses, CountOnlyServersThatWentDownInTheLastMinute) {
  Haproxy haproxy;
  haproxy.answer(
      100, "1",
      {server("a1", "DOWN,L7STS,500,2,3,0,2,1,,1,"), server("a2", "DOWN,L7STS,500,3,3,0,2,2,,1,"),
       server("a3", "DOWN,L4CON,,300,3,0,2,3,,1,"), server("a4", kUp + "4,,0,"), kBackendUp});
  EXPECT_EQ(haproxy.of("haproxy_backend_servers_lost", kWeb), "2");
  EXPECT_EQ(haproxy.of("haproxy_backend_servers_lost_spread_seconds", kWeb), "1");
  EXPECT_EQ(haproxy.of("haproxy_backend_servers_lost_reason",
                       kWeb + ",check_status=\"L7STS\",check_code=\"500\""),
            "2");
}

TEST(HaproxyLosses, AreForgottenAfterAMinute) {
  Haproxy haproxy;
  haproxy.answer(100, "1", {server("a1", "DOWN,L7STS,500,59,3,0,2,1,,1,"), kBackendDown});
  EXPECT_EQ(haproxy.of("haproxy_backend_servers_lost", kWeb), "1");
  haproxy.answer(102, "1", {server("a1", "DOWN,L7STS,500,61,3,0,2,1,,1,"), kBackendDown});
  EXPECT_EQ(haproxy.of("haproxy_backend_servers_lost", kWeb), "0");
  EXPECT_EQ(haproxy.of("haproxy_backend_servers_lost_spread_seconds", kWeb), "absent");
}

TEST(HaproxyLosses, MaintenanceIsNotDown) {
  Haproxy haproxy;
  haproxy.answer(100, "1",
                 {server("a1", "MAINT,,,1,3,0,2,1,,1,"),
                  server("a2", "DRAIN,L7OK,200,1,3,0,2,2,,0,"), kBackendUp});
  EXPECT_EQ(haproxy.of("haproxy_backend_servers_lost", kWeb), "0");
  EXPECT_EQ(haproxy.of("haproxy_server_status", kWeb + ",server=\"a1\",state=\"MAINT\""), "1");
  EXPECT_EQ(haproxy.of("haproxy_server_status", kWeb + ",server=\"a1\",state=\"DOWN\""), "0");
}

TEST(HaproxyLosses, TrackedServerHasTheReasonOfTheTrackedOne) {
  Haproxy haproxy;
  haproxy.answer(
      100, "1",
      {server("t1", "DOWN,,,1,3,0,2,1,other/o1,1,"), server("t2", "DOWN,,,1,3,0,2,2,web/t1,1,"),
       kBackendUp, "other,o1,DOWN,L4CON,,1,3,0,2,1,,1,", "other,BACKEND,DOWN,,,1,9,0,1,0,,1,"});
  EXPECT_EQ(haproxy.of("haproxy_backend_servers_lost_reason", kWeb + ",check_status=\"L4CON\""),
            "2");
}

TEST(HaproxyLosses, CircleOfTrackedServersEnds) {
  Haproxy haproxy;
  haproxy.answer(100, "1",
                 {server("a", "DOWN,,,1,3,0,2,1,web/b,1,"),
                  server("b", "DOWN,,,1,3,0,2,2,web/a,1,"), kBackendUp});
  EXPECT_EQ(haproxy.of("haproxy_backend_servers_lost", kWeb), "2");
}

TEST(HaproxyLosses, ServerDownBeforeAReloadIsNotLostAgain) {
  Haproxy haproxy;
  haproxy.answer(1000, "1", {server("a1", "DOWN,L4CON,,600,3,0,2,1,,1,"), kBackendUp});
  haproxy.answer(1, "2",
                 {server("a1", "UP 1/3,INI,,0,0,0,2,1,,0,"), "web,BACKEND,UP,,,0,0,0,1,0,,0,"});
  EXPECT_EQ(haproxy.of("haproxy_backend_servers_unverified", kWeb), "1");
  EXPECT_EQ(haproxy.of("haproxy_reloads_total"), "1");
}

TEST(HaproxyReload, OutageGoesOnThroughUnverifiedServers) {
  Haproxy haproxy;
  const auto down = [](int lastchg) {
    return server("a1", "DOWN,L4CON,," + std::to_string(lastchg) + ",3,0,2,1,,1,");
  };
  haproxy.answer(1000, "1", {down(600), kBackendDown});
  EXPECT_EQ(haproxy.of("haproxy_backend_servers_lost", kWeb), "0");
  haproxy.answer(1001, "2", {server("a1", "UP 1/3,INI,,0,0,0,2,1,,0,"), kBackendUp});
  haproxy.answer(1002, "2", {down(0), kBackendDown});
  EXPECT_EQ(haproxy.of("haproxy_backend_servers_lost", kWeb), "0") << "it was down long before";
  // Well in between, so the next loss is a new one.
  haproxy.answer(1010, "2", {server("a1", "UP,L7OK,200,1,3,0,2,1,,1,"), kBackendUp});
  haproxy.answer(1020, "2", {down(1), kBackendDown});
  EXPECT_EQ(haproxy.of("haproxy_backend_servers_lost", kWeb), "1");
}

TEST(HaproxyReload, IsCountedByPidAndNotByClocks) {
  Haproxy haproxy;
  haproxy.answer(100, "7", {kBackendUp});
  haproxy.answer(101, "7", {kBackendUp});
  EXPECT_EQ(haproxy.of("haproxy_reloads_total"), "0");
  const std::string start = haproxy.of("haproxy_process_start_time_seconds");
  haproxy.answer(102.9, "7", {kBackendUp});  // rounding moves the computed start; the metric stays
  EXPECT_EQ(haproxy.of("haproxy_process_start_time_seconds"), start);
  haproxy.answer(103, "8", {kBackendUp});
  EXPECT_EQ(haproxy.of("haproxy_reloads_total"), "1");
}

TEST(HaproxyReload, OverHttpCountersThatWentBackTell) {
  Haproxy haproxy({.sockets = {"http://h/;csv"}});
  haproxy.answer(100, "", {server("a1", "UP,L7OK,200,500,100,0,2,1,,0,"), kBackendUp});
  EXPECT_EQ(haproxy.of("haproxy_reloads_total"), "0");
  haproxy.answer(101, "", {server("a1", "UP,L7OK,200,501,101,0,2,1,,0,"), kBackendUp});
  EXPECT_EQ(haproxy.of("haproxy_reloads_total"), "0");
  haproxy.answer(102, "", {server("a1", "UP,L7OK,200,0,1,0,2,1,,0,"), kBackendUp});
  EXPECT_EQ(haproxy.of("haproxy_reloads_total"), "1");
  EXPECT_EQ(haproxy.of("haproxy_process_build_info", "version=\"unknown\""), "1");
  EXPECT_EQ(haproxy.of("haproxy_process_nbproc"), "1");
}

TEST(HaproxyReload, OverHttpAllServersLostAtOnceIsNoReload) {
  Haproxy haproxy({.sockets = {"http://h/;csv"}});
  haproxy.answer(100, "", {server("a1", "UP,L7OK,200,500,100,0,2,1,,0,"), kBackendUp});
  haproxy.answer(
      101, "",
      {server("a1", "DOWN,L7STS,500,0,100,0,2,1,,1,"), "web,BACKEND,DOWN,,,0,9,0,1,0,,1,"});
  EXPECT_EQ(haproxy.of("haproxy_reloads_total"), "0");
  EXPECT_EQ(haproxy.of("haproxy_backend_servers_lost", kWeb), "1");
}

TEST(HaproxyOwn5xx, IsWhatNoServerSentAndNeverGoesBack) {
  Haproxy haproxy;
  const auto rows = [](int backend, int servers) {
    return std::vector<std::string>{
        server("a1", "UP,L7OK,200,500,3," + std::to_string(servers) + ",2,1,,0,"),
        "web,BACKEND,UP,,,500,9," + std::to_string(backend) + ",1,0,,0,"};
  };
  haproxy.answer(100, "1", rows(10, 3));
  EXPECT_EQ(haproxy.of("haproxy_backend_own_5xx_total", kWeb), "7");
  haproxy.answer(101, "1", rows(10, 4));  // the server's row was read before, the backend's after
  EXPECT_EQ(haproxy.of("haproxy_backend_own_5xx_total", kWeb), "7");
  haproxy.answer(102, "2", rows(1, 0));  // a reload: counters begin anew, as HAProxy's own do
  EXPECT_EQ(haproxy.of("haproxy_backend_own_5xx_total", kWeb), "1");
}

TEST(HaproxyOwn5xx, IsAbsentInTcpMode) {
  Haproxy haproxy;
  haproxy.answer(100, "1", {"mq,BACKEND,UP,,,500,9,,1,0,,0,"});
  EXPECT_EQ(haproxy.of("haproxy_backend_own_5xx_total", "proxy=\"mq\""), "absent");
  EXPECT_EQ(haproxy.of("haproxy_backend_servers_lost", "proxy=\"mq\""), "0");
}

TEST(HaproxyTcp, HasNoHttpSamplesThoughTheCellsReadZero) {
  Haproxy haproxy;
  const std::string text =
      "Name: HAProxy\nPid: 1\nUptime_sec: 9\n\n# pxname,svname,status,stot,req_tot,type,mode,\n"
      "mq,BACKEND,UP,9,0,1,tcp,\nweb,BACKEND,UP,9,0,1,http,\n\n";
  haproxy.answer_all(100, {text});
  EXPECT_EQ(haproxy.of("haproxy_backend_http_requests_total", "proxy=\"mq\""), "absent");
  EXPECT_EQ(haproxy.of("haproxy_backend_sessions_total", "proxy=\"mq\""), "9");
  EXPECT_EQ(haproxy.of("haproxy_backend_http_requests_total", kWeb), "0");
}

TEST(HaproxyCheck, CodeOfACheckUnderWayIsTheLastOne) {
  Haproxy haproxy;
  haproxy.answer(100, "1", {server("a1", "DOWN,L7STS,503,9,3,0,2,1,,1,"), kBackendDown});
  EXPECT_EQ(haproxy.of("haproxy_server_check_code", kWeb + ",server=\"a1\""), "503");
  haproxy.answer(101, "1", {server("a1", "DOWN,* L7STS,0,10,3,0,2,1,,1,"), kBackendDown});
  EXPECT_EQ(haproxy.of("haproxy_server_check_code", kWeb + ",server=\"a1\""), "503");
}

TEST(HaproxyCheck, CodeOfACheckUnderWayIsAbsentWhileNoneIsKnown) {
  Haproxy haproxy;
  haproxy.answer(100, "1", {server("a1", "DOWN,* L7STS,0,10,3,0,2,1,,1,"), kBackendDown});
  EXPECT_EQ(haproxy.of("haproxy_server_check_code", kWeb + ",server=\"a1\""), "absent");
}

TEST(HaproxyCheck, NoResultYetIsNoState) {
  Haproxy haproxy;
  haproxy.answer(100, "1",
                 {server("a1", "UP 1/3,INI,,0,0,0,2,1,,0,"), server("a2", "no check,,,,0,0,2,2,,,"),
                  kBackendUp});
  EXPECT_EQ(haproxy.of("haproxy_server_check_status", kWeb + ",server=\"a1\",state=\"L7OK\""), "0");
  EXPECT_EQ(haproxy.of("haproxy_server_check_status", kWeb + ",server=\"a2\",state=\"L7OK\""),
            "absent");
  EXPECT_EQ(haproxy.of("haproxy_backend_servers_unverified", kWeb), "1");
}

TEST(HaproxySockets, AreSummedOnlyWhenAllAnswered) {
  Haproxy haproxy({.sockets = {"/s1", "/s2"}});
  ASSERT_EQ(haproxy.asks().size(), 2U);
  const std::string one =
      haproxy.body(100, "1", {server("a1", "UP,L7OK,200,500,8,0,2,1,,0,"), kBackendUp});
  const std::string two =
      haproxy.body(100, "2", {server("a1", "UP,L7OK,200,500,32,0,2,1,,0,"), kBackendUp});
  haproxy.answer_all(100, {one, two});
  EXPECT_EQ(haproxy.of("haproxy_server_sessions_total", kWeb + ",server=\"a1\""), "40");
  EXPECT_EQ(haproxy.of("haproxy_process_nbproc"), "2");
  EXPECT_EQ(haproxy.of("haproxy_process_requests_total"), "10");
  haproxy.answer_all(101, {one, "Permission denied\n\n"});
  EXPECT_TRUE(haproxy.failed());
}

TEST(HaproxyNames, RepeatedServersCarryTheirId) {
  Haproxy haproxy;
  haproxy.answer(100, "1", {server("a1", kUp + "1,,0,"), server("a1", kUp + "2,,0,"), kBackendUp});
  EXPECT_EQ(haproxy.of("haproxy_server_sessions_total", kWeb + ",server=\"a1\""), "3");
  EXPECT_EQ(haproxy.of("haproxy_server_sessions_total", kWeb + ",server=\"a1#2\""), "3");
}

TEST(HaproxyFilters, KeepWholeNamesAndExcludeWins) {
  Haproxy haproxy({.sockets = {"/s"}, .include_proxies = "web|we.*", .exclude_proxies = "web2"});
  haproxy.answer(
      100, "1", {kBackendUp, "web2,BACKEND,UP,,,5,9,0,1,0,,0,", "xweb,BACKEND,UP,,,5,9,0,1,0,,0,"});
  EXPECT_EQ(haproxy.of("haproxy_backend_sessions_total", kWeb), "9");
  EXPECT_EQ(haproxy.of("haproxy_backend_sessions_total", "proxy=\"web2\""), "absent");
  EXPECT_EQ(haproxy.of("haproxy_backend_sessions_total", "proxy=\"xweb\""), "absent");
}

TEST(HaproxyFilters, ServersBeyondTheCapAreCountedAndBackendsStay) {
  Haproxy haproxy({.sockets = {"/s"}, .max_servers = 1});
  haproxy.answer(
      100, "1",
      {server("a1", kUp + "1,,0,"), server("a2", "DOWN,L4CON,,1,3,0,2,2,,1,"), kBackendUp});
  EXPECT_EQ(haproxy.output().series_dropped, 1U);
  EXPECT_EQ(haproxy.of("haproxy_server_sessions_total", kWeb + ",server=\"a2\""), "absent");
  EXPECT_EQ(haproxy.of("haproxy_backend_servers_lost", kWeb), "1")
      << "what is derived sees all servers";
}

TEST(HaproxyFilters, SparseStatesAreTheActiveOnes) {
  Haproxy haproxy({.sockets = {"/s"}, .sparse_states = true});
  haproxy.answer(100, "1", {server("a1", kUp + "1,,0,"), kBackendUp});
  EXPECT_EQ(haproxy.of("haproxy_server_status", kWeb + ",server=\"a1\",state=\"UP\""), "1");
  EXPECT_EQ(haproxy.of("haproxy_server_status", kWeb + ",server=\"a1\",state=\"DOWN\""), "absent");
}

TEST(HaproxyPacing, BeginsAboveAThousandRows) {
  Haproxy haproxy;
  EXPECT_EQ(std::get<SocketAsk>(haproxy.asks()[0]).fast_bytes, 256U << 10U) << "size not known yet";
  std::vector<std::string> rows{kBackendUp};
  haproxy.answer(100, "1", rows);
  EXPECT_EQ(std::get<SocketAsk>(haproxy.asks()[0]).fast_bytes, std::numeric_limits<size_t>::max());
  EXPECT_EQ(haproxy.output().suggested_interval, std::chrono::seconds(1));
  for (int i = 0; i < 1000; ++i)
    rows.push_back(server("s" + std::to_string(i), kUp + std::to_string(i) + ",,0,"));
  haproxy.answer(101, "1", rows);
  EXPECT_EQ(std::get<SocketAsk>(haproxy.asks()[0]).fast_bytes, 0U);
  EXPECT_EQ(haproxy.output().suggested_interval, std::chrono::seconds(5));
}

TEST(HaproxyAsks, HttpUserIsNotPartOfTheUrl) {
  Haproxy haproxy({.sockets = {"https://stats@lb:8404/stats;csv"}, .password_file = "/p"});
  const auto ask = std::get<HttpAsk>(haproxy.asks()[0]);
  EXPECT_EQ(ask.url, "https://lb:8404/stats;csv");
  EXPECT_EQ(ask.user, "stats");
  EXPECT_EQ(ask.password_file, "/p");
}

}  // namespace
}  // namespace lagwatch
