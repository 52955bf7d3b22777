// SPDX-License-Identifier: Apache-2.0
// PostgreSQL's configuration and command line as it reads them, and discovery among hostile files.
#include <gtest/gtest.h>

#include "discover/postgres_conf.h"
#include "discover/postgres_processes.h"
#include "discover/postgres_words.h"
#include "discover_host.h"

namespace lagwatch {
namespace {

using namespace made_up;

const std::string kConf = "/etc/postgresql/15/main/postgresql.conf";

std::string line(const std::string& text) {
  const auto found = parse_postgres_line(text);
  return found ? found->name + "|" + found->value : "none";
}

TEST(PostgresConf, ReadsALineAsPostgresDoes) {
  EXPECT_EQ(line("port = 5432"), "port|5432");
  EXPECT_EQ(line("\tPort 5433\r"), "port|5433");
  EXPECT_EQ(line("port='5434'# note"), "port|5434");
  EXPECT_EQ(line("a = 'it''s \\'x\\' \\\\ # no comment'  # one"), "a|it's 'x' \\ # no comment");
  EXPECT_EQ(line("a = '\\101\\tb\\q'"), "a|A\tbq");
  EXPECT_EQ(line("my.setting = on"), "my.setting|on");
  EXPECT_EQ(line("a = -1.5e3"), "a|-1.5e3");
  EXPECT_EQ(line("shared_buffers = 128MB"), "shared_buffers|128MB");
  EXPECT_EQ(line("a = ''"), "a|");
  EXPECT_EQ(line("include_dir 'conf.d'"), "include_dir|conf.d");
}

TEST(PostgresConf, WhatPostgresRefusesIsSkipped) {
  for (const char* text :
       {"", "   ", "# port = 1", "port", "port =", "port = 'open", "port = 'a\\", "port = 1 2",
        "= 3", "1port = 3", "port = /x", "port == 3", "\x01\x02", "port = 'x'y"}) {
    EXPECT_EQ(line(text), "none") << text;
  }
  EXPECT_EQ(line("a = '" + std::string(5000, 'x') + "'"), "none");
}

TEST(PostgresConf, ListsAreCutAtCommas) {
  EXPECT_EQ(split_postgres_list("/a , \"/b, c\",,/d"), (Lines{"/a", "/b, c", "/d"}));
  EXPECT_EQ(split_postgres_list("  "), Lines{});
  EXPECT_EQ(split_postgres_list(std::string(10000, ',') + "x"), Lines{"x"});
}

TEST(PostgresConf, AFileThatIncludesItselfEnds) {
  Host host;
  write_all(host.at("/pg/a.conf"), "port = 1\ninclude 'a.conf'\ninclude 'a.conf'\nport = 2\n");
  EXPECT_EQ(read_postgres_conf(host.root(), "/pg/a.conf").settings.at("port"), "2");
  write_all(host.at("/pg/d/a.conf"), "include_dir '/pg/d'\nport = 3\n");
  EXPECT_EQ(read_postgres_conf(host.root(), "/pg/d/a.conf").settings.at("port"), "3");
}

TEST(PostgresConf, WhatCannotBeReadIsSaidOnceEach) {
  Host host;
  write_all(host.at("/pg/a.conf"),
            "include 'gone'\ninclude_if_exists 'gone'\ninclude_dir 'none'\n");
  const auto unreadable = read_postgres_conf(host.root(), "/pg/a.conf").unreadable;
  ASSERT_EQ(unreadable.size(), 2U);
  EXPECT_EQ(unreadable[0].path, "/pg/gone");
  EXPECT_EQ(unreadable[1].path, "/pg/none");
  host.add("fifo /pg/fifo", {});
  EXPECT_EQ(read_postgres_conf(host.root(), "/pg/fifo").unreadable.size(), 1U);
}

std::string postmaster(const std::string& arguments) {
  Host host;
  host.add("process 5 1 postgres " + arguments, {});
  host.add("process 6 5 postgres " + arguments, {});
  std::string out;
  for (const Postmaster& one : find_postmasters(host.proc()).postmasters) {
    out += std::to_string(one.pid) + " " + one.version + " " + one.data_directory + " " +
           one.config_path;
    for (const auto& [name, value] : one.settings) out += " " + name + "=" + value;
  }
  return out;
}

TEST(PostgresProcesses, ReadsTheCommandLineAsPostgresDoes) {
  EXPECT_EQ(postmaster("/usr/lib/postgresql/15/bin/postgres -D /d"), "5 15 /d /d/postgresql.conf");
  EXPECT_EQ(postmaster("/usr/pgsql-9.6/bin/postmaster -D/d -ip5433 -k /x -h 10.0.0.1"),
            "5 9.6 /d /d/postgresql.conf listen_addresses=10.0.0.1 port=5433 "
            "unix_socket_directories=/x");
  EXPECT_EQ(postmaster("/usr/lib/postgresql16/bin/postgres -c config_file=/c --Port=1 -cfoo=b"),
            "5 16  /c config_file=/c foo=b port=1");
  EXPECT_EQ(postmaster("postgres --data-directory=/d --config-file=/c"),
            "5  /d /c config_file=/c data_directory=/d");
  EXPECT_EQ(postmaster("postgres"), "5   ");
  for (const char* other :
       {"postgres: checkpointer", "postgres --single -D /d x", "postgres -V", "postgres --version",
        "postgres -D /d -C port", "postgres -D", "postgres x", "postgres -c", "postgres -c port"}) {
    EXPECT_EQ(postmaster(other), "") << other;
  }
}

TEST(PostgresProcesses, OddEntriesOfProcAreSkipped) {
  Host host;
  host.add("process 5 1 postgres postgres -D /d", {});
  for (const std::string pid : {"10", "11", "12"})
    write_all(host.proc() + "/" + pid + "/comm", "postgres\n");
  fs::create_directories(host.proc() + "/13");
  ASSERT_EQ(mkfifo((host.proc() + "/11/cmdline").c_str(), 0644), 0);
  fs::create_directories(host.proc() + "/12/cmdline");
  write_all(host.proc() + "/14/comm", std::string(1000, 'x'));
  write_all(host.proc() + "/15/comm", "postgres\n");
  write_all(host.proc() + "/15/cmdline", std::string(1U << 18U, '\0'));
  write_all(host.proc() + "/16/comm", "postgres\n");
  write_all(host.proc() + "/16/cmdline", std::string(70000, '\0') + "\xff");
  const auto found = find_postmasters(host.proc()).postmasters;
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].pid, 5);
}

