// SPDX-License-Identifier: Apache-2.0
#include "collector/passenger_pool_tables.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

namespace lagwatch {
namespace {

constexpr double kKilobyte = 1024;
constexpr size_t kMaxGroups = 200;

constexpr std::string_view kInstanceStateNames[] = {"live", "draining", "hung", "stale", "denied"};
constexpr Column kInstanceColumns[] = {
    {.name = "passenger_instances",
     .source = "the instance registry",
     .help =
         "Instances of Passenger (one a start of the web server): draining finish their "
         "requests after a reload or stop, hung accept and do not answer, stale are directories "
         "left behind, denied do not let lagwatch in.",
     .label = "state",
     .values = kInstanceStateNames,
     .expand = Expand::kEach},
};
constexpr Schema kInstanceSchema{{}, kInstanceColumns};

constexpr std::string_view kVersion[] = {"version"};
constexpr Column kVersionColumns[] = {
    gauge("passenger_version", "passenger_version", "1; the version of Passenger."),
};
constexpr Schema kVersionSchema{kVersion, kVersionColumns};

enum PoolColumn : size_t { kTopQueue, kMax, kCurrent, kApps, kCapacity };
constexpr Column kPoolColumns[] = {
    gauge(
        "passenger_top_level_queue", "get_wait_list_size",
        "Requests that wait because the pool is full and their application has no process at all; "
        "no queue limit holds for them."),
    gauge("passenger_max_processes", "max", "PassengerMaxPoolSize."),
    gauge("passenger_current_processes", "process_count",
          "Processes in the pool; without those that are being spawned or are shutting down."),
    gauge("passenger_app_count", "supergroups",
          "Application groups in the pool; one comes into it with its first request."),
    gauge("passenger_capacity_used", "capacity_used",
          "Processes in the pool and those that are being spawned."),
};
constexpr Schema kPoolSchema{{}, kPoolColumns};

constexpr Column kCoreColumns[] = {
    counter(
        "passenger_core_restarts_total", "core.pid",
        "Cores that died and were started anew by their watchdog, since lagwatch began to watch; "
        "each takes the requests it had with it."),
};
constexpr Schema kCoreSchema{{}, kCoreColumns};

constexpr std::string_view kQueueLabels[] = {"group", "default"};
constexpr Column kQueueColumns[] = {
    gauge("passenger_app_group_queue", "group/get_wait_list_size",
          "Requests that wait for a process of this application group."),
};
constexpr Schema kQueueSchema{kQueueLabels, kQueueColumns};

constexpr std::string_view kName[] = {"name"};
constexpr Column kSpawningColumns[] = {
    gauge("passenger_app_procs_spawning", "processes_being_spawned", "Processes being spawned."),
};
constexpr Schema kSpawningSchema{kName, kSpawningColumns};
constexpr Column kProcessedColumns[] = {
    counter("passenger_requests_processed_total", "processed",
            "Requests finished, processes that have exited included."),
};
constexpr Schema kProcessedSchema{kName, kProcessedColumns};

constexpr std::string_view kEnabled[] = {"enabled", "disabling", "disabled", "detached"};
constexpr std::string_view kMemory[] = {"rss", "pss", "private_dirty", "swap", "real"};
enum GroupColumn : size_t { kLimit, kProcesses, kBusy, kSessions, kOldest, kBytes, kCpu };
constexpr std::string_view kGroup[] = {"group"};
constexpr Column kGroupColumns[] = {
    gauge("passenger_app_group_queue_limit", "max_request_queue_size",
          "PassengerMaxRequestQueueSize: beyond it requests are answered 503 at once; absent where "
          "there is no limit."),
    {.name = "passenger_app_group_processes",
     .source = "enabled_process_count and the like, enabled",
     .help = "Processes; detached ones finish what they do and exit.",
     .label = "state",
     .values = kEnabled,
     .expand = Expand::kEach},
    gauge("passenger_app_group_busy_processes", "sessions, concurrency",
          "Enabled processes that can take no further request."),
    gauge("passenger_app_group_sessions", "sessions",
          "Requests that processes work on, detached ones included."),
    gauge("passenger_app_group_oldest_running_seconds", "last_used",
          "Age of the request that has been worked on longest; 0 where none is; absent where a "
          "process takes several at once."),
    {.name = "passenger_app_group_memory_bytes",
     .source = "rss, pss, private_dirty, swap, real_memory",
     .help = "Memory of all its processes; real is private_dirty and swap, what would be free "
             "without them.",
     .scale = kKilobyte,
     .label = "kind",
     .values = kMemory,
     .expand = Expand::kEach},
    gauge("passenger_app_group_cpu_percent", "cpu",
          "CPU use of all its processes, percent of one CPU."),
};
constexpr Schema kGroupSchema{kGroup, kGroupColumns};

enum ProcessColumn : size_t { kProcessSessions, kStarted, kProcessMemory };
constexpr std::string_view kProcessLabels[] = {"name", "id"};
constexpr Column kProcessColumns[] = {
    gauge("passenger_current_sessions", "sessions",
          "Requests that the process works on; `id` is a small number that the next process takes "
          "over."),
    gauge("passenger_proc_start_time_seconds", "spawn_end_time",
          "When the process was spawned, Unix time."),
    gauge("passenger_proc_memory", "real_memory",
          "Private memory of the process and what of it is swapped out, KiB."),
};
constexpr Schema kProcessSchema{kProcessLabels, kProcessColumns};

double value_or_absent(const std::optional<double>& value) { return value.value_or(kAbsent); }

// Absent as soon as one is.
template <typename Items, typename Get>
std::optional<double> sum(const Items& items, Get get) {
  double total = 0;
  for (const auto& item : items) {
    const std::optional<double> one = get(item);
    if (!one) return std::nullopt;
    total += *one;
  }
  return total;
}

bool is_busy(const PoolProcess& process) {
  const double concurrency = process.concurrency.value_or(0);
  return process.enabled == "ENABLED" && concurrency > 0 &&
         process.sessions.value_or(0) >= concurrency;
}

// A process that takes one request at a time was used last when that request began.
double oldest_running(const PoolGroup& group, const Moment& now) {
  double oldest = 0;
  for (const PoolProcess& process : group.processes) {
    if (!process.sessions) return kAbsent;
    if (*process.sessions == 0) continue;
    if (process.concurrency != 1.0 || !process.last_used) return kAbsent;
    oldest = std::max(oldest, unix_seconds(now.wall) - *process.last_used);
  }
  return oldest;
}

// The tables that have rows by group.
class GroupTables {
 public:
  GroupTables(PassengerState& state, const Moment& now, Output& out)
      : state_(state),
        now_(now),
        queue_(out.table(kQueueSchema)),
        spawning_(out.table(kSpawningSchema)),
        group_(out.table(kGroupSchema)) {}

