// SPDX-License-Identifier: Apache-2.0
// What is looked at first on a host, under node_exporter's names: a site without it is not blind.
// Source: /proc/{meminfo,vmstat,loadavg,stat,pressure/*}, statvfs(3). Privilege: none.
#include "collector/host.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "base/text.h"

namespace lagwatch {
namespace {

// /proc counts CPU time in USER_HZ: 100 on every architecture Debian runs on, whatever CONFIG_HZ.
constexpr uint64_t kUserHz = 100;
constexpr double kKilobyte = 1024;

constexpr Column kMemory[] = {
    {"node_memory_MemTotal_bytes", Type::kGauge, "MemTotal",
     "/proc/meminfo MemTotal: memory that the kernel manages.", kKilobyte},
    {"node_memory_MemFree_bytes", Type::kGauge, "MemFree",
     "/proc/meminfo MemFree: memory that nothing uses, not even a cache.", kKilobyte},
    {"node_memory_MemAvailable_bytes", Type::kGauge, "MemAvailable",
     "/proc/meminfo MemAvailable (Linux 3.14+): memory that can be had without swapping.",
     kKilobyte},
    {"node_memory_SwapTotal_bytes", Type::kGauge, "SwapTotal",
     "/proc/meminfo SwapTotal: swap space.", kKilobyte},
    {"node_memory_SwapFree_bytes", Type::kGauge, "SwapFree",
     "/proc/meminfo SwapFree: swap space not in use.", kKilobyte},
    {"node_memory_Buffers_bytes", Type::kGauge, "Buffers",
     "/proc/meminfo Buffers: cached blocks of devices.", kKilobyte},
    {"node_memory_Cached_bytes", Type::kGauge, "Cached",
     "/proc/meminfo Cached: the page cache, tmpfs and shared memory included.", kKilobyte},
    {"node_memory_Dirty_bytes", Type::kGauge, "Dirty",
     "/proc/meminfo Dirty: memory that waits to be written to disk.", kKilobyte},
};

// node_exporter declares these untyped; they only ever grow.
constexpr Column kVmstatColumns[] = {
    {"node_vmstat_pswpin", Type::kCounter, "pswpin", "/proc/vmstat pswpin: pages swapped in."},
    {"node_vmstat_pswpout", Type::kCounter, "pswpout", "/proc/vmstat pswpout: pages swapped out."},
    {"node_vmstat_pgmajfault", Type::kCounter, "pgmajfault",
     "/proc/vmstat pgmajfault: page faults that had to read from disk."},
    {"node_vmstat_oom_kill", Type::kCounter, "oom_kill",
     "/proc/vmstat oom_kill (Linux 4.13+): processes killed because memory ran out."},
};

constexpr Column kLoad[] = {
    {"node_load1", Type::kGauge, "field 1",
     "/proc/loadavg field 1: tasks running or in uninterruptible sleep, averaged over 1 minute."},
    {"node_load5", Type::kGauge, "field 2",
     "/proc/loadavg field 2: tasks running or in uninterruptible sleep, averaged over 5 minutes."},
    {"node_load15", Type::kGauge, "field 3",
     "/proc/loadavg field 3: tasks running or in uninterruptible sleep, averaged over 15 minutes."},
};

constexpr Column kStatColumns[] = {
    {"node_boot_time_seconds", Type::kGauge, "btime",
     "/proc/stat btime: when the host booted, Unix time."},
    {"node_procs_running", Type::kGauge, "procs_running",
     "/proc/stat procs_running: tasks that run or could run."},
    {"node_procs_blocked", Type::kGauge, "procs_blocked",
     "/proc/stat procs_blocked: tasks that wait for a disk or the like."},
};

// In the order of /proc/stat. Guest time, the two columns behind them, is part of user and nice.
constexpr std::string_view kModes[] = {"user",   "nice", "system",  "idle",
                                       "iowait", "irq",  "softirq", "steal"};
constexpr size_t kIdle = 3;
constexpr std::string_view kCpuLabels[] = {"cpu"};
constexpr Column kCpuColumns[] = {
    {"node_cpu_seconds_total", Type::kCounter, "cpuN",
     "/proc/stat cpuN: time each CPU spent in each mode.", 1.0 / kUserHz, "mode", kModes,
     Expand::kEach},
};

constexpr double kMicrosecond = 1e-6;
constexpr Column kPressure[] = {
    {"node_pressure_cpu_waiting_seconds_total", Type::kCounter, "cpu some",
     "/proc/pressure/cpu some (Linux 4.20+): time in which some task waited for a CPU.",
     kMicrosecond},
    {"node_pressure_memory_waiting_seconds_total", Type::kCounter, "memory some",
     "/proc/pressure/memory some (Linux 4.20+): time in which some task waited for memory.",
     kMicrosecond},
    {"node_pressure_memory_stalled_seconds_total", Type::kCounter, "memory full",
     "/proc/pressure/memory full (Linux 4.20+): time in which every task waited for memory.",
     kMicrosecond},
    {"node_pressure_io_waiting_seconds_total", Type::kCounter, "io some",
     "/proc/pressure/io some (Linux 4.20+): time in which some task waited for I/O.", kMicrosecond},
    {"node_pressure_io_stalled_seconds_total", Type::kCounter, "io full",
     "/proc/pressure/io full (Linux 4.20+): time in which every task waited for I/O.",
     kMicrosecond},
};

constexpr std::string_view kFilesystemLabels[] = {"device", "fstype", "mountpoint"};
enum FilesystemColumn : size_t { kSize, kFree, kAvail, kFiles, kFilesFree, kReadonly };
constexpr Column kFilesystemColumns[] = {
    {"node_filesystem_size_bytes", Type::kGauge, "f_blocks",
     "statvfs f_blocks: size of the file system."},
    {"node_filesystem_free_bytes", Type::kGauge, "f_bfree",
     "statvfs f_bfree: free space, root's reserve included."},
    {"node_filesystem_avail_bytes", Type::kGauge, "f_bavail",
     "statvfs f_bavail: free space for others than root."},
    {"node_filesystem_files", Type::kGauge, "f_files",
     "statvfs f_files: inodes; absent where the file system has no fixed number of them."},
    {"node_filesystem_files_free", Type::kGauge, "f_ffree",
     "statvfs f_ffree: free inodes; absent where the file system has no fixed number of them."},
    {"node_filesystem_readonly", Type::kGauge, "f_flag",
     "statvfs f_flag: 1 where mounted read-only, as after an I/O error."},
};

constexpr Schema kMemorySchema{{}, kMemory};
constexpr Schema kVmstatSchema{{}, kVmstatColumns};
constexpr Schema kLoadSchema{{}, kLoad};
constexpr Schema kStatSchema{{}, kStatColumns};
constexpr Schema kCpuSchema{kCpuLabels, kCpuColumns};
constexpr Schema kPressureSchema{{}, kPressure};
constexpr Schema kFilesystemSchema{kFilesystemLabels, kFilesystemColumns};
constexpr const Schema* kSchemas[] = {&kMemorySchema,    &kVmstatSchema, &kLoadSchema,
                                      &kStatSchema,      &kCpuSchema,    &kPressureSchema,
                                      &kFilesystemSchema};

// The files asked for, in this order; then the file systems.
enum File : size_t { kMeminfo, kVmstat, kLoadavg, kStat, kPsiCpu, kPsiMemory, kPsiIo, kFileCount };
constexpr std::string_view kFileNames[kFileCount] = {
    "meminfo", "vmstat", "loadavg", "stat", "pressure/cpu", "pressure/memory", "pressure/io"};
constexpr std::string_view kPressureDir = "pressure/";
// The line of interrupts in `stat` grows with CPUs times devices.
constexpr size_t kMaxFileBytes = 4U << 20U;

using Ticks = std::array<uint64_t, std::size(kModes)>;

class HostState : public State {
 public:
  explicit HostState(HostOptions options) : proc(std::move(options.proc)), paths{"/"} {
    for (std::string& path : options.paths) {
      if (std::find(paths.begin(), paths.end(), path) == paths.end()) {
        paths.push_back(std::move(path));
      }
    }
  }

