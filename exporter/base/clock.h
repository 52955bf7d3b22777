// SPDX-License-Identifier: Apache-2.0
// Time as values: code that decides takes a Moment, so tests choose it; only the edges read a
// clock.
#pragma once

#include <chrono>

namespace lagwatch {

using Duration = std::chrono::nanoseconds;
// On the agent's monotonic clock: for ages, periods and deadlines.
using Instant = std::chrono::time_point<std::chrono::steady_clock, Duration>;
// An absolute point by which something must have happened. Waits take this, never a duration.
using Deadline = Instant;
// On the wall clock: for timestamps that leave the process.
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;

// One reading of both clocks.
struct Moment {
  Instant steady;
  WallTime wall;
};

inline Moment now() { return {std::chrono::steady_clock::now(), std::chrono::system_clock::now()}; }

inline double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }
inline double unix_seconds(WallTime t) { return seconds(t.time_since_epoch()); }
inline Duration from_seconds(double s) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(s));
}

}  // namespace lagwatch