  void write(const PoolGroup& group) {
    const std::string_view queue_labels[] = {group.name, group.is_default ? "true" : "false"};
    queue_.set(queue_.add_row(queue_labels), 0, value_or_absent(group.queue));
    const std::string_view name[] = {group.name};
    spawning_.set(spawning_.add_row(name), 0, value_or_absent(group.spawning));

    const size_t row = group_.add_row(name);
    group_.set(row, kLimit, limit_of(group.name));
    write_processes(row, group);
    const auto& processes = group.processes;
    group_.set(row, kBusy,
               static_cast<double>(std::count_if(processes.begin(), processes.end(), is_busy)));
    group_.set(row, kSessions,
               value_or_absent(sum(processes, [](const auto& one) { return one.sessions; })));
    group_.set(row, kOldest, oldest_running(group, now_));
    // A process is measured some seconds after it was spawned: until then the sum is not known.
    const std::optional<double> memory[] = {
        sum(processes, [](const auto& one) { return one.rss; }),
        sum(processes, [](const auto& one) { return one.pss; }),
        sum(processes, [](const auto& one) { return one.private_dirty; }),
        sum(processes, [](const auto& one) { return one.swap; }),
        sum(processes, [](const auto& one) { return one.real_memory; })};
    for (size_t i = 0; i < std::size(memory); ++i)
      group_.set(row, kBytes, value_or_absent(memory[i]), i);
    group_.set(row, kCpu, value_or_absent(sum(processes, [](const auto& one) { return one.cpu; })));
  }

 private:
  void write_processes(size_t row, const PoolGroup& group) {
    group_.set(row, kProcesses, value_or_absent(group.enabled), 0);
    group_.set(row, kProcesses, value_or_absent(group.disabling), 1);
    group_.set(row, kProcesses, value_or_absent(group.disabled), 2);
    group_.set(row, kProcesses,
               static_cast<double>(
                   std::count_if(group.processes.begin(), group.processes.end(),
                                 [](const auto& one) { return one.enabled == "DETACHED"; })),
               3);
  }

  double limit_of(const std::string& group) const {
    const auto known = state_.limits.by_group.find(group);
    const std::optional<double> limit =
        known != state_.limits.by_group.end() ? known->second : state_.limits.by_default;
    return limit && *limit > 0 ? *limit : kAbsent;
  }

