// SPDX-License-Identifier: Apache-2.0
// How often a lane may ask: intervals, backoff, and what its recent rounds took.
#pragma once

#include <array>
#include <cstddef>

#include "base/clock.h"
#include "base/result.h"
#include "collector/collector.h"

namespace lagwatch {

inline constexpr Duration kDefaultInterval = std::chrono::seconds(5);
inline constexpr Duration kMaxBackoff = std::chrono::seconds(15);
inline constexpr Duration kAuthBackoff = std::chrono::seconds(60);

// How long to wait after a failure. `failures` in a row, at least 1.
Duration backoff(Duration interval, unsigned failures, Reason last);

// How often `lane` is asked at best, for a target with this interval.
Duration lane_interval(Lane lane, Duration interval);

// How long from the start of an exchange to the next, after a success that took `took`, where the
// lane's collectors wish for `wished`.
Duration period(Lane lane, Duration interval, Duration took, Duration wished = {});

// What the last 16 rounds of a lane took, well or badly ended.
class RecentDurations {
 public:
  void add(Duration duration) { durations_[next_++ % durations_.size()] = duration; }
  // Zero while there is none.
  Duration p90() const;

 private:
  std::array<Duration, 16> durations_{};
  size_t next_ = 0;
};

}  // namespace lagwatch
