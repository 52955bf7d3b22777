// SPDX-License-Identifier: Apache-2.0
// What lagwatch says of itself as a process: memory, descriptors, CPU, its loop, its HTTP server.
#pragma once

#include <prometheus/histogram.h>
#include <prometheus/metric_family.h>
#include <prometheus/registry.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "expose/http_stats.h"

namespace lagwatch {

class ProcessMetrics {
 public:
  // `stats` may be null, where nothing is served.
  ProcessMetrics(std::string version, std::shared_ptr<const HttpStats> stats);

  // From the loop: a turn kept everything else waiting this long.
  void observe_turn(Duration busy);
  // From the loop: file reads that hang now.
  void set_stuck_threads(uint64_t count) { stuck_threads_ = count; }

  // From any thread.
  std::vector<prometheus::MetricFamily> families() const;

 private:
  std::string version_;
  std::shared_ptr<const HttpStats> stats_;
  prometheus::Registry registry_;
  prometheus::Histogram* turns_;
  std::atomic<uint64_t> stuck_threads_{0};
};

}  // namespace lagwatch