TEST(PostgresProcesses, SocketsThatAreListenedOn) {
  Host host;
  EXPECT_FALSE(listening_postgres_sockets(host.proc()));
  EXPECT_FALSE(tcp_port_listens(host.proc(), 5432));
  write_all(host.proc() + "/net/unix",
            "Num       RefCount Protocol Flags    Type St Inode Path\n"
            "0000000000000000: 00000002 00000000 00010000 0001 01 1 /tmp/.s.PGSQL.5432\n"
            "0000000000000000: 00000003 00000000 00000000 0001 03 2 /tmp/.s.PGSQL.5433\n"
            "0000000000000000: 00000002 00000000 00010000 0001 01 3 @/a b/.s.PGSQL.5434\n"
            "0000000000000000: 00000002 00000000 00010000 0001 01 4 /tmp/.s.PGSQL.70000\n"
            "0000000000000000: 00000002 00000000 00010000 0001 01 5 ./.s.PGSQL.5435\n"
            "/tmp/.s.PGSQL.5436\n\xff\xfe\n"
            "0000000000000000: 00000002 00000000 00010000 0001 01 6");
  EXPECT_EQ(listening_postgres_sockets(host.proc()).value(),
            (std::set<std::string>{"/tmp/.s.PGSQL.5432", "@/a b/.s.PGSQL.5434"}));
  host.add("tcp 5432", {});
  EXPECT_TRUE(tcp_port_listens(host.proc(), 5432).value());
  EXPECT_FALSE(tcp_port_listens(host.proc(), 5433).value());
}

TEST(PostgresWords, DsnIsQuotedAsLibpqWants) {
  EXPECT_EQ(postgres_dsn("/run/postgresql", 5432),
            "host=/run/postgresql port=5432 user=lagwatch dbname=postgres");
  EXPECT_EQ(postgres_dsn("/a b\\c'd", 1),
            "host='/a b\\\\c\\'d' port=1 user=lagwatch dbname=postgres");
}

TEST(PostgresWords, LoopbackIsPreferred) {
  EXPECT_EQ(tcp_host("*"), "127.0.0.1");
  EXPECT_EQ(tcp_host("10.0.0.1, localhost"), "127.0.0.1");
  EXPECT_EQ(tcp_host("127.0.0.2"), "127.0.0.2");
  EXPECT_EQ(tcp_host("::"), "::1");
  EXPECT_EQ(tcp_host("10.0.0.1,10.0.0.2"), "10.0.0.1");
  EXPECT_EQ(tcp_host("bad host;"), std::nullopt);
  EXPECT_EQ(tcp_host(""), std::nullopt);
}

