// SPDX-License-Identifier: Apache-2.0
// The client against a real PostgreSQL 15 that stops, dies, is full, is starting up, asks for
// passwords.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>

#include "postgres_server.h"

namespace lagwatch {
namespace {

using namespace postgres_server;  // NOLINT: a test's own helpers

class PostgresFaultsTest : public WithServer<PostgresFaultsTest> {
 protected:
  static std::string reason(const AskedPtr& asked) {
    return asked->reply && !asked->reply->ok()
               ? std::string(reason_name(asked->reply->error().reason))
               : "answered: " + asked->text();
  }
  static void write_secret(const std::string& file, const std::string& secret) {
    std::ofstream(file) << secret << "\n";
    chmod(file.c_str(), 0600);
  }
  static int connections(Control& control) {
    return std::stoi(
        control.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lagwatch'"));
  }
};

TEST_F(PostgresFaultsTest, StoppedBackendIsHungAtTheDeadlineAndLeft) {
  Asking asking(server().dsn("mon"));
  const pid_t backend = std::stoi(asking.ask("SELECT pg_backend_pid()"));
  kill(backend, SIGSTOP);
  const Instant start = now().steady;
  const AskedPtr first = asking.send("SELECT 1", 300ms);
  const AskedPtr second = asking.send("SELECT 2", 300ms);
  asking.wait(first);
  asking.wait(second);
  EXPECT_EQ(reason(first), "hung");
  EXPECT_EQ(reason(second), "hung");
  EXPECT_GE(first->answered - start, 299ms);
  EXPECT_LT(first->answered - start, 2s) << "the deadline is kept";
  EXPECT_EQ(asking.ask("SELECT 'again'"), "again") << "over another connection";
  EXPECT_EQ(asking.connected, 2);
  kill(backend, SIGCONT);
  Control control = server().control();
  EXPECT_TRUE(eventually([&] { return connections(control) == 1; })) << "the old one ends";
}

TEST_F(PostgresFaultsTest, BackendThatStopsWhileItWorksIsHung) {
  Control control = server().control();
  Asking asking(server().dsn("mon"));
  const pid_t backend = std::stoi(asking.ask("SELECT pg_backend_pid()"));
  const AskedPtr asked = asking.send("SELECT pg_sleep(30)", 1500ms);
  ASSERT_TRUE(asking.turn_until([&] {
    return control.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") ==
           "1";
  }));
  kill(backend, SIGSTOP);
  asking.wait(asked);
  kill(backend, SIGCONT);
  EXPECT_EQ(reason(asked), "hung");
  EXPECT_EQ(asking.ask("SELECT 'again'"), "again");
}

TEST_F(PostgresFaultsTest, StoppedPostmasterIsHungAndOneThatGoesOnIsAskedAnew) {
  server().signal(SIGSTOP);
  Asking asking(server().dsn("mon"));
  const AskedPtr asked = asking.send("SELECT 1", 300ms);
  asking.wait(asked);
  EXPECT_EQ(reason(asked), "hung");
  const std::string words = asked->reply->ok() ? "" : asked->reply->error().message;
  EXPECT_EQ(words, "connected, and the server did not let us in in time");
  server().signal(SIGCONT);
  EXPECT_EQ(asking.ask("SELECT 'again'"), "again");
  EXPECT_EQ(asking.connected, 1) << "the one before never was";
}

TEST_F(PostgresFaultsTest, KilledServerIsResetThenRefusedThenThereAgain) {
  Asking asking(server().dsn("mon"));
  const AskedPtr asked = asking.send("SELECT pg_sleep(30)", 20s);
  Control control = server().control();
  ASSERT_TRUE(asking.turn_until([&] {
    return control.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") ==
           "1";
  }));
  server().stop(SIGKILL);
  asking.wait(asked);
  EXPECT_EQ(reason(asked), "reset");
  const AskedPtr next = asking.send("SELECT 1");
  asking.wait(next);
  EXPECT_EQ(reason(next), "refused");
  server().start();
  EXPECT_EQ(asking.ask("SELECT 'again'"), "again");
}

TEST_F(PostgresFaultsTest, ConnectionThatEndedWhileIdleIsMadeAnewWithoutAFailure) {
  Control control = server().control();
  Asking asking(server().dsn("mon"));
  const std::string backend = asking.ask("SELECT pg_backend_pid()");
  control.value("SELECT pg_terminate_backend(" + backend + ", 5000)");
  for (int i = 0; i < 3; ++i) asking.turn();  // the loop sees it go
  EXPECT_EQ(asking.ask("SELECT 'again'"), "again");
  EXPECT_EQ(asking.connected, 2);
}

TEST_F(PostgresFaultsTest, TerminatedWhileItWorksIsReset) {
  Control control = server().control();
  Asking asking(server().dsn("mon"));
  const std::string backend = asking.ask("SELECT pg_backend_pid()");
  const AskedPtr asked = asking.send("SELECT pg_sleep(30)", 20s);
  const AskedPtr behind = asking.send("SELECT 1", 20s);
  ASSERT_TRUE(asking.turn_until([&] {
    return control.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") ==
           "1";
  }));
  control.value("SELECT pg_terminate_backend(" + backend + ")");
  asking.wait(asked);
  asking.wait(behind);
  EXPECT_EQ(reason(asked), "reset");
  EXPECT_EQ(reason(behind), "reset");
  EXPECT_NE(asked->reply->error().message.find("57P01"), std::string::npos)
      << asked->reply->error().message;
}

TEST_F(PostgresFaultsTest, TenRestartsAndNeverTwoConnections) {
  Asking asking(server().dsn("mon"));
  for (int round = 0; round < 10; ++round) {
    const AskedPtr before = asking.send("SELECT 'before'", 5s);
    if (round % 2 == 0) asking.turn(1ms);  // under way in every other round
    server().stop(round % 3 == 0 ? SIGQUIT : SIGINT, [&] { asking.turn(1ms); });
    asking.wait(before);
    server().start();
    std::string said;
    ASSERT_TRUE(eventually([&] { return (said = asking.ask("SELECT 'up'", 5s)) == "up"; })) << said;
    Control control = server().control();
    EXPECT_EQ(connections(control), 1) << "round " << round;
  }
  EXPECT_LE(asking.connected, 21);
}

TEST_F(PostgresFaultsTest, FullServerSaysSo) {
  std::vector<Control> held;
  for (int i = 0; i < 20; ++i) {
    held.push_back(server().control("mon"));
    if (!held.back().ok()) break;
  }
  ASSERT_FALSE(held.back().ok());
  Asking asking(server().dsn("mon"));
  const AskedPtr asked = asking.send("SELECT 1");
  asking.wait(asked);
  EXPECT_EQ(reason(asked), "too_many_connections");
  EXPECT_NE(asked->reply->error().fix.find("pg_stat_activity"), std::string::npos);
  held.clear();
  EXPECT_TRUE(eventually([&] { return asking.ask("SELECT 'in'") == "in"; }));
}

TEST_F(PostgresFaultsTest, ServerThatLetsNobodyInYetIsStartingUp) {
  server().stop(SIGINT);
  server().write("data/standby.signal", "");
  server().start({"hot_standby=off", "restore_command=false"}, false);
  Asking asking(server().dsn("mon"));
  AskedPtr asked;
  const bool said = eventually([&] {
    asked = asking.send("SELECT 1");
    asking.wait(asked);
    return reason(asked) != "refused";
  });
  EXPECT_TRUE(said);
  EXPECT_EQ(reason(asked), "starting_up");
  server().stop(SIGQUIT);
  fs::remove(server().data() + "/standby.signal");
  server().start();
  EXPECT_EQ(asking.ask("SELECT 'up'"), "up");
}

TEST_F(PostgresFaultsTest, PasswordFileIsReadAtEachConnect) {
  Control control = server().control();
  control.value("CREATE ROLE secret LOGIN PASSWORD 'first-secret'");
  const std::string hba = std::string("local all all trust\n");
  server().write("data/pg_hba.conf", "local all secret scram-sha-256\n" + hba);
  control.value("SELECT pg_reload_conf()");
  const std::string file = (server().directory() / "password").string();
  Asking asking(server().dsn("secret"));
  asking.server->password_file = file;

  const AskedPtr missing = asking.send("SELECT 1");
  asking.wait(missing);
  EXPECT_EQ(reason(missing), "auth");
  EXPECT_NE(missing->reply->error().message.find(file), std::string::npos);

  write_secret(file, "wrong-secret");
  ASSERT_TRUE(eventually([&] {  // until the reload is done
    const AskedPtr wrong = asking.send("SELECT 1");
    asking.wait(wrong);
    if (!wrong->reply->ok()) {
      EXPECT_EQ(wrong->reply->error().message.find("wrong-secret"), std::string::npos);
    }
    return reason(wrong) == "auth";
  }));
  write_secret(file, "first-secret");
  EXPECT_EQ(asking.ask("SELECT current_user"), "secret");

  control.value("ALTER ROLE secret PASSWORD 'second-secret'");
  EXPECT_EQ(asking.ask("SELECT 'kept'"), "kept") << "the connection goes on";
  control.value(
      "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
      " WHERE usename = 'secret'");
  for (int i = 0; i < 3; ++i) asking.turn();
  const AskedPtr old = asking.send("SELECT 1");
  asking.wait(old);
  EXPECT_EQ(reason(old), "auth");
  write_secret(file, "second-secret");
  EXPECT_EQ(asking.ask("SELECT 'rotated'"), "rotated");
  server().write("data/pg_hba.conf", hba);
  control.value("SELECT pg_reload_conf()");
}

TEST_F(PostgresFaultsTest, RoleDatabaseAndSocketThatAreNotThere) {
  const auto failed = [](const std::string& dsn) {
    Asking asking(dsn);
    const AskedPtr asked = asking.send("SELECT 1");
    asking.wait(asked);
    return reason(asked);
  };
  EXPECT_EQ(failed(server().dsn("nosuch")), "auth");
  EXPECT_EQ(failed(server().dsn("mon") + " dbname=nosuch"), "protocol");
  EXPECT_EQ(failed("host=/nonexistent user=mon"), "refused");
  EXPECT_EQ(failed(server().dsn("mon") + " options='-c nosuch=1'"), "unsupported");
}

// ---- before 9.6 the identifier comes over a replication connection of its own

TEST(PostgresOldServer, IdentifierOverReplicationAndNeverTwoConnections) {
  if (!Server::available("9.3")) GTEST_SKIP() << "no PostgreSQL 9.3 (the lab fetches one)";
  Server old("9.3");
  old.write("data/pg_hba.conf", "local replication mon trust\nlocal all all trust\n");
  old.start({"wal_level=hot_standby"});
  Control control = old.control();
  control.value("CREATE ROLE mon LOGIN REPLICATION; CREATE ROLE plain LOGIN");
  for (const std::string user : {"mon", "plain"}) {
    Asking asking(old.dsn(user));
    for (int i = 0; i < 3; ++i) {
      const AskedPtr asked = asking.send(
          "SELECT count(*) FROM pg_stat_activity"
          " WHERE usename = '" +
          user + "'");
      asking.wait(asked);
      ASSERT_TRUE(asked->ok()) << asked->text();
      EXPECT_EQ(asked->text(), "1") << user;
      const SqlAnswer& answer = *(*asked->reply)->sql;
      EXPECT_EQ(answer.server_version / 100, 903);
      EXPECT_EQ(answer.system_identifier.size() > 15, user == "mon") << answer.system_identifier;
      EXPECT_EQ(answer.identify_problem.empty(), user == "mon") << answer.identify_problem;
    }
    EXPECT_LE(asking.connected, 3);
    Asking without(old.dsn(user));
    without.server->identify = false;
    EXPECT_EQ(without.ask("SELECT 1"), "1");
    EXPECT_EQ(without.connected, 1);
  }
}

}  // namespace
}  // namespace lagwatch
