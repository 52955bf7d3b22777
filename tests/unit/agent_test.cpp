// SPDX-License-Identifier: Apache-2.0
// What is taken over from another agent and what is not; golden data of one that watches HAProxy.
#include "collector/agent.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/text.h"
#include "golden.h"

namespace lagwatch {

extern const Collector agent;

namespace {

using namespace std::chrono_literals;
using Lines = std::vector<std::string>;

// One that reads web1; `text` is what web1 answered.
class Reader {
 public:
  explicit Reader(AgentOptions options = {}) {
    options.url = "http://user-less.example:10093/metrics";
    if (options.own_labels.empty()) options.own_labels = {{"site", "shop"}, {"agent", "web1"}};
    options.families = std::make_shared<const AgentFamilies>(AgentFamilies{
        {"lagwatch_target_up", Type::kGauge},
        {"x", Type::kGauge},
        {"x_total", Type::kCounter},
        {"x_time", Type::kHistogram},
        {"haproxy_backend_status", Type::kGauge},
    });
    state_ = make_agent_state(std::move(options));
  }

  Step read(const std::string& text) {
    output_ = Output("target=\"web1\"");
    std::vector<Reply> replies;
    replies.emplace_back(Answer{text, {}, {}});
    return agent.read(*state_, replies, golden::moment(), output_);
  }

  // What passed of an answer, `name{labels} value`.
  Lines passed(const std::string& text) {
    EXPECT_TRUE(std::holds_alternative<Done>(read("lagwatch_build_info 1\n" + text)));
    Lines lines;
    for (const ForeignFamily& family : output_.foreign) {
      for (const ForeignFamily::Sample& sample : family.samples) {
        lines.push_back(family.name + sample.suffix + "{" + sample.labels + "} ");
        append_double(lines.back(), sample.value);
      }
    }
    return lines;
  }
  double series() const { return output_.tables.at(0).value(0, 0); }
  double rejected() const { return output_.tables.at(0).value(0, 1); }
  const Output& output() const { return output_; }
  State& state() { return *state_; }

