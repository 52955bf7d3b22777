// SPDX-License-Identifier: Apache-2.0
// Facts rebuilt from the samples that another agent exposes.
#include "model/remote_facts.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "collector/agent_text.h"

namespace lagwatch {
namespace {

using namespace std::chrono_literals;

constexpr Instant kNow{std::chrono::hours(100)};

std::vector<RemoteTarget> targets_of(const std::string& text) {
  RemoteFacts facts({"db1.example", {{"site", "shop"}, {"agent", "a1"}}, kNow});
  AgentText reader(text);
  for (RemoteSample sample; reader.next(sample);) facts.add(sample);
  EXPECT_EQ(reader.rejected(), 0U) << text;
  return facts.take();
}

// The facts of type F of target `t`. `lines` are `family{labels} value`, without the target.
template <typename F>
std::vector<F> facts_of(const std::string& lines) {
  std::string text;
  for (size_t begin = 0; begin < lines.size();) {
    const size_t end = lines.find('\n', begin);
    std::string line = lines.substr(begin, end - begin);
    const size_t brace = line.find('{');
    line.insert(brace + 1, "target=\"t\",");
    text += line + "\n";
    begin = end + 1;
  }
  std::vector<F> out;
  for (const RemoteTarget& target : targets_of(text)) {
    for (const Fact& fact : target.facts) {
      if (const F* wanted = std::get_if<F>(&fact)) out.push_back(*wanted);
    }
  }
  return out;
}

std::string age(const std::string& collector, const std::string& seconds) {
  return "lagwatch_target_age_seconds{kind=\"postgres\",collector=\"" + collector + "\"} " +
         seconds + "\n";
}

TEST(RemoteFacts, BackendOfHaproxy) {
  const auto facts = facts_of<HaproxyBackend>(
      "haproxy_backend_agg_server_status{proxy=\"web\",state=\"DOWN\"} 3\n"
      "haproxy_backend_agg_server_status{proxy=\"web\",state=\"UP\"} 5\n"
      "haproxy_backend_agg_server_status{proxy=\"web\",state=\"MAINT\"} 7\n"
      "haproxy_backend_status{proxy=\"web\",state=\"DOWN\"} 0\n"
      "haproxy_backend_status{proxy=\"web\",state=\"UP\"} 1\n"
      "haproxy_backend_status{proxy=\"api\",state=\"DOWN\"} 1\n"
      "haproxy_backend_status{proxy=\"api\",state=\"UP\"} 0\n"
      "haproxy_backend_agg_server_status{proxy=\"unknown\",state=\"UP\"} 5\n");
  ASSERT_EQ(facts.size(), 2U);
  EXPECT_EQ(facts[0].proxy, "api");
  EXPECT_FALSE(facts[0].up);
  EXPECT_EQ(facts[1].proxy, "web");
  EXPECT_TRUE(facts[1].up);
  EXPECT_EQ(facts[1].servers_up, 5U);
  EXPECT_EQ(facts[1].servers_down, 3U);
}

TEST(RemoteFacts, SparseStatesAreEnoughForABackend) {
  const auto facts =
      facts_of<HaproxyBackend>("haproxy_backend_status{proxy=\"web\",state=\"DOWN\"} 1\n");
  ASSERT_EQ(facts.size(), 1U);
  EXPECT_FALSE(facts[0].up);
}

const std::string kPrimary =
    "pg_replication_is_replica{} 0\n"
    "pg_system_info{system_identifier=\"7301234567890123456\"} 1\n"
    "pg_timeline{} 3\n"
    "pg_wal_lsn_bytes{kind=\"current\"} 9007199254740991\n"
    "pg_postmaster_start_time_seconds{} 1795352000.25\n"
    "pg_clock_offset_seconds{} 0.5\n"
    "pg_settings_port{} 5433\n";

TEST(RemoteFacts, Primary) {
  const auto facts = facts_of<PostgresNode>(kPrimary + age("postgres_node", "1.5"));
  ASSERT_EQ(facts.size(), 1U);
  const PostgresNode& node = facts[0];
  EXPECT_EQ(node.at, kNow - 1500ms);
  EXPECT_FALSE(node.in_recovery);
  EXPECT_EQ(node.system_identifier, "7301234567890123456");
  EXPECT_EQ(node.timeline, 3U);
  EXPECT_EQ(node.current, 9007199254740991U);
  EXPECT_FALSE(node.receive || node.replay || node.replay_paused);
  EXPECT_EQ(node.start_time, 1795352000.25);
  EXPECT_FALSE(node.clock_offset) << "it is that of the other agent's clock";
  EXPECT_EQ(node.host, "db1.example");
  EXPECT_EQ(node.port, "5433");
}

TEST(RemoteFacts, Standby) {
  const auto nodes = facts_of<PostgresNode>(
      "pg_replication_is_replica{} 1\npg_wal_lsn_bytes{kind=\"receive\"} 200\n"
      "pg_wal_lsn_bytes{kind=\"replay\"} 100\npg_replication_is_replay_paused{} 1\n" +
      age("postgres_node", "0"));
  ASSERT_EQ(nodes.size(), 1U);
  EXPECT_TRUE(nodes[0].in_recovery);
  EXPECT_EQ(nodes[0].receive, 200U);
  EXPECT_EQ(nodes[0].replay, 100U);
  EXPECT_EQ(nodes[0].replay_paused, true);
  EXPECT_FALSE(nodes[0].current || nodes[0].timeline || nodes[0].start_time);
  EXPECT_EQ(nodes[0].system_identifier, "");
  EXPECT_EQ(nodes[0].port, "");
}

TEST(RemoteFacts, Receiver) {
  const std::string info =
      "{upstream_host=\"10.0.0.1\",upstream_port=\"5432\",slot_name=\"s1\",status=\"streaming\"} ";
  const std::string labels = "{upstream_host=\"10.0.0.1\",slot_name=\"s1\",status=\"streaming\"} ";
  const auto facts = facts_of<PostgresReceiver>(
      "pg_stat_wal_receiver_up{} 1\npg_stat_wal_receiver_info" + info +
      "1\npg_stat_wal_receiver_last_msg_age_seconds{} 0.25\npg_stat_wal_receiver_received_tli" +
      labels + "2\npg_stat_wal_receiver_latest_end_lsn" + labels +
      "4096\npg_settings_wal_receiver_timeout_seconds{} 60\n" + age("postgres_wal_receiver", "2"));
  ASSERT_EQ(facts.size(), 1U);
  EXPECT_EQ(facts[0].at, kNow - 2s);
  EXPECT_TRUE(facts[0].streaming);
  EXPECT_EQ(facts[0].upstream_host, "10.0.0.1");
  EXPECT_EQ(facts[0].upstream_port, "5432");
  EXPECT_EQ(facts[0].slot_name, "s1");
  EXPECT_EQ(facts[0].timeline, 2U);
  EXPECT_EQ(facts[0].last_message_age, 0.25);
  EXPECT_EQ(facts[0].timeout, 60);
  EXPECT_EQ(facts[0].latest_end, 4096U);
}

TEST(RemoteFacts, SendersByTheirLabels) {
  const std::string a = "{application_name=\"s1\",client_addr=\"10.0.0.2\",state=\"streaming\",";
  const std::string b = "{application_name=\"s2\",state=\"backup\",";
  const std::string name = "pg_stat_replication_lsn_bytes";
  const auto facts = facts_of<PostgresSender>(
      name + a + "slot_name=\"x\",kind=\"sent\"} 4\n" + name + b + "kind=\"sent\"} 9\n" + name + a +
      "slot_name=\"x\",kind=\"write\"} 3\n" + name + a + "slot_name=\"x\",kind=\"flush\"} 2\n" +
      name + a + "slot_name=\"x\",kind=\"replay\"} 1\n" + age("postgres_replication", "1"));
  ASSERT_EQ(facts.size(), 2U);
  EXPECT_EQ(facts[0].application_name, "s1");
  EXPECT_EQ(facts[0].client_addr, "10.0.0.2");
  EXPECT_EQ(facts[0].state, "streaming");
  EXPECT_EQ(facts[0].slot_name, "x");
  EXPECT_EQ(facts[0].sent, 4U);
  EXPECT_EQ(facts[0].write, 3U);
  EXPECT_EQ(facts[0].flush, 2U);
  EXPECT_EQ(facts[0].replay, 1U);
  EXPECT_EQ(facts[1].application_name, "s2");
  EXPECT_EQ(facts[1].client_addr, "");
  EXPECT_FALSE(facts[1].replay);
}

TEST(RemoteFacts, AServerWithoutSendersSaysSo) {
  const std::string seen = "pg_stat_replication_standbys{} 0\n" + age("postgres_replication", "2");
  ASSERT_EQ(facts_of<PostgresSenders>(seen).size(), 1U);
  EXPECT_EQ(facts_of<PostgresSenders>(seen)[0].at, kNow - 2s);
  EXPECT_TRUE(facts_of<PostgresSender>(seen).empty());
  EXPECT_TRUE(facts_of<PostgresSenders>(kPrimary + age("postgres_replication", "2")).empty());
}

TEST(RemoteFacts, ASenderWithoutPositionsIsOne) {
  const auto facts = facts_of<PostgresSender>(
      "pg_stat_replication_pg_current_wal_lsn_bytes{application_name=\"s\",state=\"startup\"} "
      "100\n" +
      age("postgres_replication", "1"));
  ASSERT_EQ(facts.size(), 1U);
  EXPECT_EQ(facts[0].state, "startup");
  EXPECT_FALSE(facts[0].sent || facts[0].write || facts[0].flush || facts[0].replay);
}

TEST(RemoteFacts, Slots) {
  const auto facts = facts_of<PostgresSlot>(
      "pg_replication_slots_slot_is_active{slot_name=\"a\",slot_type=\"physical\"} 1\n"
      "pg_replication_slots_restart_lsn{slot_name=\"a\",slot_type=\"physical\"} 100\n"
      "pg_replication_slots_wal_status{slot_name=\"a\",slot_type=\"physical\",wal_status="
      "\"extended\"} 1\n"
      "pg_replication_slots_slot_is_active{slot_name=\"b\",slot_type=\"logical\"} 0\n"
      "pg_replication_slots_slot_confirmed_flush_lsn{slot_name=\"b\",slot_type=\"logical\"} 50\n"
      "pg_replication_slots_wal_status{slot_name=\"b\",slot_type=\"logical\",wal_status=\"lost\"} "
      "1\n"
      "pg_replication_slots_restart_lsn{slot_name=\"c\",slot_type=\"physical\"} 100\n" +
      age("postgres_slots", "1"));
  ASSERT_EQ(facts.size(), 2U);
  EXPECT_EQ(facts[0].name, "a");
  EXPECT_EQ(facts[0].type, "physical");
  EXPECT_TRUE(facts[0].active);
  EXPECT_FALSE(facts[0].lost);
  EXPECT_EQ(facts[0].restart, 100U);
  EXPECT_EQ(facts[1].name, "b");
  EXPECT_FALSE(facts[1].active);
  EXPECT_TRUE(facts[1].lost);
  EXPECT_EQ(facts[1].confirmed_flush, 50U);
}

TEST(RemoteFacts, HeartbeatArchiveAndKeptWal) {
  const std::string text =
      "pg_heartbeat_timestamp_seconds{} 1795352000.5\npg_archive_configured{} 1\n"
      "pg_stat_archiver_last_archived_timestamp_seconds{} 1795351000\n"
      "pg_wal_oldest_lsn_bytes{} 16777216\n" +
      age("postgres_heartbeat", "1") + age("postgres_archiver", "2") + age("postgres_wal", "30");
  const auto heartbeats = facts_of<PostgresHeartbeat>(text);
  ASSERT_EQ(heartbeats.size(), 1U);
  EXPECT_EQ(heartbeats[0].timestamp, 1795352000.5);
  EXPECT_EQ(heartbeats[0].at, kNow - 1s);
  const auto archives = facts_of<PostgresArchiving>(text);
  ASSERT_EQ(archives.size(), 1U);
  EXPECT_TRUE(archives[0].configured);
  EXPECT_EQ(archives[0].last_archived, 1795351000);
  EXPECT_FALSE(archives[0].last_failed);
  const auto kept = facts_of<PostgresWalKept>(text);
  ASSERT_EQ(kept.size(), 1U);
  EXPECT_EQ(kept[0].oldest, 16777216U);
  EXPECT_EQ(kept[0].at, kNow - 30s);
}

TEST(RemoteFacts, WithoutItsAgeAFactIsLeftOut) {
  EXPECT_TRUE(facts_of<PostgresNode>(kPrimary).empty());
  EXPECT_TRUE(facts_of<PostgresNode>(kPrimary + age("postgres_slots", "1")).empty());
  for (const char* wrong : {"-1", "NaN", "+Inf", "1e300"})
    EXPECT_TRUE(facts_of<PostgresNode>(kPrimary + age("postgres_node", wrong)).empty()) << wrong;
}

TEST(RemoteFacts, WhatIsOutOfRangeIsAbsent) {
  for (const std::string wrong :
       {"-1", "NaN", "+Inf", "-Inf", "1e300", "0.5", "9007199254740992"}) {
    const auto nodes = facts_of<PostgresNode>(
        "pg_replication_is_replica{} 0\npg_wal_lsn_bytes{kind=\"current\"} " + wrong +
        "\npg_timeline{} " + wrong + "\npg_settings_port{} " + wrong +
        "\npg_replication_is_replay_paused{} " + wrong + "\n" + age("postgres_node", "1"));
    ASSERT_EQ(nodes.size(), 1U) << wrong;
    EXPECT_FALSE(nodes[0].current || nodes[0].timeline || nodes[0].replay_paused) << wrong;
    EXPECT_EQ(nodes[0].port, "") << wrong;
    EXPECT_TRUE(facts_of<PostgresNode>("pg_replication_is_replica{} " + wrong + "\n" +
                                       age("postgres_node", "1"))
                    .empty())
        << wrong;
  }
  EXPECT_EQ(facts_of<PostgresNode>("pg_replication_is_replica{} 0\npg_timeline{} 4294967296\n" +
                                   age("postgres_node", "1"))[0]
                .timeline,
            std::nullopt);
}

TEST(RemoteFacts, IdentifiersThatAreNoneAreAbsent) {
  for (const std::string wrong : {"7 1 2 3", "71\\n8", "x", "123456789012345678901"}) {
    const auto nodes = facts_of<PostgresNode>(
        "pg_replication_is_replica{} 0\npg_system_info{system_identifier=\"" + wrong + "\"} 1\n" +
        age("postgres_node", "1"));
    ASSERT_EQ(nodes.size(), 1U);
    EXPECT_EQ(nodes[0].system_identifier, "") << wrong;
  }
}

TEST(RemoteFacts, TargetsAreToldApart) {
  const auto targets = targets_of(
      "haproxy_backend_status{target=\"lb1\",proxy=\"web\",state=\"UP\"} 1\n"
      "haproxy_backend_status{target=\"lb2\",proxy=\"web\",state=\"UP\"} 0\n"
      "lagwatch_target_up{target=\"lb2\",site=\"b\",kind=\"haproxy\"} 1\n"
      "lagwatch_target_up{target=\"host\",kind=\"host\"} 1\n"
      "haproxy_backend_status{proxy=\"web\",state=\"UP\"} 0\n");
  ASSERT_EQ(targets.size(), 2U) << "one without facts is none";
  EXPECT_EQ(targets[0].name, "lb1");
  EXPECT_EQ(targets[0].label_block, "target=\"lb1\",site=\"shop\",agent=\"a1\"");
  EXPECT_EQ(targets[1].name, "lb2");
  EXPECT_EQ(targets[1].label_block, "target=\"lb2\",site=\"b\",agent=\"a1\"");
}

}  // namespace
}  // namespace lagwatch
