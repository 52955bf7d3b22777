// SPDX-License-Identifier: Apache-2.0
// What the operator may say of any target, whatever its kind.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace lagwatch {

struct TargetOptions {
  std::string name;  // unique over all kinds on this agent; the label `target`

  // How often the main lane runs. Default: the kind's own (5 s; HAProxy 1 s up to 500 servers).
  std::optional<Duration> interval;

  // The whole exchange: resolve, connect, authenticate, ask, read.
  Duration timeout = std::chrono::seconds(3);

  // Constant labels of every sample of this target, `site` among them.
  std::vector<std::pair<std::string, std::string>> labels;
};

// `target` and the constant labels, rendered.
std::string label_block(const TargetOptions& options);

}  // namespace lagwatch
