// SPDX-License-Identifier: Apache-2.0
#include "collector/haproxy_process.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "base/text.h"
#include "collector/haproxy_columns.h"

namespace lagwatch {
namespace {

// Ages are whole seconds and answers take time: a computed start time may differ by this without
// meaning anything.
constexpr Duration kClockSlack = std::chrono::seconds(2);

std::optional<double> info_number(const InfoDump& info, std::string_view key) {
  return parse_number<double>(info.find(key));
}

// Keys that were spelt or scaled otherwise by older versions.
std::optional<double> info_value(const InfoDump& info, std::string_view key) {
  if (const auto value = info_number(info, key)) return value;
  constexpr double kMiB = 1 << 20;
  const auto megabytes = [&](std::string_view old) -> std::optional<double> {
    const auto value = info_number(info, old);
    if (!value) return std::nullopt;
    return *value * kMiB;
  };
  if (key == "Memmax_bytes") return megabytes("Memmax_MB");
  if (key == "PoolAlloc_bytes") return megabytes("PoolAlloc_MB");
  if (key == "PoolUsed_bytes") return megabytes("PoolUsed_MB");
  if (key == "TotalSplicedBytesOut")
    return info_number(info, "TotalSplicdedBytesOut");  // 2.4 to 2.7
  return std::nullopt;
}

WallTime start_of(const InfoDump& info, const Moment& now) {
  if (const auto start = info_number(info, "Start_time_sec")) return WallTime(from_seconds(*start));
  return std::chrono::round<std::chrono::seconds>(
      now.wall - from_seconds(info_number(info, "Uptime_sec").value_or(0)));
}

double merge_info(std::string_view key, double a, double b) {
  if (key == "Nbproc" || key == "Nbthread" || key == "Process_num" || key == "BusyPolling" ||
      key == "SslFrontendSessionReuse_pct") {
    return a;
  }
  if (key == "Uptime_sec" || key == "Idle_pct") return std::min(a, b);
  if (key == "Stopping") return std::max(a, b);
  return a + b;
}

}  // namespace

bool UptimeTracker::observe(std::span<const InfoDump> infos, const StatDump& stat,
                            const Moment& now) {
  const bool first = processes_.empty();
  const bool anew = infos.empty() ? observe_rows(stat, now) : observe_processes(infos, now);
  observed_at_ = now.steady;
  if (first || !anew) return false;
  ++reloads_;
  return true;
}

bool UptimeTracker::observe_processes(std::span<const InfoDump> infos, const Moment& now) {
  bool anew = processes_.size() != infos.size();
  processes_.resize(infos.size());
  for (size_t i = 0; i < infos.size(); ++i) {
    Process& known = processes_[i];
    const std::string_view pid = infos[i].find("Pid");
    const double uptime = info_number(infos[i], "Uptime_sec").value_or(0);
    // Only an uptime that went back tells a pid that was used again: both clocks may be set, and
    // HAProxy's own stands still while it is stopped.
    const bool same = known.pid == pid && uptime >= known.uptime;
    known.uptime = uptime;
    if (same) continue;
    known.pid = pid;
    known.start = start_of(infos[i], now);
    anew = true;
  }
  return anew;
}

bool UptimeTracker::observe_rows(const StatDump& stat, const Moment& now) {
  Evidence seen;
  for (size_t i = 0; i < stat.rows.size(); ++i) {
    const auto add = [&](double& sum, std::string_view name) {
      const double value = stat.number(i, stat_number(name));
      if (!std::isnan(value)) sum += value;
    };
    for (const std::string_view name : {"stot", "bin", "bout"}) add(seen.counters, name);
    for (const std::string_view name : {"chkdown", "downtime"}) add(seen.failures, name);
    const double age = stat.number(i, stat_number("lastchg"));
    if (!std::isnan(age)) seen.longest_state = std::max(seen.longest_state, age);
  }
  const WallTime start =
      std::chrono::round<std::chrono::seconds>(now.wall - from_seconds(seen.longest_state));
  const double elapsed = seconds(now.steady - observed_at_) + seconds(kClockSlack);
  // Without traffic only lastchg began anew: everywhere at once, and not because something went
  // down or came back.
  const bool ages_restarted = evidence_.longest_state > elapsed && seen.longest_state <= elapsed;
  const bool anew = processes_.empty() || seen.counters < evidence_.counters ||
                    (ages_restarted && seen.failures == 0);
  evidence_ = seen;
  if (anew) {
    processes_.assign(1, Process{{}, start});
  } else if (start < processes_.front().start - kClockSlack) {
    processes_.front().start = start;
  }
  return anew;
}

WallTime UptimeTracker::start_time() const {
  WallTime first = WallTime::max();
  for (const Process& process : processes_) first = std::min(first, process.start);
  return first;
}

void write_info(Table& process, std::span<const InfoDump> infos, size_t sockets) {
  const std::span<const Column> columns = kProcessSchema.columns;
  for (size_t c = 0; c < columns.size(); ++c) {
    std::optional<double> value;
    for (const InfoDump& info : infos) {
      const auto one = info_value(info, columns[c].source);
      if (one) value = value ? merge_info(columns[c].source, *value, *one) : *one;
    }
    if (value) process.set(0, c, *value);
  }
  const size_t nbproc = column_index(kProcessSchema, "haproxy_process_nbproc");
  const size_t nbthread = column_index(kProcessSchema, "haproxy_process_nbthread");
  if (std::isnan(process.value(0, nbproc))) process.set(0, nbproc, static_cast<double>(sockets));
  if (std::isnan(process.value(0, nbthread))) process.set(0, nbthread, 1);
}

}  // namespace lagwatch