  PassengerState& state_;
  const Moment now_;
  Table& queue_;
  Table& spawning_;
  Table& group_;
};

using Groups = std::vector<const PoolGroup*>;

// Those of all pools, each once.
Groups distinct_groups(std::span<const Pool> pools, Output& out) {
  Groups groups;
  std::set<std::string_view> known;
  for (const Pool& pool : pools) {
    for (const PoolGroup& group : pool.groups) {
      if (group.name.empty() || !known.insert(group.name).second) continue;
      if (groups.size() < kMaxGroups) {
        groups.push_back(&group);
      } else {
        ++out.series_dropped;
      }
    }
  }
  return groups;
}

void write_sums(PassengerState& state, std::span<const Pool> pools, bool complete, Output& out) {
  const auto total = [&](std::optional<double> Pool::*member) {
    return complete ? sum(pools, [&](const Pool& pool) { return pool.*member; }) : std::nullopt;
  };
  state.max_processes = total(&Pool::max);
  if (!complete) return;
  Table& table = out.table(kPoolSchema);
  table.add_row();
  table.set(0, kTopQueue, value_or_absent(total(&Pool::queue)));
  table.set(0, kMax, value_or_absent(state.max_processes));
  table.set(0, kCurrent, value_or_absent(total(&Pool::process_count)));
  table.set(0, kApps, static_cast<double>(state.groups.size()));
  table.set(0, kCapacity, value_or_absent(total(&Pool::capacity_used)));
}

// What other collectors, and the next exchange, want to know.
void remember(PassengerState& state, const Groups& groups, std::span<const Pool> pools,
              Instant now) {
  state.groups.clear();
  state.group_of.clear();
  state.in_pool = 0;
  for (const Pool& pool : pools) state.in_pool += pool.queue.value_or(0);
  state.queued_without_group = state.in_pool > 0;
  for (const PoolGroup* group : groups) {
    state.groups.push_back(group->name);
    state.in_pool += group->queue.value_or(0);
    for (const PoolProcess& process : group->processes) {
      state.in_pool += process.sessions.value_or(0);
      if (process.gupid.empty()) continue;
      state.group_of[process.gupid] = group->name;
      if (process.processed)
        state.processed.observe(process.gupid, group->name, *process.processed, now);
    }
  }
  state.processed.expire(now);
  state.hosts.keep(state.groups);
}

void write_each_process(PassengerState& state, const Groups& groups, Output& out) {
  std::set<std::pair<std::string, std::string>> living;
  for (const PoolGroup* group : groups) {
    for (const PoolProcess& process : group->processes) living.emplace(group->name, process.gupid);
  }
  state.slots.assign(living);
  if (living.size() > state.options.max_processes) {
    out.series_dropped += living.size() * std::size(kProcessColumns);
    return;
  }
  Table& table = out.table(kProcessSchema);
  std::set<std::pair<std::string, std::string>> written;
  for (const PoolGroup* group : groups) {
    for (const PoolProcess& process : group->processes) {
      if (!written.emplace(group->name, process.gupid).second) continue;
      const std::string id = std::to_string(state.slots.slot(group->name, process.gupid));
      const std::string_view labels[] = {group->name, id};
      const size_t row = table.add_row(labels);
      table.set(row, kProcessSessions, value_or_absent(process.sessions));
      table.set(row, kStarted, value_or_absent(process.spawned));
      table.set(row, kProcessMemory, value_or_absent(process.real_memory));
    }
  }
}

}  // namespace

std::vector<const Schema*> pool_schemas() {
  return {&kInstanceSchema, &kVersionSchema,  &kPoolSchema,      &kCoreSchema,   &kQueueSchema,
          &kGroupSchema,    &kSpawningSchema, &kProcessedSchema, &kProcessSchema};
}

void write_pools(PassengerState& state, std::span<const Pool> pools, bool complete,
                 const Moment& now, Output& out) {
  // References to tables must hold while others are made.
  out.tables.reserve(out.tables.size() + pool_schemas().size());
  const Groups groups = distinct_groups(pools, out);
  remember(state, groups, pools, now.steady);
  std::set<std::string_view> versions;
  Table& version = out.table(kVersionSchema);
  for (const Pool& pool : pools) {
    if (pool.version.empty() || !versions.insert(pool.version).second) continue;
    const std::string_view labels[] = {pool.version};
    version.set(version.add_row(labels), 0, 1);
  }
  write_sums(state, pools, complete, out);
  Table& core = out.table(kCoreSchema);
  core.set(core.add_row(), 0, state.restarts.count());
  GroupTables tables(state, now, out);
  for (const PoolGroup* group : groups) tables.write(*group);
  Table& processed = out.table(kProcessedSchema);
  for (const auto& [group, total] : state.processed.totals()) {
    const std::string_view labels[] = {group};
    processed.set(processed.add_row(labels), 0, total.requests);
  }
  write_each_process(state, groups, out);
}

void write_instances(const std::array<size_t, kInstanceStates>& counts, Output& out) {
  Table& table = out.table(kInstanceSchema);
  table.add_row();
  for (size_t i = 0; i < counts.size(); ++i) table.set(0, 0, static_cast<double>(counts[i]), i);
}

}  // namespace lagwatch
