// SPDX-License-Identifier: Apache-2.0
// Instances that come and go, and what is counted over them.
#include <gtest/gtest.h>

#include "passenger_scene.h"

namespace lagwatch {
namespace {

using namespace passenger_scene;  // NOLINT: a test's own helpers
using Lines = std::vector<std::string>;

const Error kHung{Reason::kHung, "core_api: connected, and no answer in time", {}};
const Error kRefused{Reason::kRefused, "refused, nobody listens", {}};

Lines instances(const std::string& counts) {
  Lines out;
  const std::string_view states[] = {"denied", "draining", "hung", "live", "stale"};
  for (size_t i = 0; i < 5; ++i) {
    out.push_back("passenger_instances{target=\"t\",state=\"" + std::string(states[i]) + "\"} " +
                  counts[i]);
  }
  return out;
}

TEST(Passenger, GetHasNoBodyAndSendsThePasswordOfItsInstance) {
  Scene scene;
  scene.add("a", 1).password = "ro-a";
  scene.add("b", 2).password = "";
  ASSERT_FALSE(scene.collect(passenger_pool));
  ASSERT_EQ(scene.asked.size(), 4U);
  EXPECT_EQ(scene.asked[0].user, "");  // b is the newest
  EXPECT_EQ(scene.asked[2].user, "ro_admin");
  EXPECT_EQ(scene.asked[2].password, "ro-a");
  EXPECT_EQ(scene.asked[2].url, "http://localhost/pool.xml");
  EXPECT_EQ(scene.asked[1].user, "");  // the watchdog is not told it
  EXPECT_EQ(scene.asked[3].user, "");
}

TEST(Passenger, AnAccountGoesBeforeThePassword) {
  Scene scene({.username = "mon", .password_file = "/etc/mon.pw"});
  scene.add("a", 1);
  ASSERT_FALSE(scene.collect(passenger_pool));
  EXPECT_EQ(scene.asked[0].user, "mon");
  EXPECT_EQ(scene.asked[0].password_file, "/etc/mon.pw");
  EXPECT_EQ(scene.asked[0].password, "");
}

TEST(Passenger, AnOldInstanceWithoutAWatchdogDrains) {
  Scene scene;
  Instance& old = scene.add("old", 1);
  old.failure = kHung;
  old.watchdog_failure = kRefused;
  scene.add("new", 2).bodies["/pool.xml"] = pool_xml(group_xml("shop", process_xml("g", 3)));
  ASSERT_FALSE(scene.collect(passenger_pool));
  EXPECT_EQ(scene.lines("passenger_instances"), instances("01010"));
  EXPECT_EQ(scene.lines("passenger_max_processes"),
            Lines{"passenger_max_processes{target=\"t\"} 6"});
  EXPECT_TRUE(scene.out->limits.empty());
}

TEST(Passenger, OneThatDrainsAloneIsBeingStopped) {
  Scene scene;
  Instance& old = scene.add("old", 1);
  old.failure = kHung;
  old.watchdog_failure = kRefused;
  const auto error = scene.collect(passenger_pool);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->reason, Reason::kRefused);
  EXPECT_NE(error->message.find("being stopped"), std::string::npos);
}

TEST(Passenger, WhereTheWatchdogCannotBeAskedTheNewestOneHangs) {
  Scene scene;
  Instance& one = scene.add("old", 1);
  one.failure = kHung;
  one.watchdog_failure = kRefused;
  one.has_watchdog_socket = false;
  const auto error = scene.collect(passenger_pool);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->reason, Reason::kHung);
  scene.add("new", 2);
  ASSERT_FALSE(scene.collect(passenger_pool));
  EXPECT_EQ(scene.lines("passenger_instances"), instances("01010"));
}

TEST(Passenger, ACoreThatHangsUnderItsWatchdogIsHung) {
  Scene scene;
  Instance& one = scene.add("a", 1);
  one.failure = kHung;
  one.core_pid = 4711;
  const auto error = scene.collect(passenger_pool);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->reason, Reason::kHung);
  EXPECT_NE(error->message.find("4711"), std::string::npos);
  EXPECT_NE(error->fix, "");
}

