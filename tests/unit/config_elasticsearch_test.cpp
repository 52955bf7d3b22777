// SPDX-License-Identifier: Apache-2.0
// What the configuration reader makes of the key `elasticsearch`; its mistakes are in config_test.
#include <gtest/gtest.h>

#include "config/config.h"
#include "golden.h"

namespace lagwatch {
namespace {

using namespace std::chrono_literals;
using Labels = std::vector<std::pair<std::string, std::string>>;

TEST(Config, ReadsEverySettingOfElasticsearch) {
  const auto config =
      parse_config("full.good.yml", golden::read_file(golden::data("config/full.good.yml"))).config;
  ASSERT_TRUE(config.elasticsearch && config.elasticsearch->size() == 2);
  const ElasticsearchTarget& one = config.elasticsearch->at(0);
  EXPECT_EQ(one.target.name, "es1");
  EXPECT_EQ(one.target.interval, 2s);
  EXPECT_EQ(one.target.timeout, 1s);
  EXPECT_EQ(one.target.labels, (Labels{{"site", "shop"}, {"rack", "e"}}));
  EXPECT_EQ(one.elasticsearch.url, "https://search1.example:9200");
  EXPECT_EQ(one.elasticsearch.user, "lagwatch");
  EXPECT_EQ(one.elasticsearch.password_file, "/etc/lagwatch/secrets/search");
  EXPECT_EQ(one.elasticsearch.ca_file, "/etc/lagwatch/search-ca.pem");
  EXPECT_EQ(one.elasticsearch.pinned_key, "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
  EXPECT_TRUE(one.elasticsearch.local_node);
  EXPECT_EQ(one.elasticsearch.probe_index, "products");
  const ElasticsearchTarget& two = config.elasticsearch->at(1);
  EXPECT_EQ(two.elasticsearch.url, "http://search2.example/behind/a/proxy");
  EXPECT_EQ(two.elasticsearch.api_key_file, "/etc/lagwatch/secrets/key");
  EXPECT_FALSE(two.elasticsearch.local_node);
  EXPECT_TRUE(two.elasticsearch.probe_index.empty());
}

}  // namespace
}  // namespace lagwatch
