// SPDX-License-Identifier: Apache-2.0
// What the configuration reader makes of the key `postgres`; its mistakes are in config_test.
#include <gtest/gtest.h>

#include "config/config.h"
#include "golden.h"

namespace lagwatch {
namespace {

using namespace std::chrono_literals;
using Labels = std::vector<std::pair<std::string, std::string>>;

TEST(Config, ReadsEverySettingOfPostgres) {
  const auto config =
      parse_config("full.good.yml", golden::read_file(golden::data("config/full.good.yml"))).config;
  ASSERT_TRUE(config.postgres && config.postgres->size() == 2);
  const PostgresTarget& db1 = config.postgres->at(0);
  EXPECT_EQ(db1.target.name, "db1");
  EXPECT_EQ(db1.target.interval, 2s);
  EXPECT_EQ(db1.target.timeout, 1s);
  EXPECT_EQ(db1.target.labels, (Labels{{"site", "shop"}, {"rack", "d"}}));
  EXPECT_EQ(db1.postgres.dsn, "host=/run/postgresql port=5433 user=lagwatch dbname=postgres");
  EXPECT_EQ(db1.postgres.host, "/run/postgresql");
  EXPECT_EQ(db1.postgres.port, "5433");
  EXPECT_EQ(db1.postgres.password_file, "/etc/lagwatch/secrets/db1");
  EXPECT_EQ(db1.postgres.heartbeat.table, "lagwatch.heartbeat");
  EXPECT_EQ(db1.postgres.heartbeat.column, "beat");
  EXPECT_TRUE(db1.postgres.heartbeat.write);
  EXPECT_EQ(db1.postgres.data_directory, "/var/lib/postgresql/15/main");
  EXPECT_FALSE(db1.postgres.identify);
  EXPECT_EQ(db1.postgres.max_databases, 20U);
  const PostgresTarget& db2 = config.postgres->at(1);
  EXPECT_EQ(db2.postgres.host, "db2.example");
  EXPECT_TRUE(db2.postgres.heartbeat.table.empty());
}

}  // namespace
}  // namespace lagwatch
