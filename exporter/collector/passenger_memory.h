// SPDX-License-Identifier: Apache-2.0
// What a Passenger target remembers between exchanges. All of it is bounded.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace lagwatch {

// Requests processed, by group: Passenger counts them by process, and forgets those that exit.
class RequestCounters {
 public:
  // What process `gupid` has processed since it was spawned.
  void observe(const std::string& gupid, const std::string& group, double processed, Instant now);
  // Forgets what has not been seen for an hour.
  void expire(Instant now);
  struct Total {
    double requests = 0;
    Instant seen{};
  };
  const std::map<std::string, Total>& totals() const { return totals_; }

 private:
  struct Process {
    double processed = 0;
    Instant seen{};
  };
  std::map<std::string, Process> processes_;
  std::map<std::string, Total> totals_;
};

// Small numbers for the processes of each group, which the next one takes over when one exits.
class ProcessSlots {
 public:
  // All that live now: {group, gupid}. Those that have gone give their number back.
  void assign(const std::set<std::pair<std::string, std::string>>& living);
  size_t slot(const std::string& group, const std::string& gupid) const;

 private:
  std::map<std::string, std::map<std::string, size_t>> slots_;  // by group and gupid
};

// Cores that were started anew under the same watchdog: the one before died.
class CoreRestarts {
 public:
  void observe(const std::string& instance, int64_t core_pid, Instant now);
  double count() const { return count_; }

 private:
  struct Core {
    int64_t pid = 0;
    Instant seen{};
  };
  std::map<std::string, Core> cores_;
  double count_ = 0;
};

// Requests begun, over cores that come and go.
class BegunCounter {
 public:
  // `begun`: since the core called `core` was started.
  void observe(const std::string& core, double begun, Instant now);
  double total() const { return total_; }

 private:
  struct Core {
    double begun = 0;
    Instant seen{};
  };
  std::map<std::string, Core> cores_;
  double total_ = 0;
};

// Which application group a Host belongs to, learned from requests that run: those that wait tell
// their host only. Hosts are what clients sent: kept here, in no metric.
class HostGroups {
 public:
  void learn(std::string_view host, std::string_view group, Instant now);
  // Nothing where it is not known, or where one host has several groups.
  std::optional<std::string> find(std::string_view host) const;
  // Forgets what belongs to other groups than these.
  void keep(std::span<const std::string> groups);

 private:
  struct Known {
    std::string group;
    bool several = false;
    Instant seen{};
  };
  std::map<std::string, Known, std::less<>> hosts_;
};

}  // namespace lagwatch
