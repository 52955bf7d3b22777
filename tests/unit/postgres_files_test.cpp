// SPDX-License-Identifier: Apache-2.0
// What is seen of a server's own directory: nothing where it may not be looked at.
#include <gtest/gtest.h>

#include "collector/postgres.h"
#include "golden.h"

namespace lagwatch {

extern const Collector postgres_files;

namespace {

Reply missing() { return Error{Reason::kRefused, "no such file", {}}; }
Reply denied() { return Error{Reason::kPermission, "permission denied", {}}; }
Reply text(std::string body) { return Answer{.body = std::move(body)}; }
Reply space(uint64_t avail) {
  Answer answer;
  answer.filesystem = Filesystem{.mountpoint = "/srv", .size_bytes = 1000, .avail_bytes = avail};
  return answer;
}

class PostgresFiles : public testing::Test {
 protected:
  void server(int version, std::string directory = "/srv/main",
              std::string host = "/run/postgresql") {
    PostgresOptions options{
        .dsn = "host=" + host, .host = host, .data_directory = std::move(directory)};
    state = make_postgres_state(std::move(options));
    postgres_state(*state).version = version;
  }
  std::vector<std::string> asked(const Asks& asks) {
    std::vector<std::string> paths;
    for (const Ask& ask : asks) {
      const auto* file = std::get_if<FileAsk>(&ask);
      paths.push_back(file != nullptr ? file->path : std::get<FilesystemAsk>(ask).path);
    }
    return paths;
  }
  Step read(std::vector<Reply> replies) {
    return postgres_files.read(*state, replies, golden::moment(), *output);
  }
  std::string samples() { return golden::samples(output, golden::moment(), kPostgresKind); }

  std::unique_ptr<State> state;
  std::shared_ptr<Output> output = std::make_shared<Output>("target=\"t\"");
};

TEST_F(PostgresFiles, OnlyOfServersOnThisHostWhoseDirectoryIsKnown) {
  server(150000, "");
  EXPECT_TRUE(postgres_files.begin(*state).empty());
  server(150000, "/srv/main", "db1.example");
  EXPECT_TRUE(postgres_files.begin(*state).empty());
  server(150000);
  EXPECT_EQ(asked(postgres_files.begin(*state)),
            (std::vector<std::string>{"/srv/main", "/srv/main/pg_wal", "/srv/main/standby.signal",
                                      "/srv/main/recovery.signal", "/srv/main/recovery.conf",
                                      "/srv/main/promote"}));
  server(90305);
  EXPECT_EQ(asked(postgres_files.begin(*state))[1], "/srv/main/pg_xlog");
}

TEST_F(PostgresFiles, StandbyIsMadeByASignalFileSince12) {
  server(150000);
  read({space(10), space(7), text(""), missing(), missing(), missing()});
  const std::string all = samples();
  EXPECT_NE(all.find("pg_recovery_file_exists{target=\"t\",file=\"standby.signal\"} 1\n"),
            all.npos);
  EXPECT_NE(all.find("pg_recovery_file_exists{target=\"t\",file=\"recovery.signal\"} 0\n"),
            all.npos);
  EXPECT_NE(all.find("pg_recovery_file_exists{target=\"t\",file=\"promote\"} 0\n"), all.npos);
  EXPECT_EQ(all.find("recovery.conf"), all.npos);
  EXPECT_NE(all.find("pg_wal_filesystem_avail_bytes{target=\"t\",mountpoint=\"/srv\"} 7\n"),
            all.npos);
  EXPECT_NE(all.find("pg_data_filesystem_avail_bytes{target=\"t\",mountpoint=\"/srv\"} 10\n"),
            all.npos);
}

TEST_F(PostgresFiles, WhatMayNotBeLookedAtIsAbsentAndNoFailure) {
  server(150000);
  const Step step = read({space(10), denied(), denied(), denied(), denied(), denied()});
  EXPECT_TRUE(std::holds_alternative<Done>(step));
  EXPECT_EQ(samples().find("pg_recovery_file_exists"), std::string::npos);
  EXPECT_EQ(samples().find("pg_wal_filesystem"), std::string::npos);
  EXPECT_TRUE(output->limits.empty());
}

TEST_F(PostgresFiles, TriggerFileIsTheOneThatRecoveryConfNamesLast) {
  server(90305);
  const Step step = read({space(10), space(7), missing(), missing(),
                          text("standby_mode = 'on'\n# trigger_file = '/no'\ntrigger_file = '/a'\n"
                               "primary_conninfo = 'password=secret'\n  trigger_file='/b'\n"),
                          missing()});
  const More* more = std::get_if<More>(&step);
  ASSERT_NE(more, nullptr);
  EXPECT_EQ(asked(more->asks), std::vector<std::string>{"/b"});
  read({missing()});
  EXPECT_NE(samples().find("pg_recovery_file_exists{target=\"t\",file=\"trigger\"} 0\n"),
            std::string::npos);
  EXPECT_NE(samples().find("file=\"recovery.conf\"} 1\n"), std::string::npos);
}

TEST_F(PostgresFiles, HostileRecoveryConfAsksForNothing) {
  for (const char* conf : {"trigger_file", "trigger_file = '", "trigger_file = 'relative'",
                           "trigger_file = ''", "trigger_file = \"/a\""}) {
    server(90305);
    output = std::make_shared<Output>("target=\"t\"");
    const Step step = read({space(1), space(1), missing(), missing(), text(conf), missing()});
    EXPECT_TRUE(std::holds_alternative<Done>(step)) << conf;
  }
}

}  // namespace
}  // namespace lagwatch
