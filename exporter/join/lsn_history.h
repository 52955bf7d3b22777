// SPDX-License-Identifier: Apache-2.0
// When a WAL position was reached, on the agent's own clock: the only measure of lag in seconds
// that needs no second clock, no writes and no commits.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "base/clock.h"
#include "model/postgres_facts.h"

namespace lagwatch {

// Positions of one server on one timeline. Times and positions both ascend. Every change is kept
// for an hour, one a minute for a day: about 2,200 samples of 16 bytes.
class LsnHistory {
 public:
  struct Sample {
    Instant at{};
    Lsn lsn = 0;
  };
  struct Lag {
    Duration value{};
    // The history begins after the position: it is at least so much, and more than nothing.
    bool lower_bound = false;

    // Behind, and nobody knows yet for how long.
    bool says_nothing() const { return lower_bound && value == Duration::zero(); }
  };

  // The server was seen at `lsn`. One that went back (restored, another server) begins anew; a
  // moment that is not newer is ignored.
  void add(Instant at, Lsn lsn);

  // How long, at `at`, the first byte behind `lsn` had been written; zero if none had been. Nothing
  // without samples.
  std::optional<Lag> lag(Lsn lsn, Instant at) const;

  // Whether the server was seen at `lsn` or before it, so that what came after it is known.
  bool reaches_back_to(Lsn lsn) const { return !samples_.empty() && samples_.front().lsn <= lsn; }
  bool empty() const { return samples_.empty(); }
  Lsn oldest() const { return samples_.front().lsn; }
  Lsn newest() const { return samples_.back().lsn; }
  // When the newest position was first seen.
  Instant moved_at() const { return samples_.back().at; }
  // When the server was last seen, moved on or not.
  Instant seen_at() const { return seen_at_; }

  const std::deque<Sample>& samples() const { return samples_; }

 private:
  void thin(Instant now);

  std::deque<Sample> samples_;  // each the first sight of its position
  Instant seen_at_{};
  Instant thinned_at_{};
};

}  // namespace lagwatch
