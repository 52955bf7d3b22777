// SPDX-License-Identifier: Apache-2.0
// mod_status' page for programs, as real servers and strangers write it.
#include "collector/apache.h"

#include <gtest/gtest.h>

#include "golden.h"

namespace lagwatch {
extern const Collector apache;

namespace {

// Recorded from 2.4.71 (event MPM), its values changed.
constexpr std::string_view kEvent =
    "127.0.0.1\nServerVersion: Apache/2.4.71 (Debian) Phusion_Passenger/6.0.17\nServerMPM: event\n"
    "Server Built: 2026-11-12T08:58:41\nParentServerConfigGeneration: 3\n"
    "ParentServerMPMGeneration: 2\nServerUptimeSeconds: 90\nServerUptime: 1 minute 30 seconds\n"
    "Load1: 2.03\nLoad5: 1.97\nLoad15: 1.70\nTotal Accesses: 12\nTotal kBytes: 34\n"
    "Total Duration: 5600\nCPUUser: .5\nCPUSystem: .25\nCPUChildrenUser: 1\nCPUChildrenSystem: 2\n"
    "CPULoad: .36\nUptime: 90\nReqPerSec: .1\nBytesPerSec: 1\nBusyWorkers: 3\nGracefulWorkers: 1\n"
    "IdleWorkers: 2\nProcesses: 3\nStopping: 1\nConnsTotal: 9\nConnsAsyncWaitIO: 0\n"
    "ConnsAsyncWriting: 1\nConnsAsyncKeepAlive: 4\nConnsAsyncClosing: 2\nScoreboard: W_RGK_..?.\n";

class ApacheTest : public testing::Test {
 protected:
  Step read(Reply reply) {
    const auto state = make_apache_state({.url = "http://web1/server-status?auto"});
    std::vector<Reply> replies;
    replies.push_back(std::move(reply));
    return apache.read(*state, replies, golden::moment(), *out);
  }
  std::string collect(std::string_view body) {
    const Step step = read(Answer{std::string(body), {}});
    EXPECT_TRUE(std::holds_alternative<Done>(step));
    return "\n" + golden::samples(out, golden::moment(), kApacheKind);
  }
  static void expect(const std::string& samples, const std::string& line) {
    EXPECT_NE(samples.find("\n" + line + "\n"), std::string::npos) << line << "\nin\n" << samples;
  }

  std::shared_ptr<Output> out = std::make_shared<Output>("target=\"t\"");
};

TEST_F(ApacheTest, EveryLineUnderApacheExportersName) {
  const std::string samples = collect(kEvent);
  for (const char* line :
       {"apache_accesses_total{target=\"t\"} 12", "apache_sent_kilobytes_total{target=\"t\"} 34",
        "apache_duration_ms_total{target=\"t\"} 5600",
        "apache_cpu_time_ms_total{target=\"t\",type=\"user\"} 1500",
        "apache_cpu_time_ms_total{target=\"t\",type=\"system\"} 2250",
        "apache_cpuload{target=\"t\"} 0.36", "apache_uptime_seconds_total{target=\"t\"} 90",
        "apache_generation{target=\"t\",type=\"config\"} 3",
        "apache_load{target=\"t\",interval=\"15min\"} 1.7",
        "apache_workers{target=\"t\",state=\"busy\"} 3",
        "apache_workers{target=\"t\",state=\"idle\"} 2",
        "apache_scoreboard{target=\"t\",state=\"reply\"} 1",
        "apache_scoreboard{target=\"t\",state=\"graceful_stop\"} 1",
        "apache_scoreboard{target=\"t\",state=\"open_slot\"} 3",
        "apache_connections{target=\"t\",state=\"keepalive\"} 4",
        "apache_processes{target=\"t\",state=\"stopping\"} 1",
        "apache_version{target=\"t\"} 2.04071",
        "apache_info{target=\"t\",version=\"Apache/2.4.71 (Debian) "
        "Phusion_Passenger/6.0.17\",mpm=\"event\"} 1"}) {
    expect(samples, line);
  }
}

TEST_F(ApacheTest, OldServersSayLessAndNothingIsMadeUp) {
  const std::string samples = collect(
      "Total Accesses: 5\r\nUptime: 7\r\nBusyWorkers: 1\r\nIdleWorkers: 5\r\n"
      "Scoreboard: W_____\r\n");
  expect(samples, "apache_workers{target=\"t\",state=\"idle\"} 5");
  expect(samples, "apache_scoreboard{target=\"t\",state=\"idle\"} 5");
  for (const char* name : {"apache_connections", "apache_cpu_time", "apache_info", "apache_version",
                           "apache_generation"}) {
    EXPECT_EQ(samples.find(name), std::string::npos) << name;
  }
}

TEST_F(ApacheTest, ApplicationThatAnswersInsteadIsNamed) {
  const Step step = read(Answer{"<html><h1>Not found: 7</h1></html>", {}});
  const Error& error = std::get<Error>(step);
  EXPECT_EQ(error.reason, Reason::kProtocol);
  EXPECT_EQ(error.message, "http://web1/server-status?auto: no status of Apache's in the answer");
  EXPECT_NE(error.fix.find("SetHandler server-status"), std::string::npos);
}

TEST_F(ApacheTest, SilenceMayMeanThatAllWorkersAreBusyAndForbiddenNamesTheLine) {
  EXPECT_NE(
      std::get<Error>(read(Error{Reason::kHung, "x", {}})).fix.find("all its workers are busy"),
      std::string::npos);
  EXPECT_NE(std::get<Error>(read(Error{Reason::kAuth, "x", "y"})).fix.find("Require local"),
            std::string::npos);
}

TEST_F(ApacheTest, NumbersThatAreNoneCostThemselvesOnly) {
  const std::string samples =
      collect("BusyWorkers: many\nIdleWorkers: 2\nBusyWorkers: 4\nLoad1: -\n");
  expect(samples, "apache_workers{target=\"t\",state=\"busy\"} 4");
  EXPECT_EQ(samples.find("apache_load"), std::string::npos);
}

std::vector<std::filesystem::path> recorded() {
  std::vector<std::filesystem::path> out;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(golden::data("apache"))) {
    if (entry.path().filename() == "status.txt") out.push_back(entry.path().parent_path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

class ApacheGolden : public ApacheTest,
                     public testing::WithParamInterface<std::filesystem::path> {};

TEST_P(ApacheGolden, GivesTheExpectedSamples) {
  golden::expect_golden(GetParam() / "expected.txt",
                        collect(golden::read_file(GetParam() / "status.txt")).substr(1));
}

INSTANTIATE_TEST_SUITE_P(Recorded, ApacheGolden, testing::ValuesIn(recorded()),
                         [](const auto& one) { return one.param.filename().string(); });

}  // namespace
}  // namespace lagwatch
