// SPDX-License-Identifier: Apache-2.0
// What the scheduler keeps of each target, lane and collector. For its own files only.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "scrape/scheduler.h"

namespace lagwatch {

// One collector within a round of its lane.
struct Scheduler::Run {
  const Collector* collector = nullptr;
  CollectorView view;
  std::vector<AskId> asked;
  std::vector<std::optional<Reply>> replies;
  size_t pending = 0;
  bool finished = true;
  std::unique_ptr<Output> output;
  std::optional<Error> error;  // of the last exchange
  std::string said_limits;     // what of its limits was logged
};

struct Scheduler::LaneState {
  Lane lane = Lane::kMain;
  std::vector<Run> runs;
  bool running = false;
  uint64_t round = 0;  // of the running or last round
  Instant started{};
  Instant deadline{};
  Instant due{};
  std::optional<Instant> ended;
  unsigned failures = 0;  // rounds in a row
  RecentDurations recent;
};

struct Scheduler::Target {
  size_t index = 0;
  TargetSpec spec;
  std::shared_ptr<const TargetInfo> info;
  std::vector<LaneState> lanes;
  Duration interval = kDefaultInterval;
  std::shared_ptr<const TargetView> view;  // null: changed since it was made
  std::array<uint64_t, kReasonCount> failures{};
  uint64_t series_dropped = 0;
  std::optional<Instant> down_since;
};

struct Scheduler::Waiter {
  std::vector<std::pair<size_t, uint64_t>> rounds;  // target, round of its main lane
  Instant until;
  std::function<void()> done;
};

}  // namespace lagwatch
