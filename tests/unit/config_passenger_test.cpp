// SPDX-License-Identifier: Apache-2.0
// The keys `passenger` and `routes`.
#include <gtest/gtest.h>

#include "config/config.h"
#include "golden.h"

namespace lagwatch {
namespace {

using Words = std::vector<std::string>;
using namespace std::chrono_literals;  // NOLINT: durations

TEST(ConfigPassenger, ReadsEverySetting) {
  const auto config =
      parse_config("full.good.yml", golden::read_file(golden::data("config/full.good.yml"))).config;
  ASSERT_TRUE(config.passenger && config.passenger->size() == 3);
  const PassengerTarget& one = config.passenger->at(0);
  EXPECT_EQ(one.target.name, "web1-app");
  EXPECT_EQ(one.target.interval, 2s);
  EXPECT_EQ(one.target.timeout, 1s);
  EXPECT_EQ(one.passenger.registry, "/run/passenger-instreg");
  EXPECT_EQ(one.passenger.username, "mon");
  EXPECT_EQ(one.passenger.password_file, "/etc/lagwatch/secrets/passenger");
  EXPECT_EQ(one.passenger.max_processes, 10U);
  EXPECT_EQ(config.passenger->at(1).passenger.status_command,
            (Words{"sudo", "-n", "passenger-status"}));
  EXPECT_EQ(config.passenger->at(2).passenger.status_file, "/run/lagwatch/pool.xml");
  EXPECT_EQ(config.passenger->at(2).passenger.requests_file, "/run/lagwatch/requests.txt");
  ASSERT_EQ(config.routes.size(), 2U);
  EXPECT_EQ(config.routes[0].name, "search");
  EXPECT_EQ(config.routes[0].match, "^/search");
  EXPECT_EQ(config.routes[0].query_param, "q");
  EXPECT_EQ(config.routes[0].short_below, 3U);
  EXPECT_EQ(config.routes[1].short_below, 0U);
}

TEST(ConfigPassenger, NothingIsRequired) {
  const auto result = parse_config("c.yml", "passenger: [{}]\n");
  EXPECT_EQ(result.errors, Words{});
  ASSERT_TRUE(result.config.passenger && result.config.passenger->size() == 1);
  EXPECT_EQ(result.config.passenger->at(0).target.name, "passenger");
  EXPECT_EQ(result.config.passenger->at(0).passenger.registry, "");
  EXPECT_FALSE(parse_config("c.yml", "").config.passenger.has_value());
}

}  // namespace
}  // namespace lagwatch
