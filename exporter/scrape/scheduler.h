// SPDX-License-Identifier: Apache-2.0
// Drives the collectors: when to ask, within which deadline, what a failure means for the next
// time, what is shown.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "client/asker.h"
#include "collector/collector.h"
#include "join/join.h"
#include "model/snapshot.h"
#include "scrape/options.h"
#include "scrape/pace.h"

namespace lagwatch {

// One target, ready to be watched.
struct TargetSpec {
  TargetOptions options;
  const Kind* kind = nullptr;
  std::vector<const Collector*> collectors;
  std::unique_ptr<State> state;
};

// How long a scrape waits for fresh samples, and which targets are quick enough to be waited for.
inline constexpr Duration kScrapeWait = std::chrono::milliseconds(100);
inline constexpr Duration kQuickTarget = std::chrono::milliseconds(50);
inline constexpr Duration kFresh = std::chrono::seconds(1);

// Lives on the loop thread. Knows no loop and no clock of its own: both are given, so that tests
// choose the time.
class Scheduler {
 public:
  struct Hooks {
    std::function<Moment()> clock;
    // run_due() is wanted at `when`; only the earliest wish matters.
    std::function<void(Instant when)> wake;
  };

  // `asker` and `board` outlive the scheduler.
  Scheduler(Asker& asker, SnapshotBoard& board, Hooks hooks);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Starts watching; first asked at the next run_due().
  void add(TargetSpec spec);

  // Starts what is due, publishes what changed, tells those who wait.
  void run_due();

  // Asks main lanes again whose samples are older than kFresh (all targets, or the one named) and
  // calls `done` when the quick ones have answered or kScrapeWait is over; at once where there is
  // nothing to wait for.
  void refresh(std::optional<std::string_view> target, std::function<void()> done);

  // What joins remember: filled before the first run_due(), kept by whoever keeps it.
  JoinMemory& memory() { return memory_; }

 private:
  struct Run;
  struct LaneState;
  struct Target;
  struct Waiter;

  void start(Target& target, LaneState& lane);
  void issue(Target& target, LaneState& lane, Run& run, Asks asks);
  void on_reply(size_t target, size_t lane, size_t run, uint64_t round, size_t slot, Reply reply);
  void advance(Target& target, LaneState& lane, Run& run);
  void finish_run(Target& target, LaneState& lane, Run& run, std::optional<Error> error);
  void finish_round(Target& target, LaneState& lane);
  void keep(Target& target, LaneState& lane, Run& run, const Moment& now);
  void discard_frozen_rounds(const Moment& now);
  void cancel(LaneState& lane);
  void changed(Target& target);
  bool any_fails() const;
  void expire(const Moment& now);
  void publish(const Moment& now);
  std::shared_ptr<const TargetView> make_view(const Target& target) const;
  static Duration period_of(const Target& target, const LaneState& lane, Duration took);
  static bool postponed(const Target& target, LaneState& lane, Instant now);
  static bool may_start(const Target& target, const LaneState& lane);
  static void log_limits(Target& target);
  static void log_change(Target& target, const TargetView& view, Instant at);
  bool must_wait(const Waiter& waiter, Instant now) const;
  std::vector<std::function<void()>> ready_waiters(const Moment& now);
  Instant next_due() const;
  void arm();

  Asker& asker_;
  SnapshotBoard& board_;
  Hooks hooks_;
  std::vector<std::unique_ptr<Target>> targets_;
  std::vector<Waiter> waiters_;
  JoinMemory memory_;
  uint64_t next_round_ = 1;
  std::optional<Instant> last_seen_;  // when this was last called: a gap is a frozen machine
  bool dirty_ = false;                // something changed since the last snapshot
  Instant publish_due_{};             // not before, unless somebody waits
  Instant published_at_{};
};

}  // namespace lagwatch
