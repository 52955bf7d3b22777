// SPDX-License-Identifier: Apache-2.0
// What a collector is: declarations and two pure functions. It opens nothing, reads no clock and
// logs nothing; scrape/scheduler asks what it wants asked, times it, and hands it the replies.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <variant>

#include "base/clock.h"
#include "base/result.h"
#include "client/ask.h"
#include "client/reply.h"
#include "model/snapshot.h"

namespace lagwatch {

// What a target's collectors remember from one exchange to the next, and what the operator
// configured. One object a target, shared by its collectors, used on the loop thread only.
class State {
 public:
  virtual ~State() = default;
};

// How often a collector is asked. Main and probes keep the target's interval. The others are
// dearer: each is a lane of its own that waits at least 100 times what its last success took,
// begins only when the main lane is well, and is not waited for by scrapes.
enum class Lane {
  kMain,
  kProbe,      // asked whatever the main lane does: that it fails is what it measures
  kRequests,   // the interval at best: what is in flight now
  kBasics,     // 15 s at the default interval of 5 s
  kDirectory,  // likewise: listings that may be long
  kDetail,     // 30 s: what is many and tells little of this minute
  kSettings,   // 5 min at the default interval: what hardly changes
};

struct Done {};
struct More {
  Asks asks;
};
using Step = std::variant<Done, More, Error>;

struct Collector {
  std::string_view name;
  const Kind* kind;
  Lane lane;
  std::span<const Schema* const> schemas;
  // The first asks of an exchange; they run side by side. May be empty: then read() is called at
  // once.
  Asks (*begin)(State& state);
  // All replies to the last asks, in their order. Fills `out`, or asks more, or fails.
  Step (*read)(State& state, std::span<Reply> replies, const Moment& now, Output& out);
  // How long at least from one exchange's start to the next, as the State knows it now: for answers
  // whose cost to the target is known beforehand. At most three times the lane's interval counts.
  Duration (*least_wait)(const State& state) = nullptr;
};

// THE list (registry.cpp): every collector, in the order of their families in the exposition.
std::span<const Collector* const> collectors();

}  // namespace lagwatch
