// SPDX-License-Identifier: Apache-2.0
// When targets are asked, what a failure means for the next time, and what is shown meanwhile. Time
// is the test's.
#include "scheduler_scene.h"

namespace lagwatch {
namespace {

TEST_F(SchedulerTest, AsksFirstAtStartThenEveryInterval) {
  add("a");
  scheduler.run_due();
  EXPECT_EQ(asker.asked, 1U);
  EXPECT_FALSE(view().tried);
  answer();
  EXPECT_TRUE(view().tried);
  EXPECT_TRUE(view().up);
  pass(milliseconds(4900));
  EXPECT_EQ(asker.asked, 1U);
  pass(milliseconds(200));
  EXPECT_EQ(asker.asked, 2U);
}

TEST_F(SchedulerTest, DeadlineCoversAllStepsOfAnExchange) {
  add("a");
  scheduler.run_due();
  const Deadline first = asker.open.begin()->second.deadline;
  EXPECT_EQ(first, now_.steady + seconds(3));
  advance(seconds(1));
  answer(Answer{"more", {}});
  ASSERT_EQ(asker.open.size(), 1U);
  EXPECT_EQ(asker.open.begin()->second.deadline, first);
  EXPECT_FALSE(view().tried);
  answer();
  EXPECT_TRUE(view().up);
}

TEST_F(SchedulerTest, StepsThatGoOnForeverStallAtTheDeadline) {
  add("a");
  scheduler.run_due();
  for (int i = 0; i < 3; ++i) {
    advance(seconds(1));
    answer(Answer{"more", {}});
  }
  EXPECT_TRUE(view().tried);
  ASSERT_TRUE(view().error.has_value());
  EXPECT_EQ(view().error->reason, Reason::kStalled);
}

TEST_F(SchedulerTest, FailureSetsUpToZeroAtOnceAndGoodSamplesStayTwoPeriodsAndATimeout) {
  add("a");
  scheduler.run_due();
  answer();
  pass(seconds(5));
  fail();
  EXPECT_FALSE(view().up);
  EXPECT_EQ(view().failures[static_cast<size_t>(Reason::kRefused)], 1U);
  EXPECT_TRUE(shown());
  pass(milliseconds(7900));  // 2 * 5 s + 3 s after the good answer
  EXPECT_TRUE(shown());
  pass(milliseconds(200));
  EXPECT_FALSE(shown());
}

TEST_F(SchedulerTest, WhatHasGoneDoesNotComeBack) {
  add("a");
  scheduler.run_due();
  answer();
  pass(seconds(14));  // the second ask hangs
  EXPECT_FALSE(shown());
  fail(Reason::kHung);
  EXPECT_FALSE(shown());
}

TEST_F(SchedulerTest, HungTargetDelaysNoOther) {
  add("hung");
  add("fine");
  scheduler.run_due();
  ASSERT_EQ(asker.open.size(), 2U);
  const AskId fine = asker.open.rbegin()->first;
  const auto on_reply = asker.open[fine].on_reply;
  asker.open.erase(fine);
  on_reply(Answer{"1", {}});
  scheduler.run_due();
  pass(milliseconds(20));
  EXPECT_FALSE(view(0).tried);
  EXPECT_TRUE(view(1).up);
  pass(seconds(5));
  EXPECT_EQ(asker.asked, 3U) << "the other is asked again, the hung one is not asked twice";
}

TEST_F(SchedulerTest, ManyTargetsArePublishedTogether) {
  for (int i = 0; i < 100; ++i) add("t" + std::to_string(i));
  scheduler.run_due();
  const auto before = board.read();
  const auto open = asker.open;
  for (const auto& [id, ask] : open) ask.on_reply(Answer{"1", {}});
  EXPECT_EQ(board.read(), before);
  pass(milliseconds(20));
  EXPECT_TRUE(view(99).up);
}

TEST_F(SchedulerTest, ScrapeAsksStaleTargetsAndWaitsForThem) {
  add("a");
  scheduler.run_due();
  answer();
  pass(seconds(2));
  bool done = false;
  scheduler.refresh(std::nullopt, [&] { done = true; });
  EXPECT_EQ(asker.asked, 2U);
  pass(milliseconds(10));
  EXPECT_FALSE(done);
  answer();
  EXPECT_TRUE(done);
  EXPECT_GT(view().collectors[0].good_at, now_.steady - seconds(1))
      << "published before the scrape goes on";
}

TEST_F(SchedulerTest, ScrapeDoesNotAskFreshTargetsAgain) {
  add("a");
  scheduler.run_due();
  answer();
  pass(milliseconds(500));
  bool done = false;
  scheduler.refresh(std::nullopt, [&] { done = true; });
  pass(milliseconds(2));
  EXPECT_TRUE(done);
  EXPECT_EQ(asker.asked, 1U);
}

TEST_F(SchedulerTest, TwoScrapesShareOneExchange) {
  add("a");
  scheduler.run_due();
  answer();
  pass(seconds(2));
  int done = 0;
  scheduler.refresh(std::nullopt, [&] { ++done; });
  scheduler.refresh("a", [&] { ++done; });
  EXPECT_EQ(asker.asked, 2U);
  answer();
  EXPECT_EQ(done, 2);
}

TEST_F(SchedulerTest, ScrapeWaitsAHundredMillisecondsAtMost) {
  add("a");
  scheduler.run_due();
  answer();
  pass(seconds(2));
  bool done = false;
  scheduler.refresh(std::nullopt, [&] { done = true; });
  pass(milliseconds(99));
  EXPECT_FALSE(done);
  pass(milliseconds(2));
  EXPECT_TRUE(done);
  // The exchange is older than 100 ms now: the next scrape does not wait for it at all.
  bool again = false;
  scheduler.refresh(std::nullopt, [&] { again = true; });
  pass(milliseconds(2));
  EXPECT_TRUE(again);
}

TEST_F(SchedulerTest, ScrapeNeitherAsksNorAwaitsAFailingTarget) {
  add("a");
  scheduler.run_due();
  fail(Reason::kHung);
  pass(seconds(2));
  bool done = false;
  scheduler.refresh(std::nullopt, [&] { done = true; });
  pass(milliseconds(2));
  EXPECT_TRUE(done);
  EXPECT_EQ(asker.asked, 1U);
}

TEST_F(SchedulerTest, FrozenMachineDiscardsTheRoundAndCountsNoFailure) {
  add("a");
  scheduler.run_due();
  answer();
  pass(seconds(5));
  ASSERT_EQ(asker.open.size(), 1U);
  const auto on_reply = asker.open.begin()->second.on_reply;
  advance(seconds(30));  // nothing ran meanwhile; the deadline has long passed
  on_reply(Error{Reason::kHung, "no", {}});
  scheduler.run_due();
  pass(milliseconds(20));
  EXPECT_TRUE(view().up);
  EXPECT_EQ(view().failures[static_cast<size_t>(Reason::kHung)], 0U);
  EXPECT_EQ(asker.asked, 3U) << "asked again at once";
}

TEST_F(SchedulerTest, SuggestedIntervalHoldsOnlyWhereNoneIsConfigured) {
  static const Collector kQuick{"quick",
                                &kKind,
                                Lane::kMain,
                                kSchemas,
                                ask_once,
                                [](State&, std::span<Reply>, const Moment&, Output& out) -> Step {
                                  out.suggested_interval = seconds(1);
                                  return Done{};
                                }};
  add("configured", {&kQuick});
  TargetOptions options;
  options.name = "free";
  scheduler.add(TargetSpec{options, &kKind, {&kQuick}, std::make_unique<State>()});
  scheduler.run_due();
  answer();
  answer();
  pass(milliseconds(1100));
  EXPECT_EQ(asker.asked, 3U);
  EXPECT_EQ(asker.open.begin()->second.owner, 1U);
}

TEST_F(SchedulerTest, DestructionCancelsWhatIsOpen) {
  {
    SnapshotBoard other_board;
    Scheduler other(asker, other_board, {[this] { return now_; }, [](Instant) {}});
    TargetOptions options;
    options.name = "a";
    other.add(TargetSpec{options, &kKind, {&kMain}, std::make_unique<State>()});
    other.run_due();
    EXPECT_EQ(asker.open.size(), 1U);
  }
  EXPECT_TRUE(asker.open.empty());
}

}  // namespace
}  // namespace lagwatch
