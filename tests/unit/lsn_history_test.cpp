// SPDX-License-Identifier: Apache-2.0
// When a position was reached: the history behind replication lag, and its way through a restart.
#include "join/lsn_history.h"

#include <gtest/gtest.h>

#include "join/postgres_memory.h"

namespace lagwatch {
namespace {

using namespace std::chrono_literals;

const Instant kStart{std::chrono::hours(100)};
constexpr Lsn kMega = 1U << 20U;

Instant at(Duration after) { return kStart + after; }

TEST(LsnHistory, WithoutSamplesNothingIsKnown) {
  EXPECT_FALSE(LsnHistory{}.lag(1, kStart).has_value());
}

TEST(LsnHistory, PositionAtTheNewestIsNoLag) {
  LsnHistory history;
  history.add(at(0s), 100);
  EXPECT_EQ(history.lag(100, at(60s))->value, 0s);
  EXPECT_EQ(history.lag(200, at(60s))->value, 0s);
}

TEST(LsnHistory, LagIsTheAgeOfTheFirstByteBehind) {
  LsnHistory history;
  history.add(at(0s), 100);
  history.add(at(5s), 200);
  history.add(at(10s), 300);
  const auto lag = history.lag(150, at(12s));
  EXPECT_EQ(lag->value, 7s);
  EXPECT_FALSE(lag->lower_bound);
  EXPECT_EQ(history.lag(200, at(12s))->value, 2s);
}

TEST(LsnHistory, IdleTimeBeforeAWriteIsNoLag) {
  LsnHistory history;
  for (int second = 0; second <= 80; second += 5)
    history.add(at(std::chrono::seconds(second)), 100);
  history.add(at(85s), 200);
  EXPECT_EQ(history.lag(100, at(88s))->value, 3s) << "not 88 s, as by the last commit";
  EXPECT_EQ(history.samples().size(), 2U) << "standing still takes no room";
  EXPECT_EQ(history.seen_at(), at(85s));
}

TEST(LsnHistory, WhatWasWrittenAfterTheSampleOfTheStandbyIsNotHeldAgainstIt) {
  LsnHistory history;
  history.add(at(0s), 100);
  history.add(at(5s), 200);
  EXPECT_EQ(history.lag(100, at(4s))->value, 0s);
}

TEST(LsnHistory, PositionBeforeTheBeginningIsALowerBound) {
  LsnHistory history;
  history.add(at(0s), 500);
  const auto lag = history.lag(100, at(30s));
  EXPECT_EQ(lag->value, 30s);
  EXPECT_TRUE(lag->lower_bound);
  EXPECT_FALSE(history.lag(500, at(30s))->lower_bound);
}

TEST(LsnHistory, GoingBackBeginsAnew) {
  LsnHistory history;
  history.add(at(0s), 500);
  history.add(at(5s), 100);
  EXPECT_EQ(history.oldest(), 100U);
  EXPECT_EQ(history.newest(), 100U);
}

TEST(LsnHistory, AMomentThatIsNotNewerIsIgnored) {
  LsnHistory history;
  history.add(at(5s), 100);
  history.add(at(5s), 200);
  history.add(at(4s), 300);
  EXPECT_EQ(history.newest(), 100U);
}

TEST(LsnHistory, ADayIsKeptInLittleRoom) {
  LsnHistory history;
  for (int64_t second = 0; second <= 2 * 86400; second += 5)
    history.add(at(std::chrono::seconds(second)), static_cast<Lsn>(second) * kMega);
  EXPECT_LT(history.samples().size(), 2400U);
  const Instant end = at(std::chrono::seconds(2 * 86400));
  for (const Duration lag : {Duration(30s), Duration(50min), Duration(10h), Duration(23h)}) {
    const auto second = static_cast<Lsn>((end - lag - kStart) / 1s);
    const auto found = history.lag(second * kMega, end);
    const Duration slack = lag > 1h ? Duration(61s) : Duration(5s);
    EXPECT_LE(found->value, lag);
    EXPECT_GE(found->value, lag - slack) << lag / 1s << " s";
    EXPECT_FALSE(found->lower_bound);
  }
  EXPECT_TRUE(history.lag(0, end)->lower_bound);
  EXPECT_GE(history.lag(0, end)->value, 24h - 61s);
}

Moment moment(Duration after) {
  return {at(after), WallTime(std::chrono::seconds(1795352000)) + after};
}

TEST(PostgresMemory, HistoriesOutliveTheProcess) {
  PostgresMemory before;
  before.primaries[{"7711", 1}].add(at(0s), 100);
  before.primaries[{"7711", 1}].add(at(5s), 200);
  before.primaries[{"7711", 2}].add(at(9s), 250);
  before.primaries[{"@target=\"db1\"", 1}].add(at(5s), 200);
  const std::string text = encode(before, moment(10s));

  // The next process began when the machine did: another monotonic clock, the same wall clock.
  Moment later = moment(20s);
  later.steady = Instant(7s);
  PostgresMemory after;
  ASSERT_TRUE(decode(text, later, after));
  ASSERT_EQ(after.primaries.size(), 2U) << "a name means nothing to another process";
  const auto lag = after.primaries.at({"7711", 1}).lag(150, later.steady);
  EXPECT_EQ(lag->value, 15s);
}

TEST(PostgresMemory, DamageCostsOnlyItsLine) {
  PostgresMemory memory;
  const Moment now = moment(0s);
  const std::string wall = std::to_string(now.wall.time_since_epoch() / 1ms - 1000);
  const std::string text = "lagwatch lsn history 1\n7711 1 " + wall +
                           " 100\nnonsense\n7711 one 2 3\n7711 1 99999999999999 7\n7711 1 5 6\n"
                           "7711 1 -5\n7711 1 " +
                           wall + " 18446744073709551616\n\xff\xfe";
  ASSERT_TRUE(decode(text, now, memory));
  ASSERT_EQ(memory.primaries.size(), 1U);
  EXPECT_EQ(memory.primaries.begin()->second.samples().size(), 1U);
}

TEST(PostgresMemory, AStrangersFileIsRefused) {
  PostgresMemory memory;
  EXPECT_FALSE(decode("", moment(0s), memory));
  EXPECT_FALSE(decode("SQLite format 3\n", moment(0s), memory));
  EXPECT_TRUE(memory.primaries.empty());
}

TEST(PostgresMemory, WhatWasNotSeenForADayIsForgotten) {
  PostgresMemory memory;
  memory.primaries[{"7711", 1}].add(at(0s), 100);
  memory.servers["a"].seen_at = at(0s);
  memory.standbys["a"]["b"].seen_at = at(0s);
  prune(memory, at(23h));
  EXPECT_EQ(memory.primaries.size(), 1U);
  prune(memory, at(25h));
  EXPECT_TRUE(memory.primaries.empty());
  EXPECT_TRUE(memory.servers.empty());
  EXPECT_TRUE(memory.standbys.empty());
}

}  // namespace
}  // namespace lagwatch
