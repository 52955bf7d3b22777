// SPDX-License-Identifier: Apache-2.0
// Units of settings, the steps of the heartbeat's writer, slots, the server's own account of
// itself.
#include <gtest/gtest.h>

#include <string>

#include "postgres_fake.h"

namespace lagwatch {
namespace {

using namespace postgres_fake;  // NOLINT: a test's own helpers

constexpr int k15 = 150018;

Step settings(Server& server, std::initializer_list<const char*> cells, int version = k15) {
  return server.read("postgres_settings", {rows(version, {"name", "setting", "unit"}, cells),
                                           rows(version, {"version"}, {"PostgreSQL x on y"})});
}

TEST(PostgresSettings, AreSecondsAndBytes) {
  Server server;
  settings(server, {"archive_timeout",
                    "60",
                    "s",  //
                    "wal_sender_timeout",
                    "60000",
                    "ms",  //
                    "checkpoint_timeout",
                    "5",
                    "min",  //
                    "shared_buffers",
                    "16384",
                    "8kB",  //
                    "wal_segment_size",
                    "16777216",
                    "B",  //
                    "wal_keep_size",
                    "256",
                    "MB",  //
                    "max_wal_size",
                    "64",
                    "16MB",  //
                    "max_connections",
                    "100",
                    kNull,  //
                    "fsync",
                    "on",
                    kNull,  //
                    "hot_standby_feedback",
                    "off",
                    kNull,  //
                    "wal_receiver_timeout",
                    "1",
                    "fortnight"});
  EXPECT_EQ(server.sample("pg_settings_archive_timeout_seconds"), "60");
  EXPECT_EQ(server.sample("pg_settings_wal_sender_timeout_seconds"), "60");
  EXPECT_EQ(server.sample("pg_settings_checkpoint_timeout_seconds"), "300");
  EXPECT_EQ(server.sample("pg_settings_shared_buffers_bytes"), "134217728");
  EXPECT_EQ(server.sample("pg_settings_wal_segment_size_bytes"), "16777216");
  EXPECT_EQ(server.sample("pg_settings_wal_keep_size_bytes"), "268435456");
  EXPECT_EQ(server.sample("pg_settings_max_wal_size_bytes"), "1073741824");
  EXPECT_EQ(server.sample("pg_settings_max_connections"), "100");
  EXPECT_EQ(server.sample("pg_settings_fsync"), "1");
  EXPECT_EQ(server.sample("pg_settings_hot_standby_feedback"), "0");
  EXPECT_EQ(server.sample("pg_settings_wal_receiver_timeout_seconds"), "absent")
      << "a unit that is not known";
  EXPECT_EQ(server.sample("pg_settings_reserved_connections"), "absent") << "16 and later";
  EXPECT_EQ(server.get().segment_bytes, 16U << 20U);
}

TEST(PostgresSettings, NoLimitStaysMinusOne) {
  Server server;
  settings(server, {"max_slot_wal_keep_size", "-1", "MB", "wal_sender_timeout", "0", "ms"});
  EXPECT_EQ(server.sample("pg_settings_max_slot_wal_keep_size_bytes"), "-1");
  EXPECT_EQ(server.sample("pg_settings_wal_sender_timeout_seconds"), "0");
}

TEST(PostgresSettings, WordsAreLabels) {
  Server server;
  settings(server,
           {"archive_mode", "on", kNull, "wal_level", "replica", kNull, "cluster_name", "", kNull});
  EXPECT_EQ(server.sample("pg_settings_info{archive_mode=\"on\",wal_level=\"replica\"}"), "1");
}

TEST(PostgresSettings, VersionLongAndShort) {
  for (const auto& [number, text] : std::map<int, std::string>{
           {90305, "9.3.5"}, {90603, "9.6.3"}, {100023, "10.23.0"}, {150018, "15.18.0"}}) {
    Server server;
    settings(server, {}, number);
    EXPECT_EQ(
        server.sample("pg_static{version=\"PostgreSQL x on y\",short_version=\"" + text + "\"}"),
        "1");
  }
}

TEST(PostgresSettings, DataDirectoryOfTheConfigurationWins) {
  Server asked;
  settings(asked, {"data_directory", "/var/lib/x", kNull});
  EXPECT_EQ(asked.get().data_directory, "/var/lib/x");
  Server told({.data_directory = "/mine"});
  settings(told, {"data_directory", "/var/lib/x", kNull});
  EXPECT_EQ(told.get().data_directory, "/mine");
}

// Every setting that has a metric is asked for, and there is a metric for each that is asked for.
TEST(PostgresSettings, MetricsAndQuestionsAreTheSame) {
  Server server;
  server.primary();
  const std::string text = server.begin("postgres_settings").at(0);
  const std::string asked = text.substr(text.find(" IN ("));
  for (const Column& column : collector("postgres_settings").schemas[0]->columns) {
    EXPECT_NE(asked.find("'" + std::string(column.source) + "'"), std::string::npos)
        << column.name << " is never asked for";
  }
}

// ---- heartbeat

PostgresOptions heartbeat(bool write) {
  PostgresOptions options;
  options.heartbeat.table = "ops.hb";
  options.heartbeat.column = "at";
  options.heartbeat.write = write;
  return options;
}

SqlAnswer written(uint64_t affected) {
  SqlAnswer answer;
  answer.server_version = k15;
  answer.affected = affected;
  return answer;
}

const SqlAnswer kBeat = rows(k15, {"heartbeat", "may_write"}, {"1795351999.5", "t"});

TEST(PostgresHeartbeatSteps, NoneWithoutATable) {
  Server server;
  server.primary();
  EXPECT_TRUE(server.begin("postgres_heartbeat").empty());
  EXPECT_TRUE(server.get().server->read_only);
}

TEST(PostgresHeartbeatSteps, ReadingAsksOnce) {
  Server server(heartbeat(false));
  server.primary();
  EXPECT_TRUE(server.get().server->read_only);
  const auto texts = server.begin("postgres_heartbeat");
  ASSERT_EQ(texts.size(), 1U);
  EXPECT_EQ(texts[0],
            "SELECT extract(epoch FROM max(at)) AS heartbeat,"
            " has_table_privilege('ops.hb', 'UPDATE') AS may_write FROM ops.hb");
  server.read("postgres_heartbeat", {kBeat});
  const std::map<std::string, std::string> only = {
      {"pg_heartbeat_timestamp_seconds", "1795351999.5"}};
  EXPECT_EQ(server.samples(), only);
  EXPECT_EQ(server.output->facts.size(), 1U);
}

TEST(PostgresHeartbeatSteps, EmptyTableIsNoTime) {
  Server server(heartbeat(false));
  server.read("postgres_heartbeat", {rows(k15, {"heartbeat"}, {kNull})});
  EXPECT_TRUE(server.samples().empty());
  EXPECT_TRUE(server.output->facts.empty());
}

TEST(PostgresHeartbeatSteps, WriterOnAPrimaryOnly) {
  Server server(heartbeat(true));
  EXPECT_FALSE(server.get().server->read_only);
  EXPECT_EQ(server.begin("postgres_heartbeat").size(), 1U) << "its role is not known yet";
  server.standby();
  EXPECT_EQ(server.begin("postgres_heartbeat").size(), 1U);
  server.read("postgres_heartbeat", {kBeat});
  EXPECT_EQ(server.begin("postgres_heartbeat").size(), 1U) << "allowed, on a standby";
  server.primary();
  EXPECT_EQ(server.begin("postgres_heartbeat").size(), 1U) << "not known yet whether it may";
  server.read("postgres_heartbeat", {kBeat});
  const auto texts = server.begin("postgres_heartbeat");
  ASSERT_EQ(texts.size(), 2U);
  EXPECT_TRUE(texts[0].starts_with("UPDATE ops.hb SET at = clock_timestamp() WHERE EXISTS"));
}

TEST(PostgresHeartbeatSteps, WithoutTheLockItIsAskedFor) {
  Server server(heartbeat(true));
  server.primary();
  const Step step = server.read("postgres_heartbeat", {written(0), kBeat});
  ASSERT_TRUE(std::holds_alternative<More>(step));
  const auto more = Server::texts(std::get<More>(step).asks, k15);
  ASSERT_EQ(more.size(), 1U);
  EXPECT_NE(more[0].find("pg_try_advisory_lock(7021617310)"), std::string::npos);
  EXPECT_EQ(server.sample("pg_heartbeat_writer"), "0");
  const Step done = server.read("postgres_heartbeat", {rows(k15, {"taken"}, {"t"})});
  EXPECT_TRUE(std::holds_alternative<Done>(done));
  EXPECT_TRUE(std::holds_alternative<Done>(server.read("postgres_heartbeat", {written(1), kBeat})));
  EXPECT_EQ(server.sample("pg_heartbeat_writer"), "1");
}

TEST(PostgresHeartbeatSteps, RefusedWriteIsSaidAndReadingGoesOn) {
  Server server(heartbeat(true));
  server.primary();
  const Step step =
      server.read("postgres_heartbeat", {failure(k15, "42501", "permission denied"), kBeat});
  EXPECT_TRUE(std::holds_alternative<Done>(step));
  ASSERT_EQ(server.output->limits.size(), 1U);
  EXPECT_TRUE(server.output->limits[0].fix.starts_with("GRANT SELECT, UPDATE ON ops.hb"));
  EXPECT_EQ(server.sample("pg_heartbeat_timestamp_seconds"), "1795351999.5");
  EXPECT_EQ(server.sample("pg_heartbeat_writer"), "absent");
}

TEST(PostgresHeartbeatSteps, WithoutTheRightOrARowItIsNotTried) {
  Server server(heartbeat(true));
  server.primary();
  server.read("postgres_heartbeat", {rows(k15, {"heartbeat", "may_write"}, {"1", "f"})});
  ASSERT_EQ(server.output->limits.size(), 1U);
  EXPECT_EQ(server.output->limits[0].reason, Reason::kPermission);
  EXPECT_EQ(server.output->limits[0].fix, "GRANT SELECT, UPDATE ON ops.hb TO lagwatch");
  EXPECT_EQ(server.begin("postgres_heartbeat").size(), 1U);
  server.read("postgres_heartbeat", {rows(k15, {"heartbeat", "may_write"}, {kNull, "t"})});
  ASSERT_EQ(server.output->limits.size(), 1U);
  EXPECT_EQ(server.output->limits[0].fix, "INSERT INTO ops.hb (at) VALUES (clock_timestamp())");
  EXPECT_EQ(server.begin("postgres_heartbeat").size(), 1U);
  EXPECT_EQ(server.sample("pg_heartbeat_writer"), "absent");
}

TEST(PostgresHeartbeatSteps, MissingTableIsALimitNotAFailure) {
  Server server(heartbeat(false));
  EXPECT_TRUE(std::holds_alternative<Done>(server.read(
      "postgres_heartbeat", {failure(k15, "42P01", "relation \"ops.hb\" does not exist")})));
  ASSERT_EQ(server.output->limits.size(), 1U);
  EXPECT_EQ(server.output->limits[0].reason, Reason::kProtocol);
}

// ---- slots

TEST(PostgresSlots, LostIsAStatusAndNoBytes) {
  Server server;
  server.primary();
  server.read("postgres_slots",
              {rows(k15,
                    {"slot_name", "slot_type", "database", "active", "restart_lsn", "current_lsn",
                     "retained", "wal_status", "safe_wal_size"},
                    {"gone", "physical", kNull, "f", kNull, "50331648", kNull, "lost", kNull})});
  EXPECT_EQ(server.sample("pg_replication_slots_wal_status{slot_name=\"gone\",slot_type="
                          "\"physical\",wal_status=\"lost\"}"),
            "1");
  EXPECT_EQ(server.sample("pg_replication_slots_pg_wal_lsn_diff{slot_name=\"gone\"}"), "absent");
  EXPECT_EQ(server.sample("pg_replication_slots_active{slot_name=\"gone\"}"), "0");
  ASSERT_EQ(server.output->facts.size(), 1U);
  EXPECT_TRUE(std::get<PostgresSlot>(server.output->facts[0]).lost);
}

TEST(PostgresSlots, NoneIsNoTable) {
  Server server;
  server.primary();
  server.read("postgres_slots", {rows(k15, {"slot_name"}, {})});
  EXPECT_TRUE(server.samples().empty());
}

// ---- node

const std::vector<std::string> kNode = {
    "in_recovery", "current_lsn", "receive_lsn", "replay_lsn",    "last_replay",
    "clock",       "start_time",  "walfile",     "replay_paused", "system_identifier"};

TEST(PostgresNodeFacts, StandbyHasNoCurrentPositionAndNoTimeline) {
  Server server;
  server.read("postgres_node", {rows(k15, kNode,
                                     {"t", kNull, kNull, "50331648", kNull, "1795352000.25",
                                      "1795350000", kNull, "f", "7000000000000000001"})});
  EXPECT_EQ(server.sample("pg_replication_is_replica"), "1");
  EXPECT_EQ(server.sample("pg_wal_lsn_bytes{kind=\"current\"}"), "absent");
  EXPECT_EQ(server.sample("pg_wal_lsn_bytes{kind=\"receive\"}"), "absent");
  EXPECT_EQ(server.sample("pg_wal_lsn_bytes{kind=\"replay\"}"), "50331648");
  EXPECT_EQ(server.sample("pg_timeline"), "absent");
  EXPECT_EQ(server.sample("pg_clock_offset_seconds"), "0.25");
  EXPECT_EQ(server.sample("pg_replication_is_replay_paused"), "0");
  EXPECT_EQ(server.sample("pg_replication_last_replay_seconds"), "absent");
  EXPECT_EQ(server.sample("pg_system_info{system_identifier=\"7000000000000000001\"}"), "1");
  EXPECT_EQ(server.get().in_recovery, true);
}

TEST(PostgresNodeFacts, IdentifierBefore96ComesOfReplication) {
  Server server;
  SqlAnswer answer = rows(90305, kNode,
                          {"f", "50331648", kNull, kNull, kNull, "1795352000", "1795350000",
                           "000000020000000000000003", kNull, kNull});
  answer.system_identifier = "42";
  server.read("postgres_node", {answer});
  EXPECT_EQ(server.sample("pg_system_info{system_identifier=\"42\"}"), "1");
  EXPECT_EQ(server.sample("pg_timeline"), "2");
  EXPECT_EQ(server.sample("pg_xlog_location_bytes"), "50331648");
  EXPECT_TRUE(server.output->limits.empty());
  answer.system_identifier = "";
  answer.identify_problem = "no pg_hba.conf entry";
  server.read("postgres_node", {answer});
  ASSERT_EQ(server.output->limits.size(), 1U);
  EXPECT_TRUE(server.output->limits[0].fix.starts_with("ALTER ROLE lagwatch REPLICATION"));
  EXPECT_EQ(server.sample("pg_system_info{system_identifier=\"42\"}"), "absent");
}

}  // namespace
}  // namespace lagwatch
