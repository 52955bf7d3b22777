// SPDX-License-Identifier: Apache-2.0
// What the HTTP server answers: /metrics, /probe, /sd, the landing page, health.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "expose/catalog.h"
#include "expose/process.h"
#include "model/http.h"
#include "model/snapshot.h"

namespace lagwatch {

struct HandlerContext {
  const Catalog* catalog;  // all three outlive the server
  const SnapshotBoard* board;
  const ProcessMetrics* process;
  std::string version;
  // Asks stale targets again (all, or the one named) and calls `done` when it is worth answering.
  // Any thread.
  std::function<void(std::optional<std::string> target, std::function<void()> done)> refresh;
};

std::vector<HttpRoute> routes(const HandlerContext& context);

}  // namespace lagwatch