 private:
  std::unique_ptr<State> state_;
  Output output_{""};
};

TEST(Agent, EverySettingIsRead) {
  using Labels = std::vector<std::pair<std::string, std::string>>;
  const std::string text = golden::read_file(golden::data("config") / "full.good.yml");
  const Config config = parse_config("full.good.yml", text).config;
  ASSERT_TRUE(config.agents && config.agents->size() == 4);
  EXPECT_EQ(config.agents->at(0).agent.url, "http://app1:10093/metrics");
  EXPECT_EQ(config.agents->at(0).target.timeout, 3s);
  EXPECT_EQ(config.agents->at(0).agent.max_series, 200000U);
  EXPECT_EQ(config.agents->at(1).agent.url, "http://app2:10093/metrics");
  EXPECT_EQ(config.agents->at(2).agent.url, "http://[fd00::3]:10093/metrics");
  const AgentTarget& app4 = config.agents->at(3);
  EXPECT_EQ(app4.target.name, "app4");
  EXPECT_EQ(app4.target.interval, 10s);
  EXPECT_EQ(app4.target.timeout, 2s);
  EXPECT_EQ(app4.target.labels, (Labels{{"site", "shop"}, {"rack", "c"}}));
  EXPECT_EQ(app4.agent.url, "https://app4.example/behind/a/proxy/metrics");
  EXPECT_EQ(app4.agent.user, "lagwatch");
  EXPECT_EQ(app4.agent.password_file, "/etc/lagwatch/secrets/app4");
  EXPECT_EQ(app4.agent.ca_file, "/etc/lagwatch/ca.pem");
  EXPECT_EQ(app4.agent.max_series, 5000U);
}

TEST(Agent, AsksOnceForItsMetrics) {
  const auto state = make_agent_state({.url = "https://web1/metrics",
                                       .user = "u",
                                       .password_file = "/secret",
                                       .ca_file = "/ca.pem"});
  const Asks asks = agent.begin(*state);
  ASSERT_EQ(asks.size(), 1U);
  const HttpAsk& ask = std::get<HttpAsk>(asks[0]);
  EXPECT_EQ(ask.url, "https://web1/metrics");
  EXPECT_EQ(ask.user, "u");
  EXPECT_EQ(ask.password_file, "/secret");
  EXPECT_EQ(ask.ca_file, "/ca.pem");
  EXPECT_EQ(ask.max_bytes, 64U << 20U);
}

TEST(Agent, LabelsAreKeptAndAgentIsAdded) {
  Reader reader;
  EXPECT_EQ(reader.passed("x{target=\"lb1\",site=\"other\",proxy=\"a\\\"b\"} 1.5\n"),
            Lines{"x{target=\"lb1\",site=\"other\",proxy=\"a\\\"b\",agent=\"web1\"} 1.5"});
  EXPECT_EQ(reader.series(), 1);
  EXPECT_EQ(reader.rejected(), 0);
}

TEST(Agent, OwnLabelsAreAddedWhereTheyAreMissing) {
  Reader reader;
  EXPECT_EQ(reader.passed("x{target=\"lb1\"} 1\nx{target=\"lb2\",site=\"\"} 2\n"),
            (Lines{"x{target=\"lb1\",site=\"shop\",agent=\"web1\"} 1",
                   "x{target=\"lb2\",site=\"shop\",agent=\"web1\"} 2"}));
}

TEST(Agent, WhatCameFromAThirdAgentIsNotPassedOn) {
  Reader reader;
  EXPECT_EQ(reader.passed("x{target=\"db1\",agent=\"db1\"} 1\nx{target=\"lb1\",agent=\"\"} 2\n"),
            Lines{"x{target=\"lb1\",site=\"shop\",agent=\"web1\"} 2"});
  EXPECT_EQ(reader.rejected(), 0) << "it is no mistake";
}

TEST(Agent, OnlyCataloguedFamiliesPass) {
  Reader reader;
  EXPECT_EQ(reader.passed("stranger{target=\"a\"} 1\nprocess_open_fds 5\nx_bucket{target=\"a\"} 1\n"
                          "x_total_sum{target=\"a\"} 1\n"),
            Lines{});
  EXPECT_EQ(reader.rejected(), 0);
}

TEST(Agent, ASampleWithoutTargetDoesNotPass) {
  Reader reader;
  EXPECT_EQ(reader.passed("x 1\nx{target=\"\"} 2\n"), Lines{});
}

TEST(Agent, HistogramsPassInTheirParts) {
  Reader reader;
  EXPECT_EQ(reader.passed("x_time_bucket{target=\"a\",le=\"0.1\"} 1\n"
                          "x_time_bucket{target=\"a\",le=\"+Inf\"} 2\n"
                          "x_time_sum{target=\"a\"} 1.5\nx_time_count{target=\"a\"} 2\n"
                          "x_time{target=\"a\"} 2\n"),
            (Lines{"x_time_bucket{target=\"a\",le=\"0.1\",site=\"shop\",agent=\"web1\"} 1",
                   "x_time_bucket{target=\"a\",le=\"+Inf\",site=\"shop\",agent=\"web1\"} 2",
                   "x_time_sum{target=\"a\",site=\"shop\",agent=\"web1\"} 1.5",
                   "x_time_count{target=\"a\",site=\"shop\",agent=\"web1\"} 2"}));
}

TEST(Agent, SamplesThatWouldSpoilTheExpositionAreRejected) {
  Reader reader;
  EXPECT_EQ(
      reader.passed("x_total{target=\"a\"} -1\nx_total{target=\"b\"} NaN\n"
                    "x_time_bucket{target=\"a\"} 1\nx_time_bucket{target=\"a\",le=\"x\"} 1\n"),
      Lines{});
  EXPECT_EQ(reader.rejected(), 4);
}

TEST(Agent, ASeriesPassesOnce) {
  Reader reader;
  EXPECT_EQ(reader
                .passed("x{target=\"a\",p=\"1\"} 1\nx{p=\"1\",target=\"a\"} 2\n"
                        "x{target=\"a\",p=\"1\",site=\"shop\"} 3\nx{target=\"a\",p=\"2\"} 4\n"
                        "x{target=\"1\",p=\"a\"} 5\n")
                .size(),
            3U);
  EXPECT_EQ(reader.rejected(), 2);
}

TEST(Agent, RejectedLinesAreCountedOverExchanges) {
  Reader reader;
  reader.passed("nonsense\nx{target=\"a\"} 1\n");
  EXPECT_EQ(reader.rejected(), 1);
  EXPECT_EQ(reader.passed("x{target=\"a\"} 1\nx{target=\"a\""),
            Lines{"x{target=\"a\",site=\"shop\",agent=\"web1\"} 1"});
  EXPECT_EQ(reader.rejected(), 2);
}

TEST(Agent, SeriesBeyondTheCapAreCountedAndLeftOut) {
  Reader reader({.max_series = 2});
  EXPECT_EQ(reader.passed("x{target=\"a\"} 1\nx{target=\"b\"} 1\nx{target=\"c\"} 1\n").size(), 2U);
  EXPECT_EQ(reader.output().series_dropped, 1U);
  EXPECT_EQ(reader.rejected(), 0);
}

TEST(Agent, WhatIsNoLagwatchFails) {
  Reader reader;
  for (const char* text : {"", "<html>hello</html>\n", "node_load1 1\nx{target=\"a\"} 1\n"}) {
    const Step step = reader.read(text);
    const Error* error = std::get_if<Error>(&step);
    ASSERT_NE(error, nullptr) << text;
    EXPECT_EQ(error->reason, Reason::kProtocol);
    EXPECT_EQ(error->message,
              "http://user-less.example:10093/metrics: no metric of lagwatch in the answer");
    EXPECT_EQ(error->fix, "name the /metrics of a lagwatch");
  }
}

TEST(Agent, AFailedExchangeIsPassedOn) {
  Reader reader;
  std::vector<Reply> replies;
  replies.emplace_back(Error{Reason::kHung, "silence", {}});
  Output output("");
  const Step step = agent.read(reader.state(), replies, golden::moment(), output);
  ASSERT_TRUE(std::holds_alternative<Error>(step));
  EXPECT_EQ(std::get<Error>(step).reason, Reason::kHung);
}

TEST(Agent, FactsBelongToRemoteTargetsWithTheirConstantLabels) {
  Reader reader;
  reader.passed(
      "haproxy_backend_status{target=\"lb1\",rack=\"a\",proxy=\"web\",state=\"UP\"} 1\n"
      "haproxy_backend_status{target=\"lb2\",agent=\"other\",proxy=\"web\",state=\"UP\"} 1\n"
      "lagwatch_target_up{target=\"lb1\",rack=\"a\",kind=\"haproxy\"} 1\n");
  ASSERT_EQ(reader.output().remote.size(), 1U);
  EXPECT_EQ(reader.output().remote[0].name, "lb1");
  EXPECT_EQ(reader.output().remote[0].label_block,
            "target=\"lb1\",rack=\"a\",site=\"shop\",agent=\"web1\"");
  EXPECT_EQ(reader.output().remote[0].facts.size(), 1U);
}

TEST(Agent, JoinedAndProcessFamiliesAreNotTakenOver) {
  const Config config =
      parse_config("c.yml", "haproxy: []\nagents: [{ name: web1, url: \"http://web1\" }]\n").config;
  std::vector<TargetSpec> specs = make_targets(config, nullptr, "");
  ASSERT_EQ(specs.at(0).kind, &kAgentKind);
  std::vector<Reply> replies;
  replies.emplace_back(
      Answer{"haproxy_backend_views{target=\"lb1\",proxy=\"web\"} 2\n"
             "lagwatch_build_info{version=\"0.1.0\"} 1\n"
             "haproxy_up{target=\"lb1\"} 1\n"
             "node_load1{target=\"host\"} 0.5\n"
             "lagwatch_target_age_seconds{target=\"lb1\",collector=\"haproxy\"} 1\n",
             {},
             {}});
  Output output("");
  const Step step = agent.read(*specs[0].state, replies, golden::moment(), output);
  ASSERT_TRUE(std::holds_alternative<Done>(step));
  Lines names;
  for (const ForeignFamily& family : output.foreign) names.push_back(family.name);
  EXPECT_EQ(names, (Lines{"haproxy_up", "node_load1", "lagwatch_target_age_seconds"}));
  EXPECT_EQ(output.foreign[0].samples[0].labels, "target=\"lb1\",agent=\"web1\"");
}

// What a lagwatch of the lab answered, and what another one makes of it.
TEST(Agent, GoldenAnswers) {
  for (const auto& version : std::filesystem::directory_iterator(golden::data("agent"))) {
    if (!version.is_directory()) continue;
    for (const auto& entry : std::filesystem::directory_iterator(version)) {
      const Config config =
          parse_config("c.yml",
                       "site: lab\nhaproxy: []\nagents: [{ name: a, url: \"http://a\" }]\n")
              .config;
      std::vector<TargetSpec> specs = make_targets(config, nullptr, "");
      std::vector<Reply> replies;
      replies.emplace_back(Answer{golden::read_file(entry.path() / "metrics.txt"), {}, {}});
      const auto output = std::make_shared<Output>("target=\"t\"");
      const Step step = agent.read(*specs[0].state, replies, golden::moment(), *output);
      ASSERT_TRUE(std::holds_alternative<Done>(step)) << entry.path();
      golden::expect_golden(entry.path() / "expected.txt",
                            golden::samples(output, golden::moment(), kAgentKind));
    }
  }
}

}  // namespace
}  // namespace lagwatch