  std::string proc;
  std::vector<std::string> paths;
  std::map<std::string, Ticks, std::less<>> ticks;  // as last emitted, by CPU
};

// The next line of `text`, without its end. A last line without one was cut off and is not a line.
std::optional<std::string_view> next_line(std::string_view& text) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

std::string_view first_word(std::string_view line) { return line.substr(0, line.find(' ')); }

std::optional<uint64_t> whole_number(std::string_view word) { return parse_number<uint64_t>(word); }

enum class Unit { kNone, kKilobytes };

// Sets the cells whose source is the key of a line "KEY NUMBER", or "KEY: NUMBER kB".
// False if there was none.
bool fill_by_key(std::string_view text, Unit unit, Table& table) {
  const bool kilobytes = unit == Unit::kKilobytes;
  const std::span<const Column> columns = table.schema().columns;
  const size_t row = table.add_row();
  bool found = false;
  while (const auto line = next_line(text)) {
    std::string_view key = first_word(*line);
    if (kilobytes) {
      if (!key.ends_with(':')) continue;
      key.remove_suffix(1);
    }
    for (size_t i = 0; i < columns.size(); ++i) {
      if (columns[i].source != key) continue;
      const auto words = split_words(*line);
      if (words.size() != (kilobytes ? 3U : 2U) || (kilobytes && words[2] != "kB")) continue;
      const auto number = whole_number(words[1]);
      if (!number) continue;
      table.set(row, i, static_cast<double>(*number));
      found = true;
    }
  }
  return found;
}

bool read_load(std::string_view text, Table& table) {
  const auto line = next_line(text);
  const auto words = split_words(line.value_or(""));
  if (words.size() != 5) return false;
  const size_t row = table.add_row();
  bool found = false;
  for (size_t i = 0; i < std::size(kLoad); ++i) {
    const auto load = parse_number<double>(words[i]);
    if (!load || !std::isfinite(*load) || *load < 0) continue;
    table.set(row, i, *load);
    found = true;
  }
  return found;
}

// idle and iowait are guesses of the kernel and step back by some ticks now and then, which a rate
// would take for a reset and show as a peak: hold them. A long way back is a CPU that was unplugged
// and counts anew.
Ticks never_backwards(const Ticks& last, const Ticks& read) {
  if (last[kIdle] >= read[kIdle] + 3 * kUserHz) return read;
  Ticks held;
  for (size_t i = 0; i < held.size(); ++i) held[i] = std::max(last[i], read[i]);
  return held;
}

// The time of one line "cpuN user nice system idle ...": all modes, or nothing.
std::optional<Ticks> parse_ticks(std::span<const std::string_view> words) {
  Ticks ticks;
  if (words.size() < 1 + ticks.size()) return std::nullopt;
  for (size_t i = 0; i < ticks.size(); ++i) {
    const auto number = whole_number(words[i + 1]);
    if (!number) return std::nullopt;
    ticks[i] = *number;
  }
  return ticks;
}

bool read_cpus(std::string_view text, HostState& state, Table& table) {
  std::map<std::string, Ticks, std::less<>> all;
  while (const auto line = next_line(text)) {
    // "cpu" alone is the sum of the others.
    const std::string_view key = first_word(*line);
    if (!key.starts_with("cpu") || !whole_number(key.substr(3))) continue;
    const std::string_view cpu = key.substr(3);
    const auto read = parse_ticks(split_words(*line));
    if (!read || all.contains(cpu)) continue;
    const auto last = state.ticks.find(cpu);
    const Ticks ticks = last == state.ticks.end() ? *read : never_backwards(last->second, *read);
    all.emplace(cpu, ticks);
    const std::string_view labels[] = {cpu};
    const size_t row = table.add_row(labels);
    for (size_t i = 0; i < ticks.size(); ++i) table.set(row, 0, static_cast<double>(ticks[i]), i);
  }
  if (all.empty()) return false;
  state.ticks = std::move(all);
  return true;
}

// "some avg10=0.22 avg60=0.35 avg300=0.14 total=6267791", total in microseconds.
std::optional<uint64_t> pressure_total(std::string_view text, std::string_view kind) {
  constexpr std::string_view kTotal = "total=";
  while (const auto line = next_line(text)) {
    if (first_word(*line) != kind) continue;
    for (const std::string_view word : split_words(*line)) {
      if (word.starts_with(kTotal)) return whole_number(word.substr(kTotal.size()));
    }
  }
  return std::nullopt;
}

// The files are those of `pressure/`, in the order of kFileNames.
void read_pressure(std::span<const Reply> files, Table& table) {
  const size_t row = table.add_row();
  for (size_t i = 0; i < files.size(); ++i) {
    if (!files[i]) continue;
    const std::string_view file = kFileNames[kPsiCpu + i].substr(kPressureDir.size());
    for (size_t column = 0; column < std::size(kPressure); ++column) {
      const std::string_view source = kPressure[column].source;
      if (first_word(source) != file) continue;
      const auto total = pressure_total(files[i]->body, source.substr(file.size() + 1));
      if (total) table.set(row, column, static_cast<double>(*total));
    }
  }
}

// Several paths may be of one file system, which is written once.
void read_filesystems(std::span<const Reply> replies, Table& table) {
  std::vector<std::string_view> seen;
  for (const Reply& reply : replies) {
    if (!reply || !reply->filesystem) continue;
    const Filesystem& fs = *reply->filesystem;
    if (std::find(seen.begin(), seen.end(), fs.mountpoint) != seen.end()) continue;
    seen.push_back(fs.mountpoint);
    const std::string_view labels[] = {fs.device, fs.fstype, fs.mountpoint};
    const size_t row = table.add_row(labels);
    table.set(row, kSize, static_cast<double>(fs.size_bytes));
    table.set(row, kFree, static_cast<double>(fs.free_bytes));
    table.set(row, kAvail, static_cast<double>(fs.avail_bytes));
    // btrfs and some network file systems say 0 of 0, which is not "none left".
    if (fs.files > 0) {
      table.set(row, kFiles, static_cast<double>(fs.files));
      table.set(row, kFilesFree, static_cast<double>(fs.files_free));
    }
    table.set(row, kReadonly, fs.readonly ? 1 : 0);
  }
}

Asks begin(State& state) {
  const auto& host = static_cast<const HostState&>(state);
  Asks asks;
  for (const std::string_view name : kFileNames) {
    asks.push_back(FileAsk{host.proc + "/" + std::string(name), kMaxFileBytes});
  }
  for (const std::string& path : host.paths) asks.push_back(FilesystemAsk{path});
  return asks;
}

// Why nothing at all was found in the files that every kernel has.
Error blind(const HostState& host, std::span<const Reply> replies) {
  for (const size_t file : {kMeminfo, kLoadavg, kStat}) {
    if (!replies[file]) return replies[file].error();
  }
  return {Reason::kProtocol,
          host.proc + ": meminfo, loadavg and stat were read and nothing in them understood", ""};
}

Step read(State& state, std::span<Reply> replies, const Moment&, Output& out) {
  auto& host = static_cast<HostState&>(state);
  const auto text = [&](File file) {
    return replies[file] ? std::string_view(replies[file]->body) : std::string_view();
  };
  const bool memory = fill_by_key(text(kMeminfo), Unit::kKilobytes, out.table(kMemorySchema));
  fill_by_key(text(kVmstat), Unit::kNone, out.table(kVmstatSchema));
  const bool load = read_load(text(kLoadavg), out.table(kLoadSchema));
  const bool stat = fill_by_key(text(kStat), Unit::kNone, out.table(kStatSchema));
  const bool cpus = read_cpus(text(kStat), host, out.table(kCpuSchema));
  read_pressure(replies.subspan(kPsiCpu, kFileCount - kPsiCpu), out.table(kPressureSchema));
  read_filesystems(replies.subspan(kFileCount), out.table(kFilesystemSchema));
  if (!memory && !load && !stat && !cpus) return blind(host, replies);
  return Done{};
}

}  // namespace

std::unique_ptr<State> make_host_state(HostOptions options) {
  return std::make_unique<HostState>(std::move(options));
}

const Kind kHostKind{"host", "", nullptr};

extern const Collector host{"host", &kHostKind, Lane::kMain, kSchemas, begin, read};

}  // namespace lagwatch
