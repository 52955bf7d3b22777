// SPDX-License-Identifier: Apache-2.0
// What is known now, as one immutable value. The loop thread publishes it; any thread reads it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "model/facts.h"
#include "model/inflight.h"
#include "model/table.h"

namespace lagwatch {

inline constexpr size_t kReasonCount = static_cast<size_t>(Reason::kUnsupported) + 1;

// Whether a scrape of lagwatch asks a target again whose samples are older than a second. Not other
// agents: two that read each other would ask and wait in a circle.
enum class Refresh { kByScrapes, kNever };

// The systems that are watched. `up_metric` is 1 while the last exchange succeeded, 0 once one
// failed.
struct Kind {
  std::string_view name;       // the value of the label `kind`, and the key in the configuration
  std::string_view up_metric;  // empty: lagwatch_target_up alone
  // Of that column, no labels; a second column is its opposite: 1 once an exchange failed. Null
  // without up_metric.
  const Schema* up_schema;
  Refresh refresh = Refresh::kByScrapes;
};

// What a target is; constant while it exists.
struct TargetInfo {
  const Kind* kind = nullptr;
  std::string name;
  std::string label_block;  // target="...", site and constant labels, rendered
};

// Samples of one family that were read from another agent: labels and value as they came, `agent`
// added.
struct ForeignFamily {
  std::string name;  // of a family that this agent's catalogue has
  struct Sample {
    std::string suffix;  // "_bucket", "_sum", "_count" of histograms; else empty
    std::string labels;  // rendered
    double value = 0;
  };
  std::vector<Sample> samples;
};

// What one successful exchange of one collector gave.
struct Output {
  explicit Output(std::string_view base_labels) : base(base_labels) {}

  // A new table of this schema, which the caller fills.
  Table& table(const Schema& schema) { return tables.emplace_back(schema, base); }
  void fact(Fact fact) { facts.push_back(std::move(fact)); }
  // Part of the answer was refused or could not be had: the rest stands, this is said beside it.
  void limit(Error error) { limits.push_back(std::move(error)); }

  std::string base;
  std::vector<Table> tables;
  Facts facts;
  std::vector<Error> limits;
  std::vector<ForeignFamily> foreign;
  std::vector<RemoteTarget> remote;
  // The requests in flight, where the target tells them one by one.
  std::optional<Inflight> inflight;
  uint64_t series_dropped = 0;  // left out because a cap was reached
  // The interval this target is worth at its size; used only where the configuration names none.
  std::optional<Duration> suggested_interval;
};

struct CollectorView {
  std::string_view name;
  std::shared_ptr<const Output> output;  // null: nothing known, or too old
  Instant good_at{};                     // when `output` was complete
  WallTime good_wall{};
  Instant expires_at{};      // from then on `output` must not be shown
  Duration last_duration{};  // of the last exchange, good or not
  bool tried = false;
};

struct TargetView {
  std::shared_ptr<const TargetInfo> info;
  std::vector<CollectorView> collectors;
  bool tried = false;          // every main-lane collector has finished once, well or badly
  bool up = false;             // no collector's last exchange failed
  Duration interval{};         // of its main lane
  Duration timeout{};          // of an exchange
  std::optional<Error> error;  // of the collector that fails
  std::array<uint64_t, kReasonCount> failures{};
  uint64_t connections_opened = 0;
  uint64_t series_dropped = 0;
};

struct Snapshot {
  std::vector<std::shared_ptr<const TargetView>> targets;
  // joined[i]: what join/ made for targets[i]; may be shorter than targets.
  std::vector<std::shared_ptr<const std::vector<Table>>> joined;
};

// The latest snapshot. A mutex, not atomic<shared_ptr>: that one fails TSan on g++ 12.
class SnapshotBoard {
 public:
  void publish(std::shared_ptr<const Snapshot> snapshot) {
    const std::lock_guard lock(mutex_);
    snapshot_ = std::move(snapshot);
  }
  // Never null.
  std::shared_ptr<const Snapshot> read() const {
    const std::lock_guard lock(mutex_);
    return snapshot_;
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Snapshot> snapshot_ = std::make_shared<const Snapshot>();
};

}  // namespace lagwatch