TEST(PostgresWords, RolesHaveTheFewestRightsOfTheirVersion) {
  const PostgresWay way{"/tmp", 5432, "postgres"};
  const auto has = [&](const std::string& version, const char* text) {
    const std::string said =
        postgres_role(version, way) + postgres_role_remark(version).value_or("");
    return said.find(text) != std::string::npos;
  };
  EXPECT_FALSE(has("9.6", "GRANT"));
  EXPECT_TRUE(has("9.6", "SECURITY DEFINER"));
  EXPECT_TRUE(has("10", "pg_ls_waldir"));
  EXPECT_FALSE(has("11", "pg_ls_archive_statusdir"));
  EXPECT_TRUE(has("12", "pg_ls_archive_statusdir"));
  EXPECT_FALSE(has("18", "SECURITY DEFINER"));
  EXPECT_TRUE(has("", "pg_ls_archive_statusdir"));
  EXPECT_TRUE(has("", "SECURITY DEFINER"));
}

TEST(DiscoverPostgres, HostileConfigurationsAreSurvived) {
  std::string binary;
  for (int i = 0; i < 100000; ++i) binary += static_cast<char>(i * 7 + i / 256);
  const std::string texts[] = {
      binary,
      std::string(1U << 20U, 'x'),
      std::string(1U << 20U, '\''),
      "port = " + std::string(1U << 20U, '9') + "\n",
      "port = 99999999\nunix_socket_directories = '/run/postgresql'\n",
      "port = -1\n",
      "unix_socket_directories = '/tmp/\\001\\n\"x'\nlisten_addresses = '\n",
      "unix_socket_directories = '" + std::string(3000, '/') + "'\n",
      "unix_socket_directories = '/a,/b,@c,d,\"'\ndata_directory = '../..'\n",
      "external_pid_file = '/proc/self/mem'\ndata_directory = '/dev'\n",
      std::string((4U << 20U) + 1, '\n'),
  };
  for (const std::string& text : texts) {
    Host host;
    host.add("unix /run/postgresql/.s.PGSQL.5432", {});
    write_all(host.at(kConf), text);
    write_all(host.at("/etc/postgresql/15/main/conf.d/x"), text);
    const Discovery found = host.discover();
    EXPECT_LE(found.postgres.size(), 1U);
    EXPECT_LT(to_yaml(found).size(), 10000U);
  }
}

TEST(DiscoverPostgres, ClustersAreBounded) {
  Host host;
  for (int i = 1; i <= 200; ++i) {
    const std::string path = "/tmp/.s.PGSQL." + std::to_string(i);
    host.add("socket " + path + " 777 root", {});
    host.add("unix " + path, {});
    write_all(host.at("/etc/postgresql/15/c" + std::to_string(i) + "/postgresql.conf"), "");
  }
  const Discovery found = host.discover();
  EXPECT_LE(found.postgres.size() + found.notes.size(), 64U);
}

TEST(DiscoverPostgres, NamesHoldPlainLettersAndAreUnique) {
  Host host;
  for (const char* name : {"a b", "a_b", "host"}) {
    write_all(
        host.at("/etc/postgresql/15/" + std::string(name) + "/postgresql.conf"),
        "port = " + std::to_string(6000 + std::string(name).size() + (name[1] == ' ')) + "\n");
  }
  for (const char* port : {"6003", "6004"}) {
    host.add("socket /run/postgresql/.s.PGSQL." + std::string(port) + " 777 root", {});
    host.add("unix /run/postgresql/.s.PGSQL." + std::string(port), {});
  }
  const Discovery found = host.discover();
  ASSERT_EQ(found.postgres.size(), 2U);
  EXPECT_EQ(found.postgres[0].name, "a_b");
  EXPECT_EQ(found.postgres[1].name, "a_b-2");
}

TEST(DiscoverPostgres, DirectoriesWithBlanksAreQuoted) {
  Host host;
  fs::create_directories(host.at("/srv/pg run"));
  ASSERT_EQ(mknod(host.at("/srv/pg run/.s.PGSQL.5432").c_str(), S_IFSOCK | 0777, 0), 0);
  write_all(host.proc() + "/net/unix",
            "0000000000000000: 00000002 00000000 00010000 0001 01 1 /srv/pg run/.s.PGSQL.5432\n");
  const Discovery found = host.discover();
  ASSERT_EQ(found.postgres.size(), 1U);
  EXPECT_EQ(found.postgres[0].dsn, "host='/srv/pg run' port=5432 user=lagwatch dbname=postgres");
}

}  // namespace
}  // namespace lagwatch
