// SPDX-License-Identifier: Apache-2.0
// HAProxy as a process (or several): what `show info` says, when it started, how often it began
// anew.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "collector/haproxy_stat.h"
#include "model/table.h"

namespace lagwatch {

// Notices reloads and restarts, and keeps the start time steady where it must be computed from an
// age.
class UptimeTracker {
 public:
  // One collect: an InfoDump for each process, or none over HTTP, where only the rows can tell.
  // True if HAProxy began anew since the last one.
  bool observe(std::span<const InfoDump> infos, const StatDump& stat, const Moment& now);

  // Of the process that has run longest; over HTTP a bound, it started then or earlier.
  WallTime start_time() const;
  // Since lagwatch began to watch.
  uint64_t reloads() const { return reloads_; }

 private:
  struct Process {
    std::string pid;
    WallTime start;
    double uptime = 0;  // seconds, as last said
  };
  // What the rows say of a process that does not say anything itself.
  struct Evidence {
    double counters = 0;       // sum of those that only grow
    double failures = 0;       // transitions to DOWN and seconds DOWN
    double longest_state = 0;  // seconds; the process has run at least that long
  };

  bool observe_processes(std::span<const InfoDump> infos, const Moment& now);
  bool observe_rows(const StatDump& stat, const Moment& now);

  std::vector<Process> processes_;
  Evidence evidence_;
  Instant observed_at_{};
  uint64_t reloads_ = 0;
};

// Fills row 0 of `process` (of kProcessSchema). Several processes are summed; what cannot be summed
// (threads, percent idle, uptime) is that of one, or the least. `sockets` stands for nbproc where
// HAProxy does not say.
void write_info(Table& process, std::span<const InfoDump> infos, size_t sockets);

}  // namespace lagwatch
