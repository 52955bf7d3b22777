// SPDX-License-Identifier: Apache-2.0
// When targets are asked, what a failure means for the next time, and what is shown meanwhile. Time
// is the test's.
#include "scrape/scheduler.h"

#include <gtest/gtest.h>

#include <map>

namespace lagwatch {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Keeps asks until the test answers them.
class FakeAsker : public Asker {
 public:
  struct Open {
    uint64_t owner;
    Ask ask;
    Deadline deadline;
    OnReply on_reply;
  };

  AskId ask(uint64_t owner, const Ask& ask, Deadline deadline, OnReply on_reply) override {
    open[++last_] = Open{owner, ask, deadline, std::move(on_reply)};
    ++asked;
    return last_;
  }
  void cancel(AskId id) override { open.erase(id); }
  uint64_t connections_opened(uint64_t) const override { return asked; }

  std::map<AskId, Open> open;
  uint64_t asked = 0;

 private:
  AskId last_ = 0;
};

constexpr Column kColumns[] = {{.name = "x", .help = "X."}};
constexpr Schema kSchema{{}, kColumns};
constexpr const Schema* kSchemas[] = {&kSchema};
const Kind kKind{"x", "", nullptr};

Asks ask_once(State&) { return {SocketAsk{.address = "/s", .send = "q\n"}}; }

Step read_number(State&, std::span<Reply> replies, const Moment&, Output& out) {
  if (!replies[0].ok()) return replies[0].error();
  if (replies[0]->body == "more") return More{{SocketAsk{.address = "/s2", .send = "q\n"}}};
  Table& table = out.table(kSchema);
  table.set(table.add_row(), 0, 1);
  return Done{};
}

const Collector kMain{"main", &kKind, Lane::kMain, kSchemas, ask_once, read_number};
const Collector kSlow{"slow", &kKind, Lane::kBasics, kSchemas, ask_once, read_number};

const Collector kProbe{"probe", &kKind, Lane::kProbe, kSchemas, ask_once, read_number};

// A target whose answer costs it more the deeper its queue.
struct DeepState : State {
  Duration wish{};
};
Duration wished(const State& state) { return static_cast<const DeepState&>(state).wish; }
const Collector kDeep{"deep", &kKind, Lane::kRequests, kSchemas, ask_once, read_number, wished};

class SchedulerTest : public testing::Test {
 protected:
  void add(const std::string& name, std::vector<const Collector*> collectors = {&kMain}) {
    TargetOptions options;
    options.name = name;
    options.interval = seconds(5);
    scheduler.add(TargetSpec{options, &kKind, std::move(collectors), std::make_unique<State>()});
  }

  // Lets time pass in steps, running what is due; answers nothing.
  void pass(Duration duration) {
    const Instant end = now_.steady + duration;
    while (now_.steady < end) {
      const Instant next = std::max(std::min(end, wanted_), now_.steady + milliseconds(1));
      advance(next - now_.steady);
      scheduler.run_due();
    }
  }
  void advance(Duration duration) {
    now_.steady += duration;
    now_.wall += duration;
    wanted_ = Instant::max();
  }
  // Answers the oldest open ask.
  void answer(Reply reply = Answer{"1", {}}) {
    ASSERT_FALSE(asker.open.empty());
    const auto on_reply = asker.open.begin()->second.on_reply;
    asker.open.erase(asker.open.begin());
    on_reply(std::move(reply));
    scheduler.run_due();
    pass(milliseconds(15));
  }
  void fail(Reason reason = Reason::kRefused) { answer(Error{reason, "no", {}}); }

  const TargetView& view(size_t i = 0) {
    last_ = board.read();
    return *last_->targets.at(i);
  }
  bool shown() { return view().collectors[0].output != nullptr; }

  FakeAsker asker;
  SnapshotBoard board;
  Moment now_{Instant(std::chrono::hours(1)), WallTime(seconds(1795352000))};
  Instant wanted_ = Instant::max();
  Scheduler scheduler{
      asker,
      board,
      {[this] { return now_; }, [this](Instant when) { wanted_ = std::min(wanted_, when); }}};
  std::shared_ptr<const Snapshot> last_;
};

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
