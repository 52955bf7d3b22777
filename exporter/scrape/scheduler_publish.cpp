// SPDX-License-Identifier: Apache-2.0
// What the scheduler shows: views of targets, joins over them, one snapshot; and what it logs of
// them.
#include <algorithm>
#include <string>
#include <utility>

#include "base/log.h"
#include "join/join.h"
#include "scrape/scheduler_parts.h"

namespace lagwatch {
namespace {

// Snapshots are made at most this often unless somebody waits for one: a thousand targets answer
// one by one.
constexpr Duration kPublishPause = std::chrono::milliseconds(10);

}  // namespace

// Says once that a target went down or came back.
void Scheduler::log_change(Target& target, const TargetView& view, Instant at) {
  if (!view.tried || view.up == !target.down_since) return;
  const TargetInfo& info = *view.info;
  if (view.up) {
    const auto down = std::chrono::round<std::chrono::seconds>(at - *target.down_since);
    target.down_since.reset();
    log(LogLevel::kInfo, "target answers again",
        {{"target", info.name},
         {"kind", std::string(info.kind->name)},
         {"after", std::to_string(down.count()) + "s"}});
    return;
  }
  target.down_since = at;
  log(LogLevel::kWarn, "target failed",
      {{"target", info.name},
       {"kind", std::string(info.kind->name)},
       {"reason", std::string(reason_name(view.error->reason))},
       {"err", view.error->message},
       {"fix", view.error->fix}});
}

// Says once what a collector is not allowed to see.
void Scheduler::log_limits(Target& target) {
  for (LaneState& lane : target.lanes) {
    for (Run& run : lane.runs) {
      if (!run.view.output) continue;
      std::string all;
      for (const Error& limit : run.view.output->limits) all += limit.message + limit.fix;
      if (all == run.said_limits) continue;
      run.said_limits = std::move(all);
      for (const Error& limit : run.view.output->limits) {
        log(LogLevel::kWarn, "target answers in part",
            {{"target", target.info->name},
             {"collector", std::string(run.collector->name)},
             {"reason", std::string(reason_name(limit.reason))},
             {"err", limit.message},
             {"fix", limit.fix}});
      }
    }
  }
}

std::shared_ptr<const TargetView> Scheduler::make_view(const Target& target) const {
  auto view = std::make_shared<TargetView>();
  view->info = target.info;
  view->interval = target.interval;
  view->timeout = target.spec.options.timeout;
  view->tried = true;
  for (const LaneState& lane : target.lanes) {
    for (const Run& run : lane.runs) {
      view->collectors.push_back(run.view);
      if (lane.lane == Lane::kMain && !run.view.tried) view->tried = false;
      if (run.error && !view->error) view->error = run.error;
    }
  }
  view->up = view->tried && !view->error;
  view->failures = target.failures;
  view->connections_opened = asker_.connections_opened(target.index);
  view->series_dropped = target.series_dropped;
  return view;
}

void Scheduler::publish(const Moment& now) {
  dirty_ = false;
  publish_due_ = now.steady + kPublishPause;
  published_at_ = now.steady;
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->targets.reserve(targets_.size());
  for (const auto& target : targets_) {
    if (!target->view) {
      target->view = make_view(*target);
      log_change(*target, *target->view, now.steady);
      log_limits(*target);
    }
    snapshot->targets.push_back(target->view);
  }
  for (std::vector<Table>& tables : run_joins(snapshot->targets, now, memory_)) {
    snapshot->joined.push_back(
        tables.empty() ? nullptr : std::make_shared<const std::vector<Table>>(std::move(tables)));
  }
  board_.publish(std::move(snapshot));
}

}  // namespace lagwatch