TEST(Passenger, TheWellOneIsShownBesideTheHungOneAndNothingIsSummed) {
  Scene scene;
  scene.add("hung", 2).failure = kHung;
  scene.add("well", 1).bodies["/pool.xml"] = pool_xml(group_xml("blog", process_xml("g", 3)));
  ASSERT_FALSE(scene.collect(passenger_pool));
  EXPECT_EQ(scene.lines("passenger_instances"), instances("00110"));
  EXPECT_EQ(scene.lines("passenger_app_group_queue{").size(), 1U);
  EXPECT_TRUE(scene.lines("passenger_max_processes").empty());
  EXPECT_TRUE(scene.lines("passenger_top_level_queue").empty());
  ASSERT_EQ(scene.out->limits.size(), 1U);
  EXPECT_EQ(scene.out->limits[0].reason, Reason::kHung);
}

TEST(Passenger, TwoWellOnesAreSummedAndTheNewestTellsOfASharedGroup) {
  Scene scene;
  scene.add("old", 1).bodies["/pool.xml"] =
      pool_xml(group_xml("shop", process_xml("g1", 3), 9) + group_xml("blog", ""), 6, 1);
  scene.add("new", 2).bodies["/pool.xml"] =
      pool_xml(group_xml("shop", process_xml("g2", 3), 1), 4, 2);
  ASSERT_FALSE(scene.collect(passenger_pool));
  EXPECT_EQ(scene.lines("passenger_max_processes"),
            Lines{"passenger_max_processes{target=\"t\"} 10"});
  EXPECT_EQ(scene.lines("passenger_current_processes"),
            Lines{"passenger_current_processes{target=\"t\"} 3"});
  EXPECT_EQ(scene.lines("passenger_app_count"), Lines{"passenger_app_count{target=\"t\"} 2"});
  EXPECT_EQ(scene.lines("passenger_app_group_queue{"),
            (Lines{"passenger_app_group_queue{target=\"t\",group=\"blog\",default=\"true\"} 0",
                   "passenger_app_group_queue{target=\"t\",group=\"shop\",default=\"true\"} 1"}));
}

TEST(Passenger, WhatIsLeftBehindIsStale) {
  Scene scene;
  Instance& stale = scene.add("stale", 1);
  stale.failure = kRefused;
  stale.watchdog_failure = kRefused;
  const auto alone = scene.collect(passenger_pool);
  ASSERT_TRUE(alone);
  EXPECT_EQ(alone->reason, Reason::kRefused);
  scene.add("live", 2);
  ASSERT_FALSE(scene.collect(passenger_pool));
  EXPECT_EQ(scene.lines("passenger_instances"), instances("00011"));
}

TEST(Passenger, WhoMayNotAskIsToldWhatLetsHimIn) {
  Scene scene;
  scene.add("a", 1).status = 401;
  const auto error = scene.collect(passenger_pool);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->reason, Reason::kPermission);
  EXPECT_NE(error->fix.find("core_api_server_authorizations"), std::string::npos);
}

TEST(Passenger, WhatIsHiddenIsToldWithWhatOpensIt) {
  Scene scene;
  scene.problems.push_back({"/tmp/systemd-private-1-apache2.service-x/tmp", EACCES});
  const auto error = scene.collect(passenger_pool);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->reason, Reason::kPermission);
  EXPECT_NE(error->message.find("systemd-private-1"), std::string::npos);
  EXPECT_NE(error->fix.find("PassengerInstanceRegistryDir"), std::string::npos);
}

TEST(Passenger, AnEmptyPoolIsZeroAndNoGroups) {
  Scene scene;
  scene.add("a", 1).bodies["/pool.xml"] = pool_xml("", 6, 0);
  ASSERT_FALSE(scene.collect(passenger_pool));
  EXPECT_EQ(scene.lines("passenger_app_count"), Lines{"passenger_app_count{target=\"t\"} 0"});
  EXPECT_EQ(scene.lines("passenger_top_level_queue"),
            Lines{"passenger_top_level_queue{target=\"t\"} 0"});
  EXPECT_TRUE(scene.lines("passenger_app_group").empty());
}

