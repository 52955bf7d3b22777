// SPDX-License-Identifier: Apache-2.0
// Lanes: which are asked when, and how long they wait. Time is the test's.
#include "scheduler_scene.h"

namespace lagwatch {
namespace {

TEST(Backoff, DoublesToFifteenSecondsAndAuthenticationWaitsAMinute) {
  EXPECT_EQ(backoff(seconds(1), 1, Reason::kRefused), seconds(1));
  EXPECT_EQ(backoff(seconds(1), 3, Reason::kHung), seconds(4));
  EXPECT_EQ(backoff(seconds(1), 30, Reason::kHung), seconds(15));
  EXPECT_EQ(backoff(seconds(60), 1, Reason::kRefused), seconds(15));
  EXPECT_EQ(backoff(seconds(5), 1, Reason::kAuth), seconds(60));
}

TEST(Period, SlowLaneWaitsAHundredTimesItsAnswerAtMostThreeIntervals) {
  EXPECT_EQ(period(Lane::kMain, seconds(5), seconds(2)), seconds(5));
  EXPECT_EQ(period(Lane::kBasics, seconds(5), milliseconds(10)), seconds(15));
  EXPECT_EQ(period(Lane::kBasics, seconds(5), milliseconds(200)), seconds(20));
  EXPECT_EQ(period(Lane::kDirectory, seconds(5), seconds(2)), seconds(45));
}

TEST(Period, SlowLanesFollowTheIntervalUpToTheirOwn) {
  EXPECT_EQ(lane_interval(Lane::kBasics, milliseconds(200)), milliseconds(600));
  EXPECT_EQ(lane_interval(Lane::kBasics, seconds(60)), seconds(60));
  EXPECT_EQ(lane_interval(Lane::kSettings, seconds(5)), std::chrono::minutes(5));
  EXPECT_EQ(lane_interval(Lane::kSettings, milliseconds(500)), seconds(30));
}

TEST_F(SchedulerTest, LanesRunByThemselvesOnceTheMainLaneIsWell) {
  add("a", {&kMain, &kSlow});
  scheduler.run_due();
  EXPECT_EQ(asker.open.size(), 1U);
  answer();  // main
  EXPECT_TRUE(view().tried) << "the slow lane is not waited for";
  EXPECT_EQ(asker.open.size(), 1U) << "it begins now";
  pass(seconds(5));
  EXPECT_EQ(asker.asked, 3U);
}

TEST_F(SchedulerTest, FailingTargetIsAskedByItsMainLaneAlone) {
  add("a", {&kMain, &kSlow});
  scheduler.run_due();
  fail();
  for (int i = 0; i < 5; ++i) {
    pass(seconds(16));
    EXPECT_EQ(asker.open.size(), 1U);
    fail();
  }
  pass(seconds(16));
  answer();
  EXPECT_EQ(asker.open.size(), 1U) << "the slow lane follows";
}

TEST_F(SchedulerTest, LaneThatFailsAloneWaitsOutItsBackoff) {
  add("a", {&kMain, &kSlow});
  scheduler.run_due();
  answer();  // main
  fail();    // slow: 5 s
  pass(seconds(5) + milliseconds(50));
  ASSERT_EQ(asker.open.size(), 2U);
  answer();  // main
  fail();    // slow: 10 s
  pass(seconds(5));
  ASSERT_EQ(asker.open.size(), 1U);
  answer();  // main, which was well all the time
  EXPECT_TRUE(asker.open.empty()) << "the slow lane is not asked ahead of its time";
}

TEST_F(SchedulerTest, ProbeIsAskedWhateverTheMainLaneDoes) {
  add("a", {&kMain, &kProbe});
  scheduler.run_due();
  ASSERT_EQ(asker.open.size(), 2U) << "not after the main lane";
  fail();    // main
  answer();  // probe
  pass(seconds(5));
  EXPECT_EQ(asker.open.size(), 2U);
  fail();    // main: 10 s
  answer();  // probe
  pass(seconds(5));
  ASSERT_EQ(asker.open.size(), 1U);
  EXPECT_FALSE(view().up);
  answer();  // probe
  EXPECT_NE(view().collectors[1].output, nullptr) << "what it measured is shown";
}

TEST_F(SchedulerTest, WaitThatIsKnownBeforehandHoldsEvenIfItGrewAfterTheLastAnswer) {
  TargetOptions options;
  options.name = "a";
  options.interval = seconds(5);
  auto state = std::make_unique<DeepState>();
  DeepState& deep = *state;
  scheduler.add(TargetSpec{options, &kKind, {&kMain, &kDeep}, std::move(state)});
  scheduler.run_due();
  answer();  // main
  answer();  // deep
  deep.wish = seconds(10);
  pass(seconds(5) + milliseconds(10));
  ASSERT_EQ(asker.open.size(), 1U) << "main alone";
  answer();
  pass(seconds(5) + milliseconds(10));
  ASSERT_EQ(asker.open.size(), 2U);
  answer();
  answer();
  deep.wish = seconds(1000);
  pass(seconds(5));
  answer();  // main
  pass(seconds(5));
  answer();  // main
  ASSERT_TRUE(asker.open.empty());
  pass(seconds(5));
  EXPECT_EQ(asker.open.size(), 2U) << "never longer than three intervals";
}

TEST_F(SchedulerTest, CollectorsThatFailTogetherAreOneFailure) {
  add("a", {&kMain, &kMain});
  scheduler.run_due();
  fail();
  fail();
  EXPECT_EQ(view().failures[static_cast<size_t>(Reason::kRefused)], 1U);
}

}  // namespace
}  // namespace lagwatch
