// SPDX-License-Identifier: Apache-2.0
// Timers, descriptors and jobs on one thread.
#include "client/loop.h"

#include <gtest/gtest.h>

#include <thread>

namespace lagwatch {
namespace {

using std::chrono::milliseconds;

TEST(Loop, TimersRunInOrderOfTheirTime) {
  Loop loop;
  std::string order;
  const Instant start = now().steady;
  loop.at(start + milliseconds(2), [&] { order += 'b'; });
  loop.at(start + milliseconds(1), [&] { order += 'a'; });
  const auto cancelled = loop.at(start + milliseconds(1), [&] { order += 'x'; });
  loop.cancel(cancelled);
  loop.at(start + milliseconds(3), [&] { loop.stop(); });
  loop.run();
  EXPECT_EQ(order, "ab");
}

TEST(Loop, TimerSetForNowByATimerRunsInTheNextTurn) {
  Loop loop;
  int runs = 0;
  std::function<void()> again = [&] {
    ++runs;
    loop.at(now().steady, again);
  };
  loop.at(now().steady, again);
  loop.run_once(now().steady);
  EXPECT_EQ(runs, 1);
  loop.run_once(now().steady);
  EXPECT_EQ(runs, 2);
}

TEST(Loop, JobsFromOtherThreadsRunOnTheLoop) {
  Loop loop;
  std::thread::id ran_on;
  std::thread other([&] {
    loop.post([&] {
      ran_on = std::this_thread::get_id();
      loop.stop();
    });
  });
  loop.run();
  other.join();
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

TEST(Loop, EventOfADescriptorUnwatchedInTheSameTurnIsDropped) {
  Loop loop;
  int first[2];
  int second[2];
  ASSERT_EQ(pipe(first), 0);
  ASSERT_EQ(pipe(second), 0);
  int calls = 0;
  const auto callback = [&](uint32_t) {
    ++calls;
    loop.unwatch(first[0]);
    loop.unwatch(second[0]);
    // The number is watched anew within the batch: the old event is not its.
    loop.watch(first[0], EPOLLIN, [&](uint32_t) { calls += 100; });
    loop.unwatch(first[0]);
  };
  loop.watch(first[0], EPOLLIN, callback);
  loop.watch(second[0], EPOLLIN, callback);
  ASSERT_EQ(write(first[1], "x", 1), 1);
  ASSERT_EQ(write(second[1], "x", 1), 1);
  loop.run_once(now().steady);
  EXPECT_EQ(calls, 1);
  for (const int fd : {first[0], first[1], second[0], second[1]}) close(fd);
}

TEST(Loop, ReportsTheTimeATurnKeptOthersWaiting) {
  Loop loop;
  Duration longest{};
  loop.set_on_turn([&](Duration busy) { longest = std::max(longest, busy); });
  loop.at(now().steady + milliseconds(20), [] {
    const Instant end = now().steady + milliseconds(10);
    while (now().steady < end) {
    }
  });
  const Instant start = now().steady;
  while (now().steady - start < milliseconds(25)) loop.run_once(now().steady + milliseconds(30));
  EXPECT_GE(longest, milliseconds(10));
  EXPECT_LT(longest, now().steady - start) << "waiting is not being busy";
}

}  // namespace
}  // namespace lagwatch
