// SPDX-License-Identifier: Apache-2.0
// Replication lag by its tiers: right in every scenario, or unknown with the reason.
#include <gtest/gtest.h>

#include "postgres_scene.h"

namespace lagwatch {
namespace {

using namespace std::chrono_literals;

class PostgresLag : public testing::Test {
 protected:
  void SetUp() override {
    scene.primary("p", 1000);
    scene.standby("s", 1000, 1000);
    scene.run();
  }
  std::optional<double> lag(const std::string& name = "s") {
    return scene.value(name, "pg_replication_lag_seconds");
  }
  bool source(std::string_view source, const std::string& name = "s") {
    return scene.value(name, "pg_replication_lag_source",
                       "source=\"" + std::string(source) + "\"") == 1;
  }
  bool unknown(std::string_view reason, const std::string& name = "s") {
    return !lag(name) && scene.value(name, "pg_replication_lag_unknown",
                                     "reason=\"" + std::string(reason) + "\"") == 1;
  }

  PostgresScene scene;
};

TEST_F(PostgresLag, IdleClusterIsAtZeroHoweverLongItIsIdle) {
  for (int i = 0; i < 100; ++i) scene.pass(5s);
  EXPECT_EQ(lag(), 0);
  EXPECT_TRUE(source("lsn_history"));
  EXPECT_EQ(scene.value("s", "pg_replication_lag"), 0);
  EXPECT_EQ(scene.value("s", "pg_replication_lag_bytes"), 0);
}

TEST_F(PostgresLag, PrimaryHasNone) {
  EXPECT_FALSE(lag("p"));
  EXPECT_FALSE(scene.value("p", "pg_replication_lag_unknown"));
}

TEST_F(PostgresLag, CountsFromTheFirstWriteThatIsMissing) {
  for (int i = 0; i < 16; ++i) scene.pass(5s);  // the idle gap that classic formulas take for lag
  scene.at("p").node.current = 5000;
  scene.at("s").node.receive = 5000;  // replay is paused
  scene.pass(5s);
  EXPECT_EQ(lag(), 0) << "seen at the same moment";
  scene.pass(5s);
  EXPECT_EQ(lag(), 5);
  scene.at("s").node.replay = 5000;
  scene.pass(5s);
  EXPECT_EQ(lag(), 0);
}

TEST_F(PostgresLag, StandbyThatIsCutOffLagsThoughItHasReplayedAllItReceived) {
  scene.at("s").receiver->streaming = false;
  scene.at("p").node.current = 2000;
  scene.pass(5s);
  scene.at("p").node.current = 3000;
  scene.pass(5s);
  EXPECT_EQ(lag(), 5);
  EXPECT_EQ(scene.value("s", "pg_replication_lag_bytes"), 2000);
}

TEST_F(PostgresLag, PrimaryThatDoesNotAnswerMakesItUnknown) {
  scene.at("p").answers = false;
  scene.at("s").receiver->streaming = false;
  scene.pass(5s);
  EXPECT_EQ(lag(), 0) << "it was in sight a moment ago";
  scene.pass(5s);
  EXPECT_TRUE(unknown("receiver_down"));
  scene.at("p").forgotten = true;
  scene.pass(60s);
  EXPECT_TRUE(unknown("receiver_down"));
  EXPECT_EQ(scene.value("s", "pg_replication_lag_bytes"), 0) << "of what is known";
}

TEST_F(PostgresLag, SilentReceiverOfAPrimaryOutOfSightIsNotTrusted) {
  scene.at("p").answers = false;
  scene.pass(5s);
  scene.at("s").receiver->last_message_age = 8;
  scene.pass(5s);
  EXPECT_TRUE(unknown("primary_unseen"));
  scene.at("s").receiver->last_message_age = 0.5;
  scene.pass(5s);
  EXPECT_EQ(lag(), 0);
  EXPECT_TRUE(source("receiver"));
}

TEST_F(PostgresLag, WhatIsMissingIsMissingWhoeverIsInSight) {
  scene.at("p").node.current = 9000;
  scene.pass(5s);
  scene.at("p").answers = false;
  scene.pass(30s);
  EXPECT_EQ(lag(), 30);
  EXPECT_EQ(scene.value("s", "pg_replication_lag_bytes"), 8000);
}

TEST_F(PostgresLag, GoesOnFromTheKeptHistory) {
  scene.at("p").node.current = 9000;
  scene.pass(5s);
  scene.pass(20s);
  const std::string kept = encode(scene.memory.postgres, scene.now());
  scene.memory = {};
  ASSERT_TRUE(decode(kept, scene.now(), scene.memory.postgres));
  scene.pass(5s);
  EXPECT_EQ(lag(), 25);
  EXPECT_EQ(scene.value("s", "pg_replication_lag_is_lower_bound"), 0);
}

TEST_F(PostgresLag, WithoutTheHistoryItIsALowerBoundAndNeverZero) {
  scene.at("p").node.current = 9000;
  scene.pass(5s);
  scene.memory = {};
  scene.pass(5s);
  EXPECT_TRUE(unknown("history_begins"));
  scene.pass(5s);
  EXPECT_EQ(lag(), 5);
  EXPECT_EQ(scene.value("s", "pg_replication_lag_is_lower_bound"), 1);
}

TEST_F(PostgresLag, FollowsThePrimaryOfItsTimelineThroughAPromotion) {
  PostgresScene::Server& other = scene.standby("o", 1000, 1000);
  scene.pass(5s);
  scene.at("p").answers = false;
  other.node.in_recovery = false;
  other.node.current = 1100;
  other.node.timeline = 2;
  other.receiver.reset();
  scene.at("s").receiver->timeline = 2;
  scene.pass(5s);
  EXPECT_FALSE(lag("o"));
  other.node.current = 1500;
  scene.pass(5s);
  scene.pass(5s);
  EXPECT_EQ(lag("s"), 10) << "from 1100 on, which it has not either";
  scene.at("s").node.replay = 1500;
  scene.at("s").node.receive = 1500;
  scene.pass(5s);
  EXPECT_EQ(lag("s"), 0);
}

TEST_F(PostgresLag, AStandbyAloneIsJudgedByItsReceiver) {
  PostgresScene alone;
  PostgresScene::Server& s = alone.standby("s", 1000, 1000);
  s.receiver->last_message_age = 10.4;  // an idle primary says nothing for up to 30 s
  alone.run();
  EXPECT_EQ(alone.value("s", "pg_replication_lag_seconds"), 0);
  s.node.receive = 2000;
  alone.pass(5s);
  alone.pass(5s);
  EXPECT_EQ(alone.value("s", "pg_replication_lag_seconds"), 5) << "replay is paused";
  s.node.replay = 2000;
  s.receiver->last_message_age = 45;
  alone.pass(5s);
  EXPECT_EQ(alone.value("s", "pg_replication_lag_unknown", "primary_unseen"), 1);
  s.receiver->streaming = false;
  alone.pass(5s);
  EXPECT_EQ(alone.value("s", "pg_replication_lag_unknown", "receiver_down"), 1);
}

TEST_F(PostgresLag, HeartbeatIsRightThroughTheClocksOfBothServers) {
  scene.at("p").node.clock_offset = -40;
  scene.at("p").heartbeat = PostgresHeartbeat{{}, 1000};
  scene.at("s").heartbeat = PostgresHeartbeat{{}, 1000};
  scene.at("s").node.clock_offset = 40;
  scene.pass(5s);
  for (int i = 1; i <= 4; ++i) {
    scene.at("p").heartbeat->timestamp = 1000 + 5 * i;
    scene.pass(5s);
  }
  EXPECT_EQ(lag(), 15);
  EXPECT_TRUE(source("heartbeat"));
  scene.at("s").heartbeat->timestamp = 1020;
  scene.pass(1s);
  EXPECT_EQ(lag(), 0);
}

TEST_F(PostgresLag, HeartbeatGoesOnWhenThePrimaryIsOutOfSight) {
  const double now = unix_seconds(scene.now().wall);
  scene.at("p").node.clock_offset = -40;
  scene.at("p").heartbeat = PostgresHeartbeat{{}, now - 40};
  scene.at("s").heartbeat = PostgresHeartbeat{{}, now - 40};
  scene.run();
  scene.pass(1s);
  scene.at("p").answers = false;
  scene.pass(30s);
  EXPECT_NEAR(*lag(), 31, 0.01);
  EXPECT_TRUE(source("heartbeat"));
}

TEST_F(PostgresLag, DeadHeartbeatWriterIsNoLag) {
  scene.at("p").heartbeat = PostgresHeartbeat{{}, 1000};
  scene.at("s").heartbeat = PostgresHeartbeat{{}, 1000};
  scene.pass(5s);
  EXPECT_EQ(scene.value("p", "pg_heartbeat_writer_up"), 1);
  for (int i = 0; i < 20; ++i) scene.pass(5s);
  EXPECT_EQ(scene.value("p", "pg_heartbeat_writer_up"), 0);
  EXPECT_EQ(lag(), 0);
  EXPECT_TRUE(source("lsn_history"));
}

TEST_F(PostgresLag, WithoutPositionOrIdentifierTheReasonIsSaid) {
  scene.at("s").node.replay.reset();
  scene.pass(5s);
  EXPECT_TRUE(unknown("no_position"));
  scene.at("s").node.replay = 1000;
  scene.at("s").node.system_identifier.clear();
  scene.at("s").receiver.reset();
  scene.pass(5s);
  EXPECT_TRUE(unknown("no_system_identifier"));
}

TEST_F(PostgresLag, SenderKnowsHowFarItsSilentStandbyIsBehind) {
  PostgresSender sender{.application_name = "s", .client_addr = "10.0.0.2", .state = "streaming"};
  sender.replay = 1000;
  scene.at("p").senders = {sender};
  scene.pass(5s);
  EXPECT_EQ(scene.value("p", "pg_stat_replication_lag_seconds"), 0);
  scene.at("p").node.current = 2000;
  scene.pass(5s);
  scene.pass(15s);
  EXPECT_EQ(scene.value("p", "pg_stat_replication_lag_seconds", "application_name=\"s\""), 15);
}

TEST_F(PostgresLag, LogicalConsumersLagToo) {
  PostgresSlot slot{.name = "logi", .type = "logical"};
  slot.confirmed_flush = 1000;
  scene.at("p").slots = {slot};
  scene.at("p").node.current = 2000;
  scene.pass(5s);
  scene.pass(10s);
  EXPECT_EQ(scene.value("p", "pg_replication_slots_confirmed_flush_lag_seconds"), 10);
}

TEST_F(PostgresLag, FactsOfAnotherAgentJoinJustTheSame) {
  static const Kind kAgents{"agents", "", nullptr};
  auto view = std::make_shared<TargetView>();
  view->info = std::make_shared<const TargetInfo>(TargetInfo{&kAgents, "web1", "target=\"web1\""});
  view->interval = 5s;
  auto output = std::make_shared<Output>(view->info->label_block);
  PostgresNode primary;
  primary.at = scene.now().steady;
  primary.system_identifier = "9";
  primary.current = 500;
  primary.timeline = 1;
  PostgresNode standby = primary;
  standby.in_recovery = true;
  standby.current.reset();
  standby.replay = 500;
  output->remote.push_back({"db1", "target=\"db1\",agent=\"web1\"", {primary}});
  output->remote.push_back({"db2", "target=\"db2\",agent=\"web1\"", {standby}});
  view->collectors.emplace_back().output = output;
  JoinMemory memory;
  const std::vector<std::shared_ptr<const TargetView>> targets{view};
  const auto joined = run_joins(targets, scene.now(), memory);
  bool found = false;
  for (const Table& table : joined[0]) {
    if (table.schema().columns[0].name != "pg_replication_lag_seconds") continue;
    found = true;
    EXPECT_EQ(table.labels(0), "target=\"db2\",agent=\"web1\"");
    EXPECT_EQ(table.value(0, 0), 0);
  }
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace lagwatch
