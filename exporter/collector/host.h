// SPDX-License-Identifier: Apache-2.0
// The host's options and the State its collector keeps.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "collector/collector.h"

namespace lagwatch {

struct HostOptions {
  bool enabled = true;

  // Paths whose file systems are watched, beside "/". The paths that targets use are added by
  // cli/run.
  std::vector<std::string> paths;

  // Where /proc is; another one in tests.
  std::string proc = "/proc";
};

std::unique_ptr<State> make_host_state(HostOptions options);

extern const Kind kHostKind;

}  // namespace lagwatch
