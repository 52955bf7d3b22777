// SPDX-License-Identifier: Apache-2.0
#include "scrape/pace.h"

#include <algorithm>

namespace lagwatch {

Duration backoff(Duration interval, unsigned failures, Reason last) {
  if (last == Reason::kAuth) return kAuthBackoff;
  Duration wait = interval;
  for (unsigned i = 1; i < failures && wait < kMaxBackoff; ++i) wait *= 2;
  return std::min(wait, kMaxBackoff);
}

Duration lane_interval(Lane lane, Duration interval) {
  switch (lane) {
    case Lane::kMain:
    case Lane::kProbe:
    case Lane::kRequests:
      break;
    case Lane::kBasics:
    case Lane::kDirectory:
      return std::min(interval * 3, std::max<Duration>(interval, std::chrono::seconds(15)));
    case Lane::kDetail:
      return std::min(interval * 6, std::max<Duration>(interval, std::chrono::seconds(30)));
    case Lane::kSettings:
      return std::min(interval * 60, std::max<Duration>(interval, std::chrono::minutes(5)));
  }
  return interval;
}

Duration period(Lane lane, Duration interval, Duration took, Duration wished) {
  const Duration least = lane_interval(lane, interval);
  if (lane == Lane::kMain || lane == Lane::kProbe) return least;
  return std::max(least, std::min(std::max(took * 100, wished), least * 3));
}

Duration RecentDurations::p90() const {
  const size_t count = std::min(next_, durations_.size());
  if (count == 0) return Duration::zero();
  auto sorted = durations_;
  const auto end = sorted.begin() + static_cast<std::ptrdiff_t>(count);
  const auto nth = sorted.begin() + static_cast<std::ptrdiff_t>((count * 9 + 9) / 10 - 1);
  std::nth_element(sorted.begin(), nth, end);
  return *nth;
}

}  // namespace lagwatch
