// SPDX-License-Identifier: Apache-2.0
#include "discover/haproxy_processes.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>
#include <tuple>

#include "discover/procfs.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxFiles = 256;

struct Process {
  int pid = 0;
  int parent = 0;
  std::vector<std::string> files;  // as given
  std::string directory;           // -C, or the working directory; empty: not known
  bool container = false;
};

// Reads the options as HAProxy does. False: this one serves nobody (-c, -v), or it is no HAProxy's
// command line.
bool parse_arguments(const std::vector<std::string>& arguments, Process& process) {
  for (size_t i = 1; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (word.size() < 2 || word[0] != '-') return false;
    const bool has_value = i + 1 < arguments.size();
    if (word == "--") {  // files follow
      process.files.insert(process.files.end(),
                           arguments.begin() + static_cast<std::ptrdiff_t>(i) + 1, arguments.end());
      break;
    }
    if (word[1] == 'c' || word[1] == 'v') return false;
    if (word == "-sf" || word == "-st") {  // pids follow
      while (i + 1 < arguments.size() && !arguments[i + 1].starts_with('-')) ++i;
    } else if (word[1] == 'S' || word == "-x") {  // a socket, which is optional for -S
      if (has_value && !arguments[i + 1].starts_with('-')) ++i;
    } else if (std::string_view("CfLmnNp").find(word[1]) != std::string_view::npos) {
      if (!has_value) return false;
      const std::string& value = arguments[++i];
      if (word[1] == 'f') process.files.push_back(value);
      if (word[1] == 'C' && value.starts_with('/')) process.directory = value;
    }
  }
  if (process.files.size() > kMaxFiles) process.files.resize(kMaxFiles);
  return !process.files.empty();
}

std::optional<Process> read_process(const std::string& proc, int pid, bool named) {
  const std::string directory = proc + "/" + std::to_string(pid);
  const auto arguments = process_arguments(proc, pid);
  if (arguments.empty()) return std::nullopt;  // of the kernel, or a zombie
  if (!named && base_name(arguments[0]) != "haproxy" &&
      base_name(read_link(directory + "/exe")) != "haproxy") {
    return std::nullopt;
  }
  Process process{.pid = pid, .files = {}, .directory = {}};
  if (!parse_arguments(arguments, process)) return std::nullopt;
  const ProcessStatus status = process_status(proc, pid);
  process.parent = status.parent;
  process.container = status.container;
  // After -C the working directory is that one, so a relative -C needs no more than this.
  if (process.directory.empty()) process.directory = read_link(directory + "/cwd");
  return process;
}

// Those named haproxy first, so that a limit does not hide them behind thousands of others.
std::vector<Process> read_processes(const std::string& proc, size_t max_in_detail, bool& cut) {
  std::vector<int> named;
  std::vector<int> others;
  for (const int pid : list_pids(proc, cut)) {
    (process_name(proc, pid) == "haproxy" ? named : others).push_back(pid);
  }
  std::vector<Process> processes;
  size_t looked_at = 0;
  for (const auto* pids : {&named, &others}) {
    for (const int pid : *pids) {
      if (looked_at++ == max_in_detail) {
        cut = true;
        return processes;
      }
      if (auto process = read_process(proc, pid, pids == &named))
        processes.push_back(std::move(*process));
    }
  }
  return processes;
}

std::vector<std::string> absolute(const Process& process) {
  std::vector<std::string> files;
  for (const std::string& file : process.files) {
    const bool known = file.starts_with('/') || process.directory.empty();
    files.push_back(
        known ? file : process.directory + (process.directory.ends_with('/') ? "" : "/") + file);
  }
  return files;
}

}  // namespace

HaproxyProcesses find_haproxys(const std::string& proc, size_t max_in_detail) {
  HaproxyProcesses found;
  const std::vector<Process> processes = read_processes(proc, max_in_detail, found.cut);
  std::map<int, const Process*> by_pid;
  for (const Process& process : processes) by_pid[process.pid] = &process;
  // Topmost first: workers are dropped for their parent, and for one with the same files (old ones
  // after a reload).
  std::map<std::tuple<bool, std::vector<std::string>>, int> seen;
  for (const Process& process : processes) {
    const bool worker = by_pid.contains(process.parent) && process.parent != process.pid;
    if (worker) continue;
    const auto [instance, fresh] =
        seen.emplace(std::tuple(process.container, absolute(process)), process.pid);
    if (!fresh) instance->second = std::min(instance->second, process.pid);
  }
  for (const auto& [key, pid] : seen) {
    found.instances.push_back(
        {.pid = pid, .files = std::get<1>(key), .container = std::get<0>(key)});
  }
  return found;
}

}  // namespace lagwatch
