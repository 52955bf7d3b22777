// SPDX-License-Identifier: Apache-2.0
// pool.xml, of the API of 5.0 and later and of passenger-status --show=xml: what is there of it, as
// values. What is missing or no number is absent.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace lagwatch {

struct PoolProcess {
  std::string gupid;  // one a process life
  int64_t pid = 0;
  std::string enabled;                // ENABLED, DISABLING, DISABLED, DETACHED
  std::optional<double> concurrency;  // 0: unlimited
  std::optional<double> sessions;
  std::optional<double> processed;
  std::optional<double> spawned;    // seconds since 1970
  std::optional<double> last_used;  // likewise: when its last session began
  std::optional<double> cpu;        // percent
  // KiB; absent until the first sample, and where the kernel does not say.
  std::optional<double> rss, pss, private_dirty, swap, real_memory;
};

struct PoolGroup {
  std::string name;
  bool is_default = false;
  std::optional<double> queue;
  std::optional<double> spawning;
  std::optional<double> enabled, disabling, disabled;
  std::vector<PoolProcess> processes;
};

struct Pool {
  std::string version;
  std::optional<double> queue;  // of requests whose application has no group yet
  std::optional<double> max, process_count, capacity_used;
  std::vector<PoolGroup> groups;
};

// `text` may begin with lines that are not XML: passenger-status tells so of what it tidies up.
Result<Pool> parse_pool(std::string_view text);

}  // namespace lagwatch
