// SPDX-License-Identifier: Apache-2.0
// What is made of the requests in flight.
#include <gtest/gtest.h>

#include "passenger_scene.h"

namespace lagwatch {
namespace {

using namespace passenger_scene;  // NOLINT: a test's own helpers
using Lines = std::vector<std::string>;

const Error kHung{Reason::kHung, "core_api: connected, and no answer in time", {}};

TEST(PassengerRequests, QueuedOnesBelongToTheGroupThatTheirHostRunsIn) {
  Scene scene;
  Instance& one = scene.add("a", 1);
  one.bodies["/pool.xml"] =
      pool_xml(group_xml("shop", process_xml("p", 0, 1)) + group_xml("blog", process_xml("q", 0)));
  const std::string name = "passenger_app_group_oldest_queued_seconds{target=\"t\",group=";
  const auto ages = [&](const std::vector<Request>& requests) {
    one.bodies["/server.json"] = server_json(requests);
    EXPECT_FALSE(scene.collect(passenger_pool));
    EXPECT_FALSE(scene.collect(passenger_requests));
    return scene.lines(name);
  };
  const Request running{.state = "WAITING_FOR_APP_OUTPUT", .host = "shop", .gupid = "p"};
  const Request queued{.host = "shop", .age = 8};
  // Nobody's yet: neither group can be said to have none.
  EXPECT_EQ(ages({queued}), Lines{});
  EXPECT_EQ(ages({running}), (Lines{name + "\"blog\"} 0", name + "\"shop\"} 0"}));
  EXPECT_EQ(ages({queued}), (Lines{name + "\"blog\"} 0", name + "\"shop\"} 8"}));
  EXPECT_EQ(scene.out->inflight->requests.at(0).group, "shop");
  // A host with two groups tells nothing.
  EXPECT_EQ(
      ages({running, {.state = "WAITING_FOR_APP_OUTPUT", .host = "shop", .gupid = "q"}, queued}),
      Lines{});
}

TEST(PassengerRequests, AreAskedForWhileThePoolIsBeingAsked) {
  Scene scene;
  scene.add("a", 1).bodies["/server.json"] = server_json({{.path = "/a"}});
  ASSERT_FALSE(scene.collect(passenger_pool));
  std::vector<Reply> listing{scene.answer(passenger_pool.begin(*scene.state).at(0))};
  Output pool("target=\"t\"");
  const Step step = passenger_pool.read(*scene.state, listing, golden::moment(), pool);
  ASSERT_TRUE(std::holds_alternative<More>(step));
  ASSERT_FALSE(scene.collect(passenger_requests));
  EXPECT_EQ(scene.lines("passenger_clients_active").size(), 1U);
}

TEST(PassengerRequests, ARouteThatIsIdleIsZeroAndItsShareOfThePoolIsKnown) {
  Scene scene(
      {.routes = {{.name = "search", .match = "^/search", .query_param = "q", .short_below = 3}}});
  Instance& one = scene.add("a", 1);
  one.bodies["/pool.xml"] = pool_xml(group_xml("shop", process_xml("p", 0, 1)), 4);
  one.bodies["/server.json"] = server_json(
      {{.state = "WAITING_FOR_APP_OUTPUT", .path = "/search?q=a", .age = 31, .gupid = "p"},
       {.path = "/search?q=abc", .age = 2},
       {.state = "BUFFERING_REQUEST_BODY", .path = "/upload"}});
  ASSERT_FALSE(scene.collect(passenger_pool));
  ASSERT_FALSE(scene.collect(passenger_requests));
  const auto value = [&](const std::string& series) {
    const Lines lines = scene.lines(series + " ");
    return lines.size() == 1 ? lines[0].substr(series.size() + 1) : "absent";
  };
  const std::string search = "{target=\"t\",route=\"search\"";
  EXPECT_EQ(value("passenger_route_pool_share" + search + "}"), "0.25");
  EXPECT_EQ(value("passenger_short_query_requests" + search + ",state=\"running\"}"), "1");
  EXPECT_EQ(value("passenger_short_query_requests" + search + ",state=\"queued\"}"), "0");
  EXPECT_EQ(value("passenger_requests_older_than{target=\"t\",state=\"running\",threshold=\"30\"}"),
            "1");
  EXPECT_EQ(value("passenger_requests_older_than{target=\"t\",state=\"running\",threshold=\"60\"}"),
            "0");
  EXPECT_EQ(value("passenger_oldest_request_age_seconds" + search + ",state=\"running\"}"), "31");
  EXPECT_EQ(scene.out->inflight->requests.at(0).path, "/search");
  EXPECT_TRUE(scene.out->inflight->requests.at(0).short_query);

  one.bodies["/server.json"] = server_json({});
  ASSERT_FALSE(scene.collect(passenger_requests));
  EXPECT_EQ(value("passenger_requests_in_flight" + search + ",state=\"running\"}"), "0");
  EXPECT_EQ(value("passenger_oldest_request_age_seconds" + search + ",state=\"running\"}"), "0");
  EXPECT_EQ(
      value("passenger_requests_in_flight{target=\"t\",route=\"/upload\",state=\"receiving\"}"),
      "0");
}

TEST(PassengerRequests, TheOldestThousandAreKept) {
  Scene scene;
  Instance& one = scene.add("a", 1);
  std::vector<Request> requests;
  for (int i = 0; i < 1500; ++i) requests.push_back({.age = static_cast<double>((i * 7) % 1500)});
  one.bodies["/server.json"] = server_json(requests);
  ASSERT_FALSE(scene.collect(passenger_pool));
  ASSERT_FALSE(scene.collect(passenger_requests));
  ASSERT_EQ(scene.out->inflight->requests.size(), 1000U);
  EXPECT_EQ(scene.out->inflight->left_out, 500U);
  EXPECT_EQ(scene.out->inflight->requests.front().age, 1499);
  EXPECT_EQ(scene.out->inflight->requests.back().age, 500);
  // 0.15 s for each of those that were there.
  EXPECT_EQ(passenger_requests.least_wait(*scene.state), std::chrono::seconds(225));
}

TEST(PassengerRequests, BegunRequestsAreCountedOverCores) {
  Scene scene;
  const auto begun = [&](int pid, int since_start) {
    scene.instances[0].core_pid = pid;
    scene.instances[0].bodies["/server.json"] = server_json({}, since_start);
    EXPECT_FALSE(scene.collect(passenger_pool));
    EXPECT_FALSE(scene.collect(passenger_requests));
    const std::string line = scene.lines("passenger_requests_begun_total").at(0);
    return line.substr(line.rfind(' ') + 1);
  };
  scene.add("a", 1);
  EXPECT_EQ(begun(100, 10), "10");
  EXPECT_EQ(begun(100, 15), "15");
  EXPECT_EQ(begun(101, 2), "17");
}

TEST(PassengerRequests, WhatMayNotBeReadIsSaidAndFailsNothing) {
  Scene scene;
  Instance& one = scene.add("a", 1);
  ASSERT_FALSE(scene.collect(passenger_pool));
  one.status = 401;
  ASSERT_FALSE(scene.collect(passenger_requests));
  ASSERT_EQ(scene.out->limits.size(), 1U);
  EXPECT_EQ(scene.out->limits[0].reason, Reason::kPermission);
  EXPECT_TRUE(scene.lines("passenger_").empty());
}

TEST(PassengerRequests, ManyThatAreNotToldInTimeAreNoHungCore) {
  Scene scene;
  Instance& one = scene.add("a", 1);
  const auto after_queue = [&](int queue) {
    one.failure.reset();
    one.bodies["/pool.xml"] = pool_xml(group_xml("shop", "", queue));
    EXPECT_FALSE(scene.collect(passenger_pool));
    one.failure = kHung;
    return scene.collect(passenger_requests);
  };
  EXPECT_FALSE(after_queue(3));
  EXPECT_TRUE(scene.out->limits.empty()) << "it may have begun to drain";
  const auto error = after_queue(3);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->reason, Reason::kHung);
  EXPECT_FALSE(after_queue(1000));
  ASSERT_EQ(scene.out->limits.size(), 1U);
  EXPECT_EQ(scene.out->limits[0].reason, Reason::kStalled);
}

TEST(PassengerRequests, WhatClientsSendIsHarmless) {
  Scene scene;
  Instance& one = scene.add("a", 1);
  one.bodies["/server.json"] = server_json(
      {{.path = "/a\\\"} 1\\npassenger_up 0?token=secret", .method = "G\\u0000\\u001bT"},
       {.path = "/" + std::string(8000, 'x') + "?secret"},
       {.path = "/\\u202e\\u0007?secret"},
       {.path = "*?secret", .host = std::string(4000, 'h')}});
  ASSERT_FALSE(scene.collect(passenger_pool));
  ASSERT_FALSE(scene.collect(passenger_requests));
  const std::string text = golden::samples(scene.out, golden::moment(), kPassengerKind);
  EXPECT_EQ(text.find("secret"), std::string::npos);
  EXPECT_EQ(text.find("\npassenger_up"), std::string::npos);
  for (const InflightRequest& request : scene.out->inflight->requests) {
    EXPECT_EQ(request.path.find("secret"), std::string::npos);
    EXPECT_LE(request.path.size(), 203U);
    for (const char c : request.path + request.method)
      EXPECT_GE(static_cast<unsigned char>(c), 0x20U);
  }
}

}  // namespace
}  // namespace lagwatch
