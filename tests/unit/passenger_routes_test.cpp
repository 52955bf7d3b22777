// SPDX-License-Identifier: Apache-2.0
// How requests are put into routes, whatever clients send.
#include "collector/passenger_routes.h"

#include <gtest/gtest.h>

#include <random>

namespace lagwatch {
namespace {

using namespace std::chrono_literals;  // NOLINT: durations

const Instant kStart{1000h};

TEST(PassengerRoutes, PathsAreMadeTheSameWhereTheyDifferInDetailOnly) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"/", "/"},
      {"/search?q=a", "/search"},
      {"/search#top", "/search"},
      {"/search;jsessionid=1", "/search"},
      {"/orders/17/items/3", "/orders/:id"},
      {"//orders///17", "/orders/:id"},
      {"/orders/17/", "/orders/:id"},
      {"http://shop.example/orders/17?x", "/orders/:id"},
      {"http://shop.example?x", "/"},
      {"http://shop.example", "/"},
      {"/u/123e4567-e89b-12d3-a456-426614174000", "/u/:uuid"},
      {"/u/deadbeef1", "/u/:hex"},
      {"/u/feedface", "/u/feedface"},  // without a digit it may be a word
      {"/caf%C3%A9", "/:str"},
      {"/a b", "/:str"},
      {"/abcdefghijklmnopqrstuvwxyzabcdefghi", "/:str"},
      {"/style-1.2_b.css", "/style-1.2_b.css"},
      {"", "other"},
      {"*", "other"},
      {"shop/17", "other"},
      {"ftp", "other"},
      {"://x/y", "/y"},
  };
  for (const auto& [target, route] : cases) EXPECT_EQ(normal_route(target), route) << target;
}

TEST(PassengerRoutes, PathsHaveNoQueryAndAreBounded) {
  EXPECT_EQ(path_of("/a/b?token=secret", 200), "/a/b");
  EXPECT_EQ(path_of("http://host/a?x", 200), "/a");
  EXPECT_EQ(path_of("/" + std::string(5000, 'a'), 200).size(), 200U);
  EXPECT_EQ(path_of("*", 200), "*");
}

TEST(PassengerRoutes, TermsAreCountedInCharacters) {
  EXPECT_EQ(query_length("/s?q=a", "q"), 1U);
  EXPECT_EQ(query_length("/s?x=1&q=abc&q=a", "q"), 3U);
  EXPECT_EQ(query_length("/s?q=", "q"), 0U);
  EXPECT_EQ(query_length("/s?q", "q"), 0U);
  EXPECT_EQ(query_length("/s?q=%C3%A9%C3%A9", "q"), 2U);
  EXPECT_EQ(query_length("/s?q=a+b%20c", "q"), 5U);
  EXPECT_EQ(query_length("/s?q=%4", "q"), 2U);
  EXPECT_EQ(query_length("/s?search%5Bq%5D=ab", "search[q]"), 2U);
  EXPECT_EQ(query_length("/s?x=1", "q"), std::string_view::npos);
  EXPECT_EQ(query_length("/s?qq=1", "q"), std::string_view::npos);
  EXPECT_EQ(query_length("/s", "q"), std::string_view::npos);
  EXPECT_EQ(query_length("/s?x=1#?q=ab", "q"), std::string_view::npos);
}

TEST(PassengerRoutes, RulesComeFirstAndInTheirOrder) {
  RouteTable table({{.name = "search", .match = "^/search", .query_param = "q", .short_below = 3},
                    {.name = "pages", .match = "^/s"}});
  const auto place = [&](std::string_view target) { return table.place("GET", target, kStart); };
  EXPECT_EQ(place("/search?q=ab").route, "search");
  EXPECT_TRUE(place("/search?q=ab").short_query);
  EXPECT_FALSE(place("/search?q=abc").short_query);
  EXPECT_FALSE(place("/search").short_query);
  EXPECT_EQ(place("/site").route, "pages");
  EXPECT_EQ(place("/x?/search").route, "/x");
  EXPECT_TRUE(table.counts_short("search"));
  EXPECT_FALSE(table.counts_short("pages"));
}

TEST(PassengerRoutes, ChecksOfLoadBalancersHaveARouteOfTheirOwn) {
  RouteTable table({});
  EXPECT_EQ(table.place("OPTIONS", "*", kStart).route, "health check");
  EXPECT_EQ(table.place("OPTIONS", "/", kStart).route, "health check");
  EXPECT_EQ(table.place("OPTIONS", "/orders", kStart).route, "/orders");
  EXPECT_EQ(table.place("GET", "/healthcheck", kStart).route, "/healthcheck");
}

TEST(PassengerRoutes, AScanTakesNoPlaceFromWhatIsUsed) {
  RouteTable table({});
  const auto at = [&](int i, Duration after) {
    return table.place("GET", "/scan" + std::to_string(i) + "x", kStart + after).route;
  };
  EXPECT_EQ(table.place("GET", "/orders", kStart).route, "/orders");
  for (int i = 0; i < 1000; ++i) at(i, 1s);
  EXPECT_EQ(table.names().size(), 51U);  // 50 and `other`
  EXPECT_EQ(at(2000, 2s), "other");
  EXPECT_EQ(table.place("GET", "/orders", kStart + 4min).route, "/orders");
  // What was idle for five minutes makes room, what is used does not.
  EXPECT_EQ(at(2000, 6min), "/scan2000x");
  EXPECT_EQ(table.place("GET", "/orders", kStart + 7min).route, "/orders");
  EXPECT_EQ(table.names().size(), 51U);
  table.expire(kStart + 2h);
  EXPECT_EQ(table.names(), std::vector<std::string>{"other"});
}

TEST(PassengerRoutes, GarbageNeverCrashes) {
  std::mt19937 random(20170321);
  RouteTable table({{.name = "search", .match = "search", .query_param = "q", .short_below = 3}});
  constexpr std::string_view kBytes = "/?#;&=%+:*aF0\xff\x01.-q";
  for (int round = 0; round < 20000; ++round) {
    std::string target(random() % 40, '/');
    for (char& c : target) c = kBytes[random() % kBytes.size()];
    const std::string route = table.place("GET", target, kStart).route;
    EXPECT_EQ(route.find('?'), std::string::npos);
    EXPECT_LT(route.size(), 70U);
  }
}

}  // namespace
}  // namespace lagwatch
