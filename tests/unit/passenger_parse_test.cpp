// SPDX-License-Identifier: Apache-2.0
// What Passenger says, well-formed or not: server.json, pool.xml, the text of Passenger 4.
#include <gtest/gtest.h>

#include <random>

#include "collector/passenger_pool_xml.h"
#include "collector/passenger_server_json.h"
#include "collector/passenger_text.h"
#include "passenger_scene.h"

namespace lagwatch {
namespace {

using namespace passenger_scene;  // NOLINT: a test's own helpers

struct Read {
  Result<ServerCounts> counts;
  std::vector<std::string> targets;
  std::vector<std::optional<double>> ages;
};

Read read(std::string body) {
  Read out{ServerCounts{}, {}, {}};
  const WallTime now(std::chrono::seconds(100));
  out.counts = parse_server(body, now, [&](const PassengerRequest& request) {
    out.targets.emplace_back(request.target);
    out.ages.push_back(request.age);
  });
  return out;
}

std::string with_request(const std::string& fields) {
  return R"({"threads":1,"thread1":{"active_client_count":1,"active_clients":{"1-1":)"
         R"({"current_request":{)" +
         fields + R"(}}},"total_requests_begun":7}})";
}

TEST(PassengerServer, AFieldOfAnotherTypeCostsThatFieldOnly) {
  for (const std::string fields :
       {R"("host":5,"path":"/a","started_at":{"relative_timestamp":-3})",
        R"("host":{"a":[1]},"path":"/a","started_at":{"relative_timestamp":-3})",
        R"("path":"/a","session":7,"state":[],"started_at":{"relative_timestamp":-3})",
        R"("path":"/a","started_at":{"relative_timestamp":-3},"method":null)"}) {
    const Read got = read(with_request(fields));
    ASSERT_TRUE(got.counts.ok()) << fields << got.counts.error().message;
    EXPECT_EQ(got.targets, std::vector<std::string>{"/a"});
    EXPECT_EQ(got.ages[0], 3);
    EXPECT_EQ(got.counts->begun, 7);
  }
  EXPECT_EQ(read(with_request(R"("path":7,"started_at":"x")")).ages[0], std::nullopt);
}

TEST(PassengerServer, AgesAreNeverBelowZeroAndFallBackToTheClock) {
  EXPECT_EQ(read(with_request(R"("started_at":{"relative_timestamp":2})")).ages[0], 0);
  EXPECT_EQ(read(with_request(R"("started_at":{"timestamp":90.5})")).ages[0], 9.5);
  EXPECT_EQ(read(with_request(R"("path":"/")")).ages[0], std::nullopt);
}

TEST(PassengerServer, ConnectionsWithoutARequestAreNone) {
  const Read got = read(
      R"({"thread1":{"active_client_count":2,"active_clients":{"1-1":{"name":"x"},"1-2":null}}})");
  ASSERT_TRUE(got.counts.ok());
  EXPECT_TRUE(got.targets.empty());
  EXPECT_EQ(got.counts->active, 2);
  EXPECT_EQ(got.counts->begun, std::nullopt);
}

TEST(PassengerServer, BytesThatAreNoTextDoNotHideTheRest) {
  const Read got = read(with_request("\"host\":\"a\xff\x01\",\"path\":\"/a\""));
  ASSERT_TRUE(got.counts.ok()) << got.counts.error().message;
  EXPECT_EQ(got.targets, std::vector<std::string>{"/a"});
}

TEST(PassengerServer, EveryHalfOfABodyIsAProtocolError) {
  const std::string whole = server_json({{.path = "/a"}, {.path = "/b\\\"c"}});
  ASSERT_TRUE(read(whole).counts.ok());
  for (size_t size = 0; size < whole.size(); ++size) {
    const Read got = read(whole.substr(0, size));
    ASSERT_FALSE(got.counts.ok()) << whole.substr(0, size);
    EXPECT_EQ(got.counts.error().reason, Reason::kProtocol);
  }
}

TEST(PassengerServer, DepthAndGarbageNeverCrash) {
  for (const std::string open : {"[", "{\"a\":"}) {
    std::string deep;
    for (int i = 0; i < 200000; ++i) deep += open;
    EXPECT_FALSE(read(deep).counts.ok());
    EXPECT_FALSE(read(with_request("\"path\":" + deep)).counts.ok());
    EXPECT_FALSE(read("{\"thread1\":" + deep).counts.ok());
  }
  std::mt19937 random(20170321);
  const std::string whole = server_json({{.path = "/a"}, {.path = "/b"}});
  constexpr std::string_view kBytes = "{}[]\",:\\0-e\xff\n";
  for (int round = 0; round < 20000; ++round) {
    std::string text = whole;
    for (int i = 0; i < 3; ++i) text[random() % text.size()] = kBytes[random() % kBytes.size()];
    (void)read(text);
  }
}

TEST(PassengerPool, EveryHalfOfABodyIsAProtocolErrorOrLess) {
  const std::string whole = pool_xml(group_xml("/srv &#40;x&#41;", process_xml("g", 1)));
  const auto pool = parse_pool(whole);
  ASSERT_TRUE(pool.ok());
  EXPECT_EQ(pool->groups.at(0).name, "/srv (x)");
  for (size_t size = 0; size < whole.size(); ++size) (void)parse_pool(whole.substr(0, size));
  EXPECT_FALSE(parse_pool("").ok());
  EXPECT_FALSE(parse_pool("<html></html>").ok());
}

TEST(PassengerPool, WhatPassengerStatusTellsBesideIsPassedOver) {
  const auto pool = parse_pool("*** Cleaning stale instance directory /tmp/passenger.x\n" +
                               pool_xml(group_xml("g", "")));
  ASSERT_TRUE(pool.ok());
  EXPECT_EQ(pool->groups.size(), 1U);
  const auto several = parse_pool(
      "It appears that multiple Phusion Passenger(R) instances are running. Please select one");
  ASSERT_FALSE(several.ok());
  EXPECT_NE(several.error().fix, "");
}

TEST(PassengerText, HostsThatLookLikeFieldsAreNone) {
  const std::string text =
      "1 clients:\n  Client 14:\n    host                        = x = state = y\n"
      "    uri                         = /a = b?q=1\n"
      "    connected at                = 2017-03-21 12:59:18 (41 sec ago)\n"
      "    state                       = CHECKING_OUT_SESSION\n"
      "    session                     = NULL\n";
  std::vector<std::string> targets;
  const auto counts = parse_requests_text(text, [&](const PassengerRequest& request) {
    targets.emplace_back(request.target);
    EXPECT_EQ(request.host, "x = state = y");
    EXPECT_EQ(request.age, 41);
    EXPECT_EQ(request.state, RequestState::kQueued);
  });
  ASSERT_TRUE(counts.ok());
  EXPECT_EQ(targets, std::vector<std::string>{"/a = b?q=1"});
  EXPECT_EQ(counts->active, 1);
}

TEST(PassengerText, SomethingElseIsAProtocolError) {
  const OnRequest none = [](const PassengerRequest&) { FAIL(); };
  EXPECT_FALSE(parse_requests_text("", none).ok());
  EXPECT_FALSE(
      parse_requests_text("ERROR: Phusion Passenger doesn't seem to be running.\n", none).ok());
  const auto idle = parse_requests_text("0 clients:\n\n", none);
  ASSERT_TRUE(idle.ok());
  EXPECT_EQ(idle->active, 0);
}

}  // namespace
}  // namespace lagwatch
