// SPDX-License-Identifier: Apache-2.0
// The client against a real PostgreSQL 15: what is asked, how, and what comes of each statement.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "client/postgres.h"
#include "postgres_relay.h"
#include "postgres_server.h"

namespace lagwatch {
namespace {

using namespace postgres_server;  // NOLINT: a test's own helpers

class PostgresClientTest : public WithServer<PostgresClientTest> {
 protected:
  std::string connections() {
    return server().control().value(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lagwatch'");
  }
};

TEST_F(PostgresClientTest, AsksMadeTogetherAreOneRoundTrip) {
  const fs::path directory = server().directory() / "relay";
  fs::create_directory(directory);
  Relay relay(directory.string(), (server().directory() / ".s.PGSQL.5432").string());
  Asking asking("host=" + directory.string() + " user=mon sslmode=disable");
  ASSERT_EQ(asking.ask("SELECT 'first'"), "first");
  // Prepared or not: no answer comes before all has been said.
  for (const std::string word : {"new", "known"}) {
    SCOPED_TRACE(word);
    relay.hold_until_syncs(6);
    std::vector<AskedPtr> asked;
    for (int i = 0; i < 6; ++i) asked.push_back(asking.send("SELECT " + std::to_string(i)));
    for (int i = 0; i < 6; ++i) {
      asking.wait(asked[i]);
      EXPECT_EQ(asked[i]->text(), std::to_string(i));
    }
  }
  asking.client.reset();
}

TEST_F(PostgresClientTest, NullEmptyAndBytesStayApart) {
  Asking asking(server().dsn("mon"));
  const AskedPtr asked =
      asking.send("SELECT NULL AS a, '' AS b, E'x\\ty\\n\\u00e9' AS c, 1.50 AS d, true AS e");
  asking.wait(asked);
  ASSERT_TRUE(asked->ok()) << asked->text();
  const SqlAnswer& answer = *(*asked->reply)->sql;
  EXPECT_TRUE(answer.rows.is_null(0, "a"));
  EXPECT_FALSE(answer.rows.is_null(0, "b"));
  EXPECT_EQ(answer.rows.text(0, "c"), "x\ty\n\u00e9");
  EXPECT_EQ(answer.rows.text(0, "d"), "1.50");
  EXPECT_EQ(answer.rows.number(0, "e"), 1);
  EXPECT_GE(answer.server_version, 150000);
  EXPECT_TRUE(answer.system_identifier.empty()) << "asked in SQL since 9.6";
}

constexpr const char* kPrepared = "SELECT count(*) FROM pg_prepared_statements";

TEST_F(PostgresClientTest, EachTextIsPreparedOnce) {
  Asking asking(server().dsn("mon"));
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(asking.ask("SELECT 1"), "1");
    EXPECT_EQ(asking.ask("SELECT 2"), "2");
  }
  EXPECT_EQ(asking.ask(kPrepared), "3");
  EXPECT_EQ(asking.connected, 1);
}

// Refused when it is executed, not when it is prepared: it must not be prepared again and again.
TEST_F(PostgresClientTest, RefusedStatementsDoNotPileUpInTheServer) {
  Asking asking(server().dsn("mon"));
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(asking.ask("SELECT count(*) FROM pg_ls_waldir()"), "(42501)");
    EXPECT_EQ(asking.ask("SELECT count(*) FROM pg_authid"), "(42501)");
    EXPECT_EQ(asking.ask("SELECT nosuch"), "(42703)");
  }
  EXPECT_LE(std::stoi(asking.ask(kPrepared)), 3);
  server().control().value("GRANT SELECT ON pg_authid TO mon");
  EXPECT_NE(asking.ask("SELECT count(*) FROM pg_authid"), "(42501)") << "the grant works at once";
  server().control().value("REVOKE SELECT ON pg_authid FROM mon");
  EXPECT_EQ(asking.connected, 1);
}

// Both are told what is wrong, not that the first was not prepared.
TEST_F(PostgresClientTest, OneTextAskedTwiceAtOnce) {
  Asking asking(server().dsn("mon"));
  const AskedPtr good[] = {asking.send("SELECT 'a'"), asking.send("SELECT 'a'")};
  const AskedPtr bad[] = {asking.send("SELECT nosuch"), asking.send("SELECT nosuch")};
  for (int i = 0; i < 2; ++i) {
    asking.wait(good[i]);
    asking.wait(bad[i]);
    EXPECT_EQ(good[i]->text(), "a");
  }
  EXPECT_EQ(bad[0]->text(), "(42703)");
  EXPECT_NE(bad[1]->text(), "(no row)");
  EXPECT_EQ(asking.ask("SELECT nosuch"), "(42703)") << "and so the next time";
}

TEST_F(PostgresClientTest, OneErrorIsNoOthers) {
  Asking asking(server().dsn("mon"));
  for (int round = 0; round < 3; ++round) {
    std::vector<AskedPtr> asked;
    for (const char* text : {"SELECT 'a'", "SELEC", "SELECT 1/0", "SELECT nosuch", "SELECT 'b'",
                             "UPDATE hb SET ts = now()", "SELECT 'c'"})
      asked.push_back(asking.send(text));
    std::string all;
    for (const AskedPtr& one : asked) {
      asking.wait(one);
      all += one->text() + " ";
    }
    EXPECT_EQ(all, "a (42601) (22012) (42703) b (25006) c ") << "25006: read only";
  }
  EXPECT_EQ(asking.connected, 1);
}

TEST_F(PostgresClientTest, TableThatIsMadeOrChangedLaterIsRead) {
  Control control = server().control();
  Asking asking(server().dsn("mon"));
  EXPECT_EQ(asking.ask("SELECT * FROM later"), "(42P01)");
  control.value(
      "CREATE TABLE later (a int); INSERT INTO later VALUES (7); GRANT SELECT ON later"
      " TO mon");
  EXPECT_EQ(asking.ask("SELECT * FROM later"), "7");
  control.value("ALTER TABLE later ALTER a TYPE text");
  EXPECT_EQ(asking.ask("SELECT * FROM later"), "(0A000)") << "the plan of before does not fit";
  EXPECT_EQ(asking.ask("SELECT * FROM later"), "7");
  control.value("DROP TABLE later");
  EXPECT_EQ(asking.connected, 1);
}

TEST_F(PostgresClientTest, StatementTimeoutEndsOneStatement) {
  Asking asking(server().dsn("mon"));
  const AskedPtr slow = asking.send("SELECT pg_sleep(20)", 1500ms);
  const AskedPtr after = asking.send("SELECT 'after'", 1500ms);
  asking.wait(slow);
  asking.wait(after);
  EXPECT_EQ(slow->text(), "(57014)");
  EXPECT_EQ(after->text(), "after");
  EXPECT_EQ(asking.connected, 1);
}

TEST_F(PostgresClientTest, LockTimeoutEndsAWaitForALock) {
  Control holder = server().control();
  holder.value("BEGIN; LOCK TABLE hb IN ACCESS EXCLUSIVE MODE");
  Asking asking(server().dsn("mon"));
  EXPECT_EQ(asking.ask("SELECT ts FROM hb", 6s), "(55P03)");
  holder.value("ROLLBACK");
  EXPECT_EQ(asking.ask("SELECT count(*) FROM hb"), "1");
}

TEST_F(PostgresClientTest, CancelledAsksKeepTheConnectionInStep) {
  Asking asking(server().dsn("mon"));
  ASSERT_EQ(asking.ask("SELECT 'warm'"), "warm");
  const AskedPtr gone = asking.send("SELECT 'gone' FROM pg_sleep(0.05)");
  const AskId id = asking.id;
  for (int i = 0; i < 3; ++i) asking.turn(1ms);  // it is on its way
  asking.client->cancel(id);
  EXPECT_EQ(asking.ask("SELECT 'next'"), "next");
  EXPECT_FALSE(gone->reply);
  const AskedPtr never = asking.send("SELECT 'never'");  // cancelled before it is sent
  asking.client->cancel(asking.id);
  asking.client->cancel(4711);
  EXPECT_EQ(asking.ask("SELECT 'last'"), "last");
  EXPECT_FALSE(never->reply);
  EXPECT_EQ(asking.connected, 1);
}

TEST_F(PostgresClientTest, CancelWhileConnectingIsSilent) {
  Asking asking(server().dsn("mon"));
  const AskedPtr gone = asking.send("SELECT 'gone'");
  asking.turn(1ms);
  asking.client->cancel(asking.id);
  EXPECT_EQ(asking.ask("SELECT 'next'"), "next");
  EXPECT_FALSE(gone->reply);
}

TEST_F(PostgresClientTest, OneAnswerThatIsTooLarge) {
  Asking asking(server().dsn("mon"));
  const AskedPtr large =
      asking.send("SELECT repeat('x', 1000) FROM generate_series(1, 1000)", 10s, 10000);
  const AskedPtr small = asking.send("SELECT 'small'", 10s, 10000);
  asking.wait(large);
  asking.wait(small);
  EXPECT_EQ(large->text(), "(too_large)");
  EXPECT_EQ(small->text(), "small");
  EXPECT_EQ(asking.connected, 1);
}

TEST_F(PostgresClientTest, MegabytesComeThrough) {
  Asking asking(server().dsn("mon"));
  const AskedPtr asked = asking.send("SELECT repeat('x', 1000) FROM generate_series(1, 4000)", 20s);
  asking.wait(asked);
  ASSERT_TRUE(asked->ok()) << asked->text();
  EXPECT_EQ((*asked->reply)->sql->rows.size(), 4000U);
}

TEST_F(PostgresClientTest, WritersCommitLocallyAndCountRows) {
  Control control = server().control();
  control.value("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
  control.value("SELECT pg_reload_conf()");
  Asking asking(server().dsn("mon"));
  asking.server->read_only = false;
  EXPECT_EQ(asking.ask("SHOW synchronous_commit"), "local");
  const AskedPtr write = asking.send("UPDATE hb SET ts = now()");
  asking.wait(write);
  ASSERT_TRUE(write->ok()) << write->text() << ": waits for a standby that is not there";
  EXPECT_EQ((*write->reply)->sql->affected, 1U);
  control.value("ALTER SYSTEM RESET synchronous_standby_names");
  control.value("SELECT pg_reload_conf()");
  Asking reader(server().dsn("mon"));
  EXPECT_EQ(reader.ask("SHOW default_transaction_read_only"), "on");
  EXPECT_EQ(reader.ask("SHOW application_name"), "lagwatch");
}

TEST_F(PostgresClientTest, NoTextForTheVersionIsUnsupported) {
  Asking asking(server().dsn("mon"));
  const Sql future[] = {{990000, "SELECT 1"}};
  const Sql ended[] = {{90300, "SELECT 1"}, {100000, ""}};
  for (const auto& texts : {std::span<const Sql>(future), std::span<const Sql>(ended)}) {
    std::optional<Reply> reply;
    asking.client->ask(
        ++asking.id, 1, SqlAsk{.server = asking.server, .texts = texts}, now().steady + 10s, [] {},
        [&](Reply r) { reply.emplace(std::move(r)); });
    EXPECT_FALSE(reply);
    ASSERT_TRUE(asking.turn_until([&] { return reply.has_value(); }));
    ASSERT_TRUE(reply->ok());
    EXPECT_FALSE((*reply)->sql->supported);
    EXPECT_GE((*reply)->sql->server_version, 150000);
  }
}

TEST_F(PostgresClientTest, ConnectionEndsWithItsClient) {
  {
    Asking asking(server().dsn("mon"));
    EXPECT_EQ(asking.ask("SELECT 1"), "1");
    EXPECT_EQ(connections(), "1");
    asking.send("SELECT 2");
  }
  EXPECT_TRUE(eventually([&] { return connections() == "0"; }));
}

}  // namespace
}  // namespace lagwatch
