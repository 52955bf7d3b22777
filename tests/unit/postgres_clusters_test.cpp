// SPDX-License-Identifier: Apache-2.0
// Clusters by system identifier: split brain, missing and useless standbys, unprotected primaries.
#include <gtest/gtest.h>

#include "postgres_scene.h"

namespace lagwatch {
namespace {

using namespace std::chrono_literals;

PostgresSender streaming(const std::string& name) {
  PostgresSender sender{.application_name = name, .client_addr = "10.0.0.2", .state = "streaming"};
  sender.replay = 1000;
  return sender;
}

class PostgresClusters : public testing::Test {
 protected:
  void SetUp() override {
    scene.primary("p", 1000).senders = {streaming("s")};
    scene.standby("s", 1000, 1000);
    scene.run();
  }
  PostgresScene scene;
};

TEST_F(PostgresClusters, CountWhoIsInSight) {
  for (const char* name : {"p", "s"}) {
    EXPECT_EQ(scene.value(name, "pg_cluster_primaries"), 1);
    EXPECT_EQ(scene.value(name, "pg_cluster_standbys"), 1);
    EXPECT_EQ(scene.value(name, "pg_cluster_timeline"), 1);
  }
  scene.primary("other", 5).node.system_identifier = "8822";
  scene.run();
  EXPECT_EQ(scene.value("p", "pg_cluster_primaries"), 1)
      << "another cluster's primary is no matter";
}

TEST_F(PostgresClusters, TwoPrimariesOfOneIdentifierAreASplitBrain) {
  PostgresScene::Server& s = scene.at("s");
  s.node.in_recovery = false;
  s.node.current = 1200;
  s.node.timeline = 2;
  scene.pass(5s);
  EXPECT_EQ(scene.value("p", "pg_cluster_primaries"), 2);
  EXPECT_EQ(scene.value("p", "pg_cluster_timeline"), 2);
  EXPECT_EQ(scene.value("s", "pg_promotions_total"), 1);
  EXPECT_EQ(scene.value("s", "pg_promoted_timestamp_seconds"), unix_seconds(scene.now().wall));
  EXPECT_FALSE(scene.value("p", "pg_promoted_timestamp_seconds"));
}

TEST_F(PostgresClusters, OneServerThatIsAskedTwiceIsOne) {
  scene.primary("p-tcp", 1000).node.start_time = scene.at("p").node.start_time;
  scene.run();
  EXPECT_EQ(scene.value("p", "pg_cluster_primaries"), 1);
}

TEST_F(PostgresClusters, WithoutIdentifierNothingIsCounted) {
  scene.at("p").node.system_identifier.clear();
  scene.run();
  EXPECT_FALSE(scene.value("p", "pg_cluster_primaries"));
}

TEST_F(PostgresClusters, UpstreamsDifferUnlessOneCascades) {
  scene.at("s").receiver->upstream_host = "10.0.0.1";
  scene.at("s").receiver->upstream_port = "5432";
  PostgresScene::Server& t = scene.standby("t", 1000, 1000);
  t.receiver->upstream_host = "10.0.0.9";
  t.receiver->upstream_port = "5432";
  scene.run();
  EXPECT_EQ(scene.value("p", "pg_cluster_upstreams"), 2);
  scene.at("s").node.host = "10.0.0.9";
  scene.at("s").node.port = "5432";
  scene.run();
  EXPECT_EQ(scene.value("p", "pg_cluster_upstreams"), 1) << "t follows s";
}

TEST_F(PostgresClusters, PrimaryIsProtectedByAStandbyOrItsArchive) {
  EXPECT_EQ(scene.value("p", "pg_primary_protected", "by=\"standby\""), 1);
  EXPECT_FALSE(scene.value("p", "pg_primary_protected", "by=\"archive\""));
  scene.at("p").senders.front().replay.reset();  // pg_receivewal
  scene.at("p").archiving = PostgresArchiving{{}, true, 100.0, 200.0};
  scene.run();
  EXPECT_EQ(scene.value("p", "pg_primary_protected", "by=\"standby\""), 0);
  EXPECT_EQ(scene.value("p", "pg_primary_protected", "by=\"archive\""), 0) << "it fails now";
  scene.at("p").archiving->last_archived = 300;
  scene.run();
  EXPECT_EQ(scene.value("p", "pg_primary_protected", "by=\"archive\""), 1);
  scene.at("p").senders_hidden = true;
  scene.at("p").senders.clear();
  scene.run();
  EXPECT_FALSE(scene.value("p", "pg_primary_protected", "by=\"standby\"")) << "hidden is not none";
}

TEST_F(PostgresClusters, StandbyWhoseWalWasRemovedNeedsToBeBuiltAnew) {
  PostgresScene::Server& s = scene.at("s");
  scene.at("p").node.current = 90000;
  scene.at("p").kept = PostgresWalKept{{}, 500};
  s.receiver->streaming = false;
  scene.pass(60s);
  EXPECT_EQ(scene.value("s", "pg_standby_needs_rebuild", "wal_removed"), 0) << "it is still there";
  scene.at("p").kept->oldest = 50000;
  scene.run();
  EXPECT_EQ(scene.value("s", "pg_standby_needs_rebuild", "wal_removed"), 1);
  s.node.replay = 20000;  // from the archive
  scene.pass(5s);
  EXPECT_EQ(scene.value("s", "pg_standby_needs_rebuild", "wal_removed"), 0);
}

TEST_F(PostgresClusters, StandbyWhoseSlotIsLostNeedsToBeBuiltAnew) {
  scene.at("s").receiver->slot_name = "s1";
  scene.pass(5s);
  PostgresSlot slot{.name = "s1", .type = "physical"};
  slot.lost = true;
  scene.at("p").slots = {slot};
  scene.at("s").receiver->streaming = false;
  scene.at("s").receiver->slot_name.clear();
  scene.pass(5s);
  EXPECT_EQ(scene.value("s", "pg_standby_needs_rebuild", "slot_lost"), 1);
}

TEST_F(PostgresClusters, StandbyThatWentOnBehindTheForkHasDiverged) {
  PostgresScene::Server& o = scene.standby("o", 1000, 1000);
  scene.at("s").node.replay = 3000;
  scene.pass(5s);
  o.node.in_recovery = false;
  o.node.current = 1100;
  o.node.timeline = 2;
  o.receiver.reset();
  scene.at("p").answers = false;
  scene.at("p").forgotten = true;
  scene.at("s").receiver->streaming = false;
  scene.pass(5s);
  EXPECT_EQ(scene.value("s", "pg_standby_needs_rebuild", "timeline_diverged"), 1);
}

TEST_F(PostgresClusters, AMissingStandbyIsRemembered) {
  EXPECT_EQ(scene.value("p", "pg_replication_standby_connected", "application_name=\"s\""), 1);
  const double seen = unix_seconds(scene.now().wall);
  scene.at("p").senders.clear();
  scene.pass(5s);
  EXPECT_EQ(scene.value("p", "pg_replication_standby_connected", "application_name=\"s\""), 0);
  EXPECT_EQ(scene.value("p", "pg_replication_standby_last_seen_timestamp_seconds"), seen);
  scene.at("p").senders_hidden = true;
  scene.pass(5s);
  EXPECT_FALSE(scene.value("p", "pg_replication_standby_connected"));
  scene.at("p").senders_hidden = false;
  scene.pass(25h);
  EXPECT_FALSE(scene.value("p", "pg_replication_standby_connected")) << "forgotten after a day";
}

}  // namespace
}  // namespace lagwatch
