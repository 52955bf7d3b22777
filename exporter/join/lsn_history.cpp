// SPDX-License-Identifier: Apache-2.0
#include "join/lsn_history.h"

#include <algorithm>

namespace lagwatch {
namespace {

constexpr Duration kFullFor = std::chrono::hours(1);
constexpr Duration kKeptFor = std::chrono::hours(24);
constexpr Duration kThinStep = std::chrono::minutes(1);

}  // namespace

void LsnHistory::add(Instant at, Lsn lsn) {
  if (!samples_.empty()) {
    if (at <= seen_at_) return;
    if (lsn < samples_.back().lsn) samples_.clear();
  }
  seen_at_ = at;
  if (samples_.empty() || lsn > samples_.back().lsn) samples_.push_back({at, lsn});
  if (at - thinned_at_ >= kThinStep) thin(at);
}

std::optional<LsnHistory::Lag> LsnHistory::lag(Lsn lsn, Instant at) const {
  if (samples_.empty()) return std::nullopt;
  const auto first_behind =
      std::upper_bound(samples_.begin(), samples_.end(), lsn,
                       [](Lsn wanted, const Sample& sample) { return wanted < sample.lsn; });
  if (first_behind == samples_.end()) return Lag{};
  return Lag{std::max(at - first_behind->at, Duration::zero()), first_behind == samples_.begin()};
}

// Older than an hour: the first sample of each minute. Older than a day: only the last such, so
// that a position in between still has its lower end.
void LsnHistory::thin(Instant now) {
  thinned_at_ = now;
  while (samples_.size() > 1 && now - samples_[1].at > kKeptFor) samples_.pop_front();
  std::optional<int64_t> minute;
  std::erase_if(samples_, [&](const Sample& sample) {
    if (now - sample.at <= kFullFor) return false;
    const int64_t own = sample.at.time_since_epoch() / kThinStep;
    const bool first = minute != own;
    minute = own;
    return !first;
  });
}

}  // namespace lagwatch
