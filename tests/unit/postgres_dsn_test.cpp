// SPDX-License-Identifier: Apache-2.0
#include "client/postgres_dsn.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <cstring>
#include <map>
#include <string>

namespace lagwatch {
namespace {

using std::chrono::seconds;

TEST(DsnProblem, NoneOfWhatCanBeUsed) {
  for (const char* dsn : {"", "host=/run/postgresql user=lagwatch", "host=db1 port=5433 dbname=app",
                          "hostaddr=192.0.2.1", "host='/a dir' application_name='it\\'s'",
                          "postgresql://lagwatch@db1:5433/postgres?sslmode=verify-full",
                          "passfile=/etc/x/pgpass", "options='-c work_mem=1MB'", "password=''",
                          "sslmode=disable", "sslmode=verify-ca sslrootcert=/x"}) {
    EXPECT_EQ(dsn_problem(dsn), std::nullopt) << dsn;
  }
}

TEST(DsnProblem, EachMistakeHasItsWords) {
  const std::string unread =
      "is not a connection string of libpq such as host=/run/postgresql user=lagwatch";
  const std::string several = "must name one server: each is a target of its own";
  const std::string password = "must not hold a password: name a file by password_file";
  const std::map<std::string, std::string> cases = {
      {"host", unread},
      {"nosuch=1", unread},
      {"host='open", unread},
      {"host=a user", unread},
      {"postgresql://db1:5432?nosuch=1", unread},
      {"postgresql://[::1", unread},
      {"password=hunter2", password},
      {"host=db1 password='a b'", password},
      {"postgresql://u:hunter2@db1/", password},
      {"postgresql://db1/?password=hunter2", password},
      {"sslpassword=hunter2", "must not hold a secret (sslpassword): it would be readable here"},
      {"sslmode=on",
       "must have an sslmode of disable, allow, prefer, require, verify-ca or verify-full"},
      {"service=prod", "must not name a service: write its settings here"},
      {"replication=database", "must not set replication"},
      {"host=a,b", several},
      {"host=a port=1,2", several},
      {"hostaddr=192.0.2.1,192.0.2.2", several},
      {"postgresql://a,b/", several},
  };
  for (const auto& [dsn, words] : cases) EXPECT_EQ(dsn_problem(dsn), words) << dsn;
}

TEST(DsnProblem, NeverShowsWhatMayBeAPassword) {
  for (const char* dsn :
       {"password=hunter2", "passwort=hunter2", "hunter2", "host=a password='hunter2",
        "postgresql://u:hunter2@db1:x/", "postgresql://u:hunter2@[db1", "host=a hunter2"}) {
    const std::string words = dsn_problem(dsn).value_or("");
    EXPECT_EQ(words.find("hunter2"), std::string::npos) << dsn << ": " << words;
  }
}

TEST(DsnValue, IsWhatWasGiven) {
  EXPECT_EQ(dsn_value("host=db1 port=5433", "port"), "5433");
  EXPECT_EQ(dsn_value("host=db1", "port"), "");
  EXPECT_EQ(dsn_value("postgresql://lagwatch@db1:5433/app", "dbname"), "app");
  EXPECT_EQ(dsn_value("host='/a dir'", "host"), "/a dir");
  EXPECT_EQ(dsn_value("no such thing", "host"), "");
}

TEST(DsnHostToResolve, OnlyNames) {
  EXPECT_EQ(dsn_host_to_resolve("host=db1"), "db1");
  EXPECT_EQ(dsn_host_to_resolve("host=localhost port=1"), "localhost");
  EXPECT_EQ(dsn_host_to_resolve("postgresql://db1/"), "db1");
  for (const char* dsn : {"", "host=/run/postgresql", "host=@abstract", "host=192.0.2.1",
                          "host=2001:db8::1", "host=db1 hostaddr=192.0.2.1", "broken"}) {
    EXPECT_EQ(dsn_host_to_resolve(dsn), "") << dsn;
  }
}

SocketAddress address(uint8_t last) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_addr.s_addr = htonl(0xC0000200U + last);
  SocketAddress out;
  std::memcpy(&out.storage, &in, sizeof in);
  out.length = sizeof in;
  return out;
}

DsnParameters parameters(const std::string& dsn, const SocketAddresses& addresses = {},
                         bool read_only = true, bool replication = false,
                         const std::string& password = "", Duration timeout = seconds(3)) {
  PostgresServer server;
  server.dsn = dsn;
  server.read_only = read_only;
  return connect_parameters(server, addresses, password, timeout, replication);
}

std::string value(const DsnParameters& all, const std::string& keyword) {
  const std::string* found = all.find(keyword);
  return found == nullptr ? "(none)" : *found;
}

TEST(ConnectParameters, WhatIsAdded) {
  const DsnParameters all = parameters("host=/run/postgresql user=mon");
  EXPECT_EQ(value(all, "host"), "/run/postgresql");
  EXPECT_EQ(value(all, "user"), "mon");
  EXPECT_EQ(value(all, "application_name"), "lagwatch");
  EXPECT_EQ(value(all, "dbname"), "postgres");
  EXPECT_EQ(value(all, "gssencmode"), "disable");
  EXPECT_EQ(value(all, "password"), "(none)");
  EXPECT_EQ(value(all, "hostaddr"), "(none)");
  EXPECT_EQ(value(all, "options"),
            "-c statement_timeout=2000 -c lock_timeout=500 -c default_transaction_read_only=on");
}

TEST(ConnectParameters, WhatIsGivenStays) {
  const DsnParameters all =
      parameters("host=db1 application_name=mine dbname=app options='-c work_mem=1MB'");
  EXPECT_EQ(value(all, "application_name"), "mine");
  EXPECT_EQ(value(all, "dbname"), "app");
  EXPECT_TRUE(value(all, "options").ends_with(" -c work_mem=1MB")) << value(all, "options");
  EXPECT_TRUE(value(all, "options").starts_with("-c statement_timeout="));
}

TEST(ConnectParameters, TimeoutsFollowTheExchange) {
  const auto options = [](Duration timeout) {
    return value(parameters("host=db1", {}, true, false, "", timeout), "options");
  };
  EXPECT_NE(options(seconds(30)).find("statement_timeout=20000 -c lock_timeout=500 "),
            std::string::npos);
  EXPECT_NE(
      options(std::chrono::milliseconds(300)).find("statement_timeout=200 -c lock_timeout=100"),
      std::string::npos);
  // 0 would be none at all.
  EXPECT_EQ(options(std::chrono::nanoseconds(3)).find("=0"), std::string::npos);
}

TEST(ConnectParameters, WritersDoNotWaitForStandbys) {
  const std::string options = value(parameters("host=db1", {}, false), "options");
  EXPECT_NE(options.find("-c synchronous_commit=local"), std::string::npos);
  EXPECT_EQ(options.find("read_only"), std::string::npos);
}

TEST(ConnectParameters, AddressesOfTheNameAreTriedInTurn) {
  const DsnParameters all = parameters("host=db1 port=5433", {address(1), address(2)});
  EXPECT_EQ(value(all, "host"), "db1,db1") << "the name is what a certificate is checked against";
  EXPECT_EQ(value(all, "hostaddr"), "192.0.2.1,192.0.2.2");
  EXPECT_EQ(value(all, "port"), "5433");
  const DsnParameters many =
      parameters("host=db1", {address(1), address(2), address(3), address(4), address(5)});
  EXPECT_EQ(value(many, "hostaddr"), "192.0.2.1,192.0.2.2,192.0.2.3,192.0.2.4");
  EXPECT_EQ(value(many, "host"), "db1,db1,db1,db1");
}

TEST(ConnectParameters, ReplicationHasNoOptionsOfSessions) {
  const DsnParameters all = parameters("host=db1 user=mon", {}, true, true, "secret");
  EXPECT_EQ(value(all, "replication"), "true");
  EXPECT_EQ(value(all, "options"), "(none)");
  EXPECT_EQ(value(all, "password"), "secret");
}

TEST(ConnectParameters, ListsAreNullTerminatedAndOfOneLength) {
  const DsnParameters all = parameters("host=db1", {}, true, false, "secret");
  const auto keywords = all.keywords();
  const auto values = all.values();
  ASSERT_EQ(keywords.size(), values.size());
  EXPECT_EQ(keywords.back(), nullptr);
  EXPECT_EQ(values.back(), nullptr);
  std::map<std::string, int> times;
  for (size_t i = 0; i + 1 < keywords.size(); ++i) ++times[keywords[i]];
  for (const auto& [keyword, count] : times) EXPECT_EQ(count, 1) << keyword;
}

}  // namespace
}  // namespace lagwatch