TEST(Passenger, ProcessedRequestsSurviveProcessesCoresAndSilence) {
  Scene scene;
  Instance& one = scene.add("a", 1);
  const auto total = [&](const std::string& processes, double at) {
    one.bodies["/pool.xml"] = pool_xml(group_xml("shop", processes));
    EXPECT_FALSE(scene.collect(passenger_pool, at));
    const Lines lines = scene.lines("passenger_requests_processed_total");
    return lines.size() == 1 ? lines[0].substr(lines[0].rfind(' ') + 1) : "none";
  };
  EXPECT_EQ(total(process_xml("p", 10), 0), "10");
  EXPECT_EQ(total(process_xml("p", 15) + process_xml("q", 2), 5), "17");
  EXPECT_EQ(total(process_xml("q", 4), 10), "19");   // p has exited
  EXPECT_EQ(total("", 15), "19");                    // a new core, nobody came
  EXPECT_EQ(total(process_xml("p", 15), 20), "19");  // was not seen for a while
  EXPECT_EQ(total(process_xml("r", 1), 25), "20");
}

TEST(Passenger, CoresThatDieAreCounted) {
  Scene scene;
  Instance& one = scene.add("a", 1);
  const auto restarts = [&](int pid) {
    scene.instances[0].core_pid = pid;
    EXPECT_FALSE(scene.collect(passenger_pool));
    return scene.lines("passenger_core_restarts_total").at(0);
  };
  const std::string name = "passenger_core_restarts_total{target=\"t\"} ";
  EXPECT_EQ(restarts(100), name + "0");
  EXPECT_EQ(restarts(100), name + "0");
  EXPECT_EQ(restarts(101), name + "1");
  one.name = "b";  // a reload is no death
  EXPECT_EQ(restarts(200), name + "1");
}

TEST(Passenger, ProcessesHaveSmallNumbersThatAreTakenOver) {
  Scene scene({.max_processes = 2});
  Instance& one = scene.add("a", 1);
  const auto ids = [&](const std::string& processes) {
    one.bodies["/pool.xml"] = pool_xml(group_xml("shop", processes));
    EXPECT_FALSE(scene.collect(passenger_pool));
    std::string out;
    for (const std::string& line : scene.lines("passenger_current_sessions")) {
      out += line.substr(line.find("id=\"") + 4, 1) + ":" + line.substr(line.rfind(' ') + 1) + " ";
    }
    return out;
  };
  EXPECT_EQ(ids(process_xml("p", 0, 1) + process_xml("q", 0, 0)), "0:1 1:0 ");
  EXPECT_EQ(ids(process_xml("q", 0, 0)), "1:0 ");
  EXPECT_EQ(ids(process_xml("q", 0, 0) + process_xml("a", 0, 1)), "0:1 1:0 ");
  EXPECT_EQ(ids(process_xml("q", 0) + process_xml("a", 0) + process_xml("b", 0)), "");
  EXPECT_GT(scene.out->series_dropped, 0U);
}

TEST(Passenger, TheOldestRunningIsThatOfTheProcessUsedLongestAgo) {
  Scene scene;
  scene.add("a", 1).bodies["/pool.xml"] =
      pool_xml(group_xml("shop", process_xml("p", 0, 1) + process_xml("q", 0, 0)) +
               group_xml("blog", process_xml("r", 0, 0)));
  ASSERT_FALSE(scene.collect(passenger_pool));
  const std::string name = "passenger_app_group_oldest_running_seconds{target=\"t\",group=";
  EXPECT_EQ(scene.lines(name), (Lines{name + "\"blog\"} 0", name + "\"shop\"} 10"}));
  EXPECT_EQ(
      scene.lines("passenger_app_group_busy_processes{target=\"t\",group=\"shop\"}").at(0).back(),
      '1');
}

// Settings.

