// SPDX-License-Identifier: Apache-2.0
// What collectors of PostgreSQL make of refusals, of gaps and of time.
#include <gtest/gtest.h>

#include <string>

#include "postgres_fake.h"

namespace lagwatch {
namespace {

using namespace postgres_fake;  // NOLINT: a test's own helpers

constexpr int k15 = 150018;

bool is_done(const Step& step) { return std::holds_alternative<Done>(step); }

// ---- refusals

const std::vector<std::string> kSender = {
    "application_name", "client_addr", "state",     "pid",        "slot_name", "slot_type",
    "sent_lsn",         "write_lsn",   "flush_lsn", "replay_lsn", "reply_time"};

TEST(PostgresHidden, SendersAreALimitWithTheGrantAndNoSample) {
  Server server;
  server.primary();
  const Step step = server.read("postgres_replication",
                                {unsupported(k15), rows(k15, kSender,
                                                        {kNull, kNull, kNull, "77", kNull, kNull,
                                                         kNull, kNull, kNull, kNull, kNull})});
  EXPECT_TRUE(is_done(step));
  ASSERT_EQ(server.output->limits.size(), 1U);
  EXPECT_EQ(server.output->limits[0].reason, Reason::kPermission);
  EXPECT_EQ(server.output->limits[0].fix, "GRANT pg_read_all_stats TO lagwatch");
  const std::map<std::string, std::string> only = {{"pg_replication_privileges_ok", "0"}};
  EXPECT_EQ(server.samples(), only);
  EXPECT_TRUE(server.output->facts.empty());
}

TEST(PostgresHidden, SendersBeforeTenNeedTheFunctions) {
  Server server;
  server.primary(90603);
  const SqlAnswer hidden = rows(
      90603, kSender, {kNull, kNull, kNull, "77", kNull, kNull, kNull, kNull, kNull, kNull, kNull});
  Step step = server.read("postgres_replication", {rows(90603, {"proname"}, {}), hidden});
  ASSERT_EQ(server.output->limits.size(), 1U);
  EXPECT_EQ(server.output->limits[0].fix,
            "install the functions of README.md, section \"PostgreSQL before 10\"");
  // They are there: asked at once, and from the beginning the next time.
  step =
      server.read("postgres_replication", {rows(90603, {"proname"}, {"stat_replication"}), hidden});
  ASSERT_TRUE(std::holds_alternative<More>(step));
  const auto more = Server::texts(std::get<More>(step).asks, 90603);
  ASSERT_EQ(more.size(), 1U);
  EXPECT_NE(more[0].find("monitoring.stat_replication() s"), std::string::npos);
  EXPECT_TRUE(server.output->limits.empty());
  const auto next = server.begin("postgres_replication");
  ASSERT_EQ(next.size(), 2U);
  EXPECT_EQ(next[1], more[0]);
}

TEST(PostgresHidden, FunctionThatFailsIsNotAskedAgainByItself) {
  Server server;
  server.primary(90603);
  server.get().wrappers.replication = true;
  server.read("postgres_replication", {rows(90603, {"proname"}, {"stat_replication"}),
                                       failure(90603, "42883", "function does not exist")});
  EXPECT_EQ(server.output->limits.size(), 1U);
  EXPECT_EQ(server.begin("postgres_replication")[1].find("monitoring."), std::string::npos);
}

TEST(PostgresHidden, ReceiverIsALimitAndNotDown) {
  Server server;
  server.standby();
  server.read("postgres_wal_receiver",
              {rows(k15, {"pid", "status", "upstream_host"}, {"78", kNull, kNull})});
  ASSERT_EQ(server.output->limits.size(), 1U);
  EXPECT_EQ(server.output->limits[0].fix, "GRANT pg_read_all_stats TO lagwatch");
  EXPECT_TRUE(server.samples().empty()) << "no pg_stat_wal_receiver_up: it is not known";
  EXPECT_TRUE(server.output->facts.empty());
}

TEST(PostgresHidden, ReceiverThatDoesNotRunIsDown) {
  Server server;
  server.standby();
  server.read("postgres_wal_receiver", {rows(k15, {"pid", "status"}, {})});
  const std::map<std::string, std::string> only = {{"pg_stat_wal_receiver_up", "0"}};
  EXPECT_EQ(server.samples(), only);
  server.primary();
  server.read("postgres_wal_receiver", {rows(k15, {"pid", "status"}, {})});
  EXPECT_TRUE(server.samples().empty()) << "a primary has none to be down";
}

const std::vector<std::string> kSummary = {"connections",
                                           "hidden",
                                           "waiting",
                                           "oldest_wait",
                                           "oldest_transaction",
                                           "idle_in_transaction",
                                           "oldest_idle_in_transaction"};

TEST(PostgresHidden, SessionsAreCountedOnly) {
  Server server;
  server.primary();
  server.read("postgres_activity", {rows(k15, kSummary, {"9", "8", "0", kNull, "0.1", "0", kNull}),
                                    rows(k15, {"datname", "state", "sessions", "max_tx_duration"},
                                         {"app", "active", "0", "0"})});
  const std::map<std::string, std::string> only = {{"pg_stat_activity_connections", "9"}};
  EXPECT_EQ(server.samples(), only);
  ASSERT_EQ(server.output->limits.size(), 1U);
  EXPECT_EQ(server.output->limits[0].fix, "GRANT pg_read_all_stats TO lagwatch");
}

TEST(PostgresActivity, NobodyWaitsIsNoAge) {
  Server server;
  server.primary();
  server.read("postgres_activity", {rows(k15, kSummary, {"3", "0", "0", kNull, kNull, "0", kNull}),
                                    rows(k15, {"datname", "state", "sessions", "max_tx_duration"},
                                         {"app", "idle in transaction", "0", "0"})});
  EXPECT_EQ(server.sample("pg_stat_activity_waiting"), "0");
  EXPECT_EQ(server.sample("pg_stat_activity_count{datname=\"app\",state=\"idle in transaction\"}"),
            "0");
  EXPECT_TRUE(server.output->limits.empty());
}

TEST(PostgresDirectory, RefusalHasItsGrant) {
  Server server;
  server.primary();
  server.read("postgres_wal", {failure(k15, "42501", "permission denied for function x")});
  ASSERT_EQ(server.output->limits.size(), 1U);
  EXPECT_EQ(server.output->limits[0].fix, "GRANT EXECUTE ON FUNCTION pg_ls_waldir() TO lagwatch");
  server.read("postgres_archive_status",
              {failure(k15, "42501", "permission denied for function x")});
  ASSERT_EQ(server.output->limits.size(), 1U);
  EXPECT_TRUE(server.output->limits[0].fix.starts_with(
      "GRANT EXECUTE ON FUNCTION pg_ls_archive_statusdir() TO lagwatch"));
  EXPECT_TRUE(server.samples().empty());
}

TEST(PostgresDirectory, FileThatWentWhileItWasListedIsSilent) {
  Server server;
  server.primary();
  server.read("postgres_archive_status",
              {failure(k15, "58P01", "could not stat file: No such file or directory")});
  EXPECT_TRUE(server.output->limits.empty());
  EXPECT_TRUE(server.samples().empty());
}

TEST(PostgresDirectory, NoneReadyIsZeroWithoutATime) {
  Server server;
  server.primary();
  server.read("postgres_archive_status", {rows(k15, {"ready", "oldest"}, {"0", kNull})});
  const std::map<std::string, std::string> only = {{"pg_archive_ready_segments", "0"}};
  EXPECT_EQ(server.samples(), only);
}

TEST(PostgresDirectory, AStandbyIsNotAskedUnlessItArchives) {
  Server server;
  EXPECT_TRUE(server.begin("postgres_archive_status").empty()) << "its role is not known yet";
  server.standby();
  EXPECT_TRUE(server.begin("postgres_archive_status").empty());
  server.get().archives_as_standby = true;
  EXPECT_EQ(server.begin("postgres_archive_status").size(), 1U);
}

// ---- one statement's failure

TEST(PostgresIsolation, OneViewOfTwoFailsAlone) {
  Server server;
  server.primary(170010);
  const Step step =
      server.read("postgres_bgwriter", {failure(170010, "42501", "permission denied"),
                                        rows(170010, {"num_timed", "write_time"}, {"3", "12.5"})});
  EXPECT_TRUE(is_done(step));
  EXPECT_EQ(server.output->limits.size(), 1U);
  EXPECT_EQ(server.sample("pg_stat_checkpointer_num_timed_total"), "3");
}

TEST(PostgresIsolation, RoleAndPositionAreTheTarget) {
  Server server;
  const Step step = server.read("postgres_node", {failure(k15, "57014", "canceled")});
  EXPECT_TRUE(std::holds_alternative<Error>(step));
  const Step empty = server.read("postgres_node", {rows(k15, {"in_recovery"}, {})});
  EXPECT_TRUE(std::holds_alternative<Error>(empty));
  EXPECT_FALSE(server.get().in_recovery);
}

TEST(PostgresIsolation, ConnectionLostFailsEachCollector) {
  for (const Collector* one : collectors()) {
    if (one->kind != &kPostgresKind || one->name == "postgres_files") continue;
    Server server({.heartbeat = {.table = "hb", .write = true}});
    server.primary();
    std::vector<Reply> replies;
    for (size_t i = 0; i < one->begin(*server.state).size(); ++i)
      replies.emplace_back(Error{Reason::kReset, "gone", ""});
    const Step step = server.read_replies(one->name, std::move(replies));
    EXPECT_TRUE(std::holds_alternative<Error>(step)) << one->name;
    EXPECT_TRUE(server.samples().empty()) << one->name;
  }
}

// ---- archiver

const std::vector<std::string> kArchiver = {
    "mode",          "has_command",      "archived_count", "failed_count", "last_archived_wal",
    "last_archived", "last_archive_age", "last_failed"};

std::string backlog(Server& server, const char* wal) {
  server.read("postgres_archiver",
              {rows(k15, kArchiver, {"on", "t", "3", "0", wal, "1795351000", "1000", kNull})});
  return server.sample("pg_archive_backlog_segments");
}

TEST(PostgresArchiver, BacklogAtTheEdgesOfSegments) {
  Server server;
  const char* const third = "000000010000000000000003";  // ends at 0x4000000
  for (const auto& [lsn, segments] : std::map<uint64_t, std::string>{
           {0x3800000, "0"},  // the server is still in what is archived: right after a restart
           {0x4000000, "0"},
           {0x4000001, "0"},
           {0x4FFFFFF, "0"},
           {0x5000000, "1"},  // complete, and not archived
           {0x5000001, "1"},
           {0x6000000, "2"},
           {0x104000000, "256"}}) {
    server.primary(k15, lsn);
    EXPECT_EQ(backlog(server, third), segments) << std::hex << lsn;
  }
  server.get().segment_bytes = 1U << 20U;
  server.primary(k15, 0x600000);
  EXPECT_EQ(backlog(server, third), "2") << "segments of 1 MiB: it ends at 0x400000";
}

TEST(PostgresArchiver, NoBacklogWhereItIsNotKnown) {
  Server server;
  server.primary();
  EXPECT_EQ(backlog(server, kNull), "absent") << "none archived yet";
  EXPECT_EQ(backlog(server, "00000002.history"), "absent");
  EXPECT_EQ(backlog(server, "000000010000000000000003.00000028.backup"), "absent");
  EXPECT_EQ(backlog(server, "000000020000000000000003"), "absent") << "another timeline";
  server.get().timeline.reset();
  EXPECT_EQ(backlog(server, "000000010000000000000003"), "absent");
}

TEST(PostgresArchiver, StandbyThatDoesNotArchiveIsSilent) {
  Server server;
  server.standby();
  server.read("postgres_archiver", {rows(k15, kArchiver,
                                         {"on", "t", "3", "1", "000000010000000000000003",
                                          "1795351000", "1000", "1795351500"})});
  const std::map<std::string, std::string> only = {{"pg_archive_configured", "0"}};
  EXPECT_EQ(server.samples(), only);
  EXPECT_FALSE(server.get().archives_as_standby);
  server.read("postgres_archiver", {rows(k15, kArchiver,
                                         {"always", "t", "3", "1", "000000010000000000000003",
                                          "1795351000", "1000", "1795351500"})});
  EXPECT_EQ(server.sample("pg_archive_configured"), "1");
  EXPECT_EQ(server.sample("pg_stat_archiver_failed_count"), "1");
  EXPECT_TRUE(server.get().archives_as_standby);
}

TEST(PostgresArchiver, ConfiguredNeedsModeAndCommand) {
  Server server;
  server.primary();
  for (const auto& [mode, command, wanted] : std::vector<std::array<const char*, 3>>{
           {"on", "t", "1"}, {"on", "f", "0"}, {"off", "t", "0"}, {"always", "t", "1"}}) {
    server.read("postgres_archiver",
                {rows(k15, kArchiver, {mode, command, "0", "0", kNull, kNull, kNull, kNull})});
    EXPECT_EQ(server.sample("pg_archive_configured"), wanted) << mode << command;
    EXPECT_EQ(server.sample("pg_stat_archiver_last_archive_age"), "absent");
  }
}

// ---- senders

std::vector<SqlAnswer> sender(const char* reply_time, const char* state = "streaming",
                              const char* replay = "50331648", const char* type = "physical") {
  return {unsupported(k15), rows(k15, kSender,
                                 {"standby1", "127.0.0.1", state, "77", "slot1", type, "50331648",
                                  "50331648", "50331648", replay, reply_time})};
}

TEST(PostgresSenders, ReplyAgeIsByChangeNotByTheStandbysClock) {
  const std::string age =
      "pg_stat_replication_reply_age_seconds{application_name=\"standby1\",client_addr="
      "\"127.0.0.1\",state=\"streaming\",slot_name=\"slot1\"}";
  Server server;
  server.primary();
  server.read("postgres_replication", sender("1000"), golden::moment(0));
  EXPECT_EQ(server.sample(age), "0");
  server.read("postgres_replication", sender("1000"), golden::moment(5));
  EXPECT_EQ(server.sample(age), "5") << "at least: it was there when we came";
  server.read("postgres_replication", sender("999"), golden::moment(10));
  EXPECT_EQ(server.sample(age), "0") << "backwards is a change as well";
  server.read("postgres_replication", sender("999"), golden::moment(12.5));
  EXPECT_EQ(server.sample(age), "2.5");
  server.read("postgres_replication", {unsupported(k15), rows(k15, kSender, {})},
              golden::moment(15));
  EXPECT_TRUE(server.get().replies.empty()) << "forgotten with its sender";
  server.read("postgres_replication", sender(kNull), golden::moment(20));
  EXPECT_EQ(server.sample(age), "absent") << "before 12";
}

TEST(PostgresSenders, StandbysAreThoseThatReplay) {
  Server server;
  server.primary();
  const auto standbys = [&](std::vector<SqlAnswer> answers) {
    const std::string seen = answers.back().rows.empty() ? "absent" : "1";
    server.read("postgres_replication", std::move(answers));
    EXPECT_EQ(server.sample("pg_replication_privileges_ok"), seen) << "no sender tells nothing";
    return server.sample("pg_stat_replication_standbys");
  };
  EXPECT_EQ(standbys(sender("1")), "1");
  EXPECT_EQ(standbys(sender("1", "catchup")), "0");
  EXPECT_EQ(standbys(sender("1", "streaming", kNull)), "0") << "pg_receivewal";
  EXPECT_EQ(standbys(sender("1", "streaming", "1", "logical")), "0");
  EXPECT_EQ(standbys({unsupported(k15), rows(k15, kSender, {})}), "0");
}

// Two pg_receivewal of one host are told apart by nobody; the standby beside them is what it was.
TEST(PostgresSenders, TwinsDoNotHideTheOthers) {
  Server server;
  server.primary();
  server.read("postgres_replication", {unsupported(k15), rows(k15, kSender,
                                                              {"standby1",
                                                               "127.0.0.1",
                                                               "streaming",
                                                               "77",
                                                               "slot1",
                                                               "physical",
                                                               "5",
                                                               "5",
                                                               "5",
                                                               "5",
                                                               "1000",
                                                               "pg_receivewal",
                                                               "127.0.0.1",
                                                               "streaming",
                                                               "78",
                                                               kNull,
                                                               kNull,
                                                               "5",
                                                               "5",
                                                               "5",
                                                               kNull,
                                                               "1000",
                                                               "pg_receivewal",
                                                               "127.0.0.1",
                                                               "streaming",
                                                               "79",
                                                               kNull,
                                                               kNull,
                                                               "5",
                                                               "5",
                                                               "5",
                                                               kNull,
                                                               "1000"})});
  EXPECT_EQ(server.output->series_dropped, 1U);
  EXPECT_EQ(server.sample("pg_stat_replication_standbys"), "1");
  EXPECT_EQ(server.sample("pg_replication_privileges_ok"), "1");
  EXPECT_GE(server.output->facts.size(), 1U);
}

}  // namespace
}  // namespace lagwatch
