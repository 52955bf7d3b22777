// SPDX-License-Identifier: Apache-2.0
#include "scrape/scheduler.h"

#include <algorithm>
#include <string>
#include <utility>

#include "scrape/scheduler_parts.h"

namespace lagwatch {
namespace {

constexpr Duration kHeartbeat = std::chrono::seconds(1);

// The longest wait that a lane's collectors wish for.
Duration wished_wait(const std::vector<const Collector*>& collectors, Lane lane,
                     const State& state) {
  Duration wished{};
  for (const Collector* collector : collectors) {
    if (collector->lane == lane && collector->least_wait != nullptr)
      wished = std::max(wished, collector->least_wait(state));
  }
  return wished;
}

}  // namespace

Scheduler::Scheduler(Asker& asker, SnapshotBoard& board, Hooks hooks)
    : asker_(asker), board_(board), hooks_(std::move(hooks)) {}

Scheduler::~Scheduler() {
  for (const auto& target : targets_) {
    for (LaneState& lane : target->lanes) cancel(lane);
  }
}

void Scheduler::add(TargetSpec spec) {
  auto target = std::make_unique<Target>();
  target->index = targets_.size();
  target->info = std::make_shared<const TargetInfo>(
      TargetInfo{spec.kind, spec.options.name, label_block(spec.options)});
  target->interval = spec.options.interval.value_or(kDefaultInterval);
  const Moment now = hooks_.clock();
  for (const Collector* collector : spec.collectors) {
    auto lane = std::find_if(target->lanes.begin(), target->lanes.end(),
                             [&](const LaneState& l) { return l.lane == collector->lane; });
    if (lane == target->lanes.end()) {
      lane = target->lanes.emplace(target->lanes.end());
      lane->lane = collector->lane;
      lane->due = now.steady;
    }
    Run& run = lane->runs.emplace_back();
    run.collector = collector;
    run.view.name = collector->name;
  }
  target->spec = std::move(spec);
  targets_.push_back(std::move(target));
  changed(*targets_.back());
  arm();
}

void Scheduler::start(Target& target, LaneState& lane) {
  const Moment now = hooks_.clock();
  lane.running = true;
  lane.round = next_round_++;
  lane.started = now.steady;
  lane.deadline = now.steady + target.spec.options.timeout;
  for (Run& run : lane.runs) {
    run.finished = false;
    run.pending = 0;
    run.output = std::make_unique<Output>(target.info->label_block);
  }
  const uint64_t round = lane.round;
  for (Run& run : lane.runs) {
    issue(target, lane, run, run.collector->begin(*target.spec.state));
    if (!lane.running || lane.round != round) return;  // ended already
  }
}

void Scheduler::issue(Target& target, LaneState& lane, Run& run, Asks asks) {
  run.asked.clear();
  run.replies.assign(asks.size(), std::nullopt);
  run.pending = asks.size();
  if (asks.empty()) {
    advance(target, lane, run);
    return;
  }
  const auto lane_index = static_cast<size_t>(&lane - target.lanes.data());
  const auto run_index = static_cast<size_t>(&run - lane.runs.data());
  for (size_t slot = 0; slot < asks.size(); ++slot) {
    run.asked.push_back(asker_.ask(
        target.index, asks[slot], lane.deadline,
        [this, t = target.index, lane_index, run_index, round = lane.round, slot](Reply&& reply) {
          on_reply(t, lane_index, run_index, round, slot, std::move(reply));
        }));
  }
}

void Scheduler::on_reply(size_t target_index, size_t lane_index, size_t run_index, uint64_t round,
                         size_t slot, Reply reply) {
  discard_frozen_rounds(hooks_.clock());
  Target& target = *targets_[target_index];
  LaneState& lane = target.lanes[lane_index];
  if (!lane.running || lane.round != round) return;
  Run& run = lane.runs[run_index];
  run.replies[slot] = std::move(reply);
  if (--run.pending == 0) advance(target, lane, run);
  arm();
}

void Scheduler::advance(Target& target, LaneState& lane, Run& run) {
  std::vector<Reply> replies;
  replies.reserve(run.replies.size());
  for (std::optional<Reply>& reply : run.replies) replies.push_back(std::move(*reply));
  run.replies.clear();
  Step step = run.collector->read(*target.spec.state, replies, hooks_.clock(), *run.output);
  if (More* more = std::get_if<More>(&step)) {
    if (hooks_.clock().steady < lane.deadline) {
      issue(target, lane, run, std::move(more->asks));
    } else {
      finish_run(target, lane, run,
                 Error{Reason::kStalled, "out of time between two questions", {}});
    }
  } else if (Error* error = std::get_if<Error>(&step)) {
    finish_run(target, lane, run, std::move(*error));
  } else {
    finish_run(target, lane, run, std::nullopt);
  }
}

void Scheduler::finish_run(Target& target, LaneState& lane, Run& run, std::optional<Error> error) {
  const Moment now = hooks_.clock();
  run.finished = true;
  run.view.tried = true;
  run.view.last_duration = now.steady - lane.started;
  run.error = std::move(error);
  if (run.error) {
    run.output.reset();
  } else {
    keep(target, lane, run, now);
  }
  if (std::all_of(lane.runs.begin(), lane.runs.end(), [](const Run& r) { return r.finished; })) {
    finish_round(target, lane);
  }
}

// Makes the run's output the one that is shown.
void Scheduler::keep(Target& target, LaneState& lane, Run& run, const Moment& now) {
  for (Table& table : run.output->tables) table.shrink_to_fit();
  target.series_dropped += run.output->series_dropped;
  if (run.output->suggested_interval && !target.spec.options.interval) {
    target.interval = *run.output->suggested_interval;
  }
  run.view.output = std::move(run.output);
  run.view.good_at = now.steady;
  run.view.good_wall = now.wall;
  run.view.expires_at = now.steady + 2 * period_of(target, lane, run.view.last_duration) +
                        target.spec.options.timeout;
}

void Scheduler::finish_round(Target& target, LaneState& lane) {
  const Moment now = hooks_.clock();
  const Duration took = now.steady - lane.started;
  lane.running = false;
  lane.ended = now.steady;
  lane.recent.add(took);
  // Once a round: collectors that share a connection fail together.
  std::array<bool, kReasonCount> reasons{};
  for (const Run& run : lane.runs) {
    if (run.error) reasons[static_cast<size_t>(run.error->reason)] = true;
  }
  for (size_t i = 0; i < kReasonCount; ++i) target.failures[i] += reasons[i] ? 1 : 0;
  const auto failed = std::find_if(lane.runs.begin(), lane.runs.end(),
                                   [](const Run& run) { return run.error.has_value(); });
  if (failed == lane.runs.end()) {
    // Lanes that failed with the main one are not to wait out their backoff: the target is back.
    if (lane.lane == Lane::kMain && lane.failures > 0) {
      for (LaneState& other : target.lanes) {
        if (other.failures > 0) other.due = now.steady;
      }
    }
    lane.failures = 0;
    lane.due = std::max(now.steady, lane.started + period_of(target, lane, took));
  } else {
    ++lane.failures;
    const Duration wait = backoff(target.interval, lane.failures, failed->error->reason);
    lane.due = now.steady + wait;
    // What is still shown stays for two of the longer periods; what has gone does not come back.
    for (Run& run : lane.runs) {
      if (run.view.output && now.steady < run.view.expires_at) {
        run.view.expires_at = std::max(run.view.expires_at,
                                       run.view.good_at + 2 * wait + target.spec.options.timeout);
      }
    }
  }
  changed(target);
}

Duration Scheduler::period_of(const Target& target, const LaneState& lane, Duration took) {
  return period(lane.lane, target.interval, took,
                wished_wait(target.spec.collectors, lane.lane, *target.spec.state));
}

// What the lane's collectors wish for may have grown since their last exchange ended.
bool Scheduler::postponed(const Target& target, LaneState& lane, Instant now) {
  if (!lane.ended || lane.failures > 0) return false;
  if (wished_wait(target.spec.collectors, lane.lane, *target.spec.state) == Duration::zero())
    return false;
  lane.due = std::max(lane.due, lane.started + period_of(target, lane, {}));
  return now < lane.due;
}

void Scheduler::changed(Target& target) {
  target.view.reset();
  dirty_ = true;
}

void Scheduler::cancel(LaneState& lane) {
  for (Run& run : lane.runs) {
    for (const AskId id : run.asked) asker_.cancel(id);
    run.asked.clear();
    run.finished = true;
    run.output.reset();
  }
  lane.running = false;
}

void Scheduler::discard_frozen_rounds(const Moment& now) {
  const Duration gap = last_seen_ ? now.steady - *last_seen_ : Duration::zero();
  last_seen_ = now.steady;
  if (gap <= 2 * kHeartbeat) return;
  for (const auto& target : targets_) {
    for (LaneState& lane : target->lanes) {
      if (!lane.running || gap <= 2 * target->interval) continue;
      cancel(lane);
      lane.due = now.steady;
    }
  }
}

// A server that does not answer is asked by its main lane alone.
bool Scheduler::may_start(const Target& target, const LaneState& lane) {
  if (lane.lane == Lane::kMain || lane.lane == Lane::kProbe) return true;
  const auto main = std::find_if(target.lanes.begin(), target.lanes.end(),
                                 [](const LaneState& one) { return one.lane == Lane::kMain; });
  return main == target.lanes.end() || (main->failures == 0 && main->ended);
}

void Scheduler::run_due() {
  const Moment now = hooks_.clock();
  discard_frozen_rounds(now);
  for (const auto& target : targets_) {
    for (LaneState& lane : target->lanes) {
      if (lane.running || lane.due > now.steady || !may_start(*target, lane)) continue;
      if (!postponed(*target, lane, now.steady)) start(*target, lane);
    }
  }
  expire(now);
  // What joins conclude from a target that fails ends by itself: they look again every second.
  if (now.steady - published_at_ >= kHeartbeat && any_fails()) dirty_ = true;
  const auto ready = ready_waiters(now);
  if (dirty_ && (!ready.empty() || now.steady >= publish_due_)) publish(now);
  for (const auto& done : ready) done();
  arm();
}

bool Scheduler::any_fails() const {
  return std::any_of(targets_.begin(), targets_.end(),
                     [](const auto& target) { return target->down_since.has_value(); });
}

// Drops what is too old to be shown, so that it cannot come back.
void Scheduler::expire(const Moment& now) {
  for (const auto& target : targets_) {
    for (LaneState& lane : target->lanes) {
      for (Run& run : lane.runs) {
        if (!run.view.output || now.steady < run.view.expires_at) continue;
        run.view.output.reset();
        changed(*target);
      }
    }
  }
}

void Scheduler::refresh(std::optional<std::string_view> name, std::function<void()> done) {
  const Moment now = hooks_.clock();
  discard_frozen_rounds(now);
  Waiter waiter{{}, now.steady + kScrapeWait, std::move(done)};
  for (const auto& target : targets_) {
    if (name && *name != target->info->name) continue;
    if (target->info->kind->refresh == Refresh::kNever) continue;
    for (LaneState& lane : target->lanes) {
      if (lane.lane != Lane::kMain || lane.failures > 0) continue;
      if (!lane.running && (!lane.ended || now.steady - *lane.ended > kFresh)) start(*target, lane);
      const bool young = now.steady - lane.started < kScrapeWait;
      if (lane.running && young && lane.recent.p90() < kQuickTarget) {
        waiter.rounds.emplace_back(target->index, lane.round);
      }
    }
  }
  waiters_.push_back(std::move(waiter));
  arm();
}

bool Scheduler::must_wait(const Waiter& waiter, Instant now) const {
  const auto under_way = [&](const std::pair<size_t, uint64_t>& wanted) {
    const auto& lanes = targets_[wanted.first]->lanes;
    return std::any_of(lanes.begin(), lanes.end(), [&](const LaneState& lane) {
      return lane.running && lane.round == wanted.second;
    });
  };
  return now < waiter.until && std::any_of(waiter.rounds.begin(), waiter.rounds.end(), under_way);
}

// Those who need not wait any longer; they are told after what they waited for is published.
std::vector<std::function<void()>> Scheduler::ready_waiters(const Moment& now) {
  std::vector<std::function<void()>> ready;
  std::erase_if(waiters_, [&](Waiter& waiter) {
    const bool waits = must_wait(waiter, now.steady);
    if (!waits) ready.push_back(std::move(waiter.done));
    return !waits;
  });
  return ready;
}

Instant Scheduler::next_due() const {
  const Instant now = hooks_.clock().steady;
  Instant due = now + kHeartbeat;
  if (dirty_) due = std::min(due, publish_due_);
  for (const auto& target : targets_) {
    for (const LaneState& lane : target->lanes) {
      if (!lane.running && may_start(*target, lane)) due = std::min(due, lane.due);
    }
  }
  for (const Waiter& waiter : waiters_)
    due = std::min(due, must_wait(waiter, now) ? waiter.until : now);
  return due;
}

void Scheduler::arm() { hooks_.wake(next_due()); }

}  // namespace lagwatch