TEST(PassengerSettings, AreAskedOncePerCoreAndWhenAGroupComes) {
  Scene scene;
  Instance& one = scene.add("a", 1);
  one.bodies["/config.json"] = R"({"default_max_request_queue_size":{"effective_value":100}})";
  one.bodies["/pool.json"] = R"({"shop":{"max_request_queue_size":[{"value":20},{"value":100}]},
                                 "free":{"max_request_queue_size":[{"value":0}]},"odd":7})";
  const auto collect = [&](const std::string& groups) {
    one.bodies["/pool.xml"] = pool_xml(groups);
    EXPECT_FALSE(scene.collect(passenger_pool));
    const Lines lines = scene.lines("passenger_app_group_queue_limit");
    scene.asked.clear();
    EXPECT_FALSE(scene.collect(passenger_settings));
    return lines;
  };
  const std::string groups = group_xml("shop", "") + group_xml("free", "");
  EXPECT_TRUE(collect(groups).empty());  // not known yet
  EXPECT_EQ(scene.asked.size(), 2U);
  const std::string name = "passenger_app_group_queue_limit{target=\"t\",group=";
  EXPECT_EQ(collect(groups), Lines{name + "\"shop\"} 20"});  // 0 is no limit
  EXPECT_TRUE(scene.asked.empty());
  EXPECT_EQ(collect(groups + group_xml("blog", "")),
            (Lines{name + "\"blog\"} 100", name + "\"shop\"} 20"}));
  EXPECT_EQ(scene.asked.size(), 2U);
  scene.instances[0].core_pid = 101;
  collect(groups);
  EXPECT_EQ(scene.asked.size(), 2U);
}

// passenger-status.

TEST(PassengerStatus, AFileThatIsOldIsNoAnswerAndTheTimerIsNamed) {
  PassengerOptions options;
  options.status_file = "/run/lagwatch/passenger.xml";
  const auto state = make_passenger_state(options);
  const auto at_age = [&](double age) {
    Output out("target=\"t\"");
    return exchange(
        passenger_pool, *state,
        [&](const Ask& ask) -> Reply {
          EXPECT_EQ(std::get<FileAsk>(ask).path, "/run/lagwatch/passenger.xml");
          Answer answer;
          answer.body = pool_xml("");
          answer.modified = golden::moment(-age).wall;
          return answer;
        },
        golden::moment(), out);
  };
  EXPECT_FALSE(at_age(14));
  const auto error = at_age(16);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->reason, Reason::kStalled);
  EXPECT_NE(error->fix.find("timer"), std::string::npos);
}

TEST(PassengerStatus, ACommandIsAskedForBothPartsAndItsFailureHasAFix) {
  PassengerOptions options;
  options.status_command = {"sudo", "-n", "passenger-status"};
  const auto state = make_passenger_state(options);
  int code = 0;
  std::string said = pool_xml("");
  const auto run = [&](const Collector& collector, const std::string& flag) {
    Output out("target=\"t\"");
    return exchange(
        collector, *state,
        [&](const Ask& ask) -> Reply {
          EXPECT_EQ(std::get<CommandAsk>(ask).arguments,
                    (Lines{"sudo", "-n", "passenger-status", flag}));
          Answer answer;
          answer.body = said;
          answer.command.emplace().exit_code = code;
          return answer;
        },
        golden::moment(), out);
  };
  EXPECT_FALSE(run(passenger_pool, "--show=xml"));
  said = "0 clients:\n";
  EXPECT_FALSE(run(passenger_requests, "--show=requests"));
  code = 1;
  said = "It appears that multiple Phusion Passenger(R) instances are running.";
  const auto several = run(passenger_pool, "--show=xml");
  ASSERT_TRUE(several);
  EXPECT_EQ(several->reason, Reason::kUnsupported);
  said = "sudo: a password is required";
  const auto denied = run(passenger_pool, "--show=xml");
  ASSERT_TRUE(denied);
  EXPECT_EQ(denied->reason, Reason::kPermission);
  EXPECT_NE(denied->fix.find("sudoers"), std::string::npos);
}

}  // namespace
}  // namespace lagwatch
