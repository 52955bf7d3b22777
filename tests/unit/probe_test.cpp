// SPDX-License-Identifier: Apache-2.0
// What a probe makes of answers and of silence.
#include "collector/probe.h"

#include <gtest/gtest.h>

#include "golden.h"

namespace lagwatch {
extern const Collector probe;

namespace {

class ProbeTest : public testing::Test {
 protected:
  void make(ProbeOptions options = {}) {
    options.url = "https://shop.example/search?q=secret";
    state = make_probe_state(std::move(options));
  }
  std::string collect(const HttpDetail& http, const std::string& body = {}) {
    EXPECT_EQ(probe.begin(*state).size(), 1U);
    Answer answer;
    answer.body = body;
    answer.http = http;
    std::vector<Reply> replies;
    replies.push_back(std::move(answer));
    auto out = std::make_shared<Output>("target=\"t\"");
    const Step step = probe.read(*state, replies, golden::moment(), *out);
    EXPECT_TRUE(std::holds_alternative<Done>(step)) << "a probe's failure is its answer";
    return "\n" + golden::samples(out, golden::moment(), kProbeKind);
  }
  static HttpDetail answered(int status, double total) {
    HttpDetail http;
    http.status = status;
    http.version = 1.1;
    http.connect = 0.001;
    http.processing = total - 0.002;
    http.transfer = 0.001;
    http.total = total;
    http.content_length = 5;
    http.ip_protocol = 4;
    return http;
  }
  static HttpDetail failed(Reason reason, double total) {
    HttpDetail http;
    http.total = total;
    http.failure = Error{reason, "no", {}};
    return http;
  }
  static void expect(const std::string& samples, const std::string& line) {
    EXPECT_NE(samples.find("\n" + line + "\n"), std::string::npos) << line << "\nin\n" << samples;
  }

  std::unique_ptr<State> state;
};

TEST_F(ProbeTest, AsksAnewOverAConnectionOfItsOwnAndTakesAnything) {
  make({.user = "u", .password_file = "/p", .host_header = "www.shop.example"});
  const Asks asks = probe.begin(*state);
  const auto& ask = std::get<HttpAsk>(asks.at(0));
  EXPECT_TRUE(ask.fresh_connection);
  EXPECT_TRUE(ask.wants_certificate);
  EXPECT_EQ(ask.accept, HttpAccept::kAnything);
  EXPECT_EQ(ask.headers, std::vector<std::string>{"Host: www.shop.example"});
}

TEST_F(ProbeTest, GoodAnswerIsSuccessWithItsPhases) {
  make();
  HttpDetail http = answered(204, 0.2);
  http.certificate_expiry = 1800000000;
  const std::string samples = collect(http, "hello");
  expect(samples, "probe_success{target=\"t\"} 1");
  expect(samples, "probe_duration_seconds{target=\"t\"} 0.2");
  expect(samples, "probe_http_duration_seconds{target=\"t\",phase=\"connect\"} 0.001");
  EXPECT_EQ(samples.find("phase=\"tls\""), std::string::npos) << "not reached is absent, not 0";
  expect(samples, "probe_http_status_code{target=\"t\"} 204");
  expect(samples, "probe_http_uncompressed_body_length{target=\"t\"} 5");
  expect(samples, "probe_ssl_earliest_cert_expiry{target=\"t\"} 1800000000");
  expect(samples, "probe_latency_seconds_bucket{target=\"t\",le=\"0.1\"} 0");
  expect(samples, "probe_latency_seconds_bucket{target=\"t\",le=\"0.25\"} 1");
  expect(samples, "probe_failures_total{target=\"t\",reason=\"hung\"} 0");
  EXPECT_EQ(samples.find("secret"), std::string::npos) << "queries are not exported";
}

TEST_F(ProbeTest, SilenceIsAnObservationOfWhatWasWaited) {
  make();
  const std::string samples = collect(failed(Reason::kHung, 3.0004));
  expect(samples, "probe_success{target=\"t\"} 0");
  expect(samples, "probe_http_status_code{target=\"t\"} 0");
  expect(samples, "probe_failures_total{target=\"t\",reason=\"hung\"} 1");
  expect(samples, "probe_latency_seconds_bucket{target=\"t\",le=\"2.5\"} 0");
  expect(samples, "probe_latency_seconds_bucket{target=\"t\",le=\"5\"} 1");
  EXPECT_EQ(samples.find("probe_failed_due_to_regex{"), std::string::npos) << "no body, no verdict";
}

TEST_F(ProbeTest, RefusalIsAFailureAndNoLatency) {
  make();
  const std::string samples = collect(failed(Reason::kRefused, 0.0002));
  expect(samples, "probe_failures_total{target=\"t\",reason=\"refused\"} 1");
  expect(samples, "probe_latency_seconds_count{target=\"t\"} 0");
}

TEST_F(ProbeTest, StatusAndBodyAreExpected) {
  make({.expect_status = {302}, .expect_body = "results", .reject_body = "(?i)maintenance"});
  expect(collect(answered(302, 0.1), "3 results"), "probe_success{target=\"t\"} 1");
  expect(collect(answered(200, 0.1), "3 results"),
         "probe_failures_total{target=\"t\",reason=\"unexpected_status\"} 1");
  const std::string samples = collect(answered(302, 0.1), "results after Maintenance");
  expect(samples, "probe_success{target=\"t\"} 0");
  expect(samples, "probe_failed_due_to_regex{target=\"t\"} 1");
  expect(samples, "probe_failures_total{target=\"t\",reason=\"unexpected_body\"} 1");
  expect(samples, "probe_failures_total{target=\"t\",reason=\"unexpected_status\"} 1");
}

}  // namespace
}  // namespace lagwatch
