// SPDX-License-Identifier: Apache-2.0
#include "discover/haproxy_processes.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <tuple>

#include "base/file.h"
#include "base/text.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxPids = 65536;  // whose names are read
constexpr size_t kMaxProcFile =
    1U << 17U;  // a command line; -sf with thousands of pids is longer than a page
constexpr size_t kMaxFiles = 256;

struct Process {
  int pid = 0;
  int parent = 0;
  std::vector<std::string> files;  // as given
  std::string directory;           // -C, or the working directory; empty: not known
  bool container = false;
};

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

std::vector<int> list_pids(const std::string& proc, bool& cut) {
  std::vector<int> pids;
  const std::unique_ptr<DIR, CloseDirectory> open(opendir(proc.c_str()));
  while (open) {
    const dirent* const entry = readdir(open.get());
    if (entry == nullptr) break;
    const auto pid = parse_number<int>(entry->d_name);
    if (!pid || *pid <= 0) continue;
    if (pids.size() == kMaxPids) {
      cut = true;
      break;
    }
    pids.push_back(*pid);
  }
  std::sort(pids.begin(), pids.end());
  return pids;
}

std::string_view base_name(std::string_view path) {
  constexpr std::string_view kDeleted = " (deleted)";  // the binary was upgraded under it
  if (path.ends_with(kDeleted)) path.remove_suffix(kDeleted.size());
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

std::string read_link(const std::string& path) {
  std::array<char, 4097> buffer{};
  const ssize_t length = readlink(path.c_str(), buffer.data(), buffer.size());
  if (length <= 0 || static_cast<size_t>(length) == buffer.size()) return {};
  return {buffer.data(), static_cast<size_t>(length)};
}

std::vector<std::string> split_arguments(std::string_view cmdline) {
  std::vector<std::string> arguments;
  while (!cmdline.empty()) {
    const size_t end = std::min(cmdline.find('\0'), cmdline.size());
    arguments.emplace_back(cmdline.substr(0, end));
    cmdline.remove_prefix(std::min(end + 1, cmdline.size()));
  }
  return arguments;
}

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

void read_status(const std::string& directory, Process& process) {
  const std::string status = read_regular_file(directory + "/status", kMaxProcFile).text;
  std::string_view rest = status;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const auto words = split_words(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (words.size() < 2) continue;
    if (words[0] == "PPid:") process.parent = parse_number<int>(words[1]).value_or(0);
    // One number for each namespace from ours down.
    if (words[0] == "NSpid:") process.container = words.size() > 2;
  }
}

std::optional<Process> read_process(const std::string& proc, int pid, bool named) {
  const std::string directory = proc + "/" + std::to_string(pid);
  const auto arguments =
      split_arguments(read_regular_file(directory + "/cmdline", kMaxProcFile).text);
  if (arguments.empty()) return std::nullopt;  // of the kernel, or a zombie
  if (!named && base_name(arguments[0]) != "haproxy" &&
      base_name(read_link(directory + "/exe")) != "haproxy") {
    return std::nullopt;
  }
  Process process{.pid = pid, .files = {}, .directory = {}};
  if (!parse_arguments(arguments, process)) return std::nullopt;
  read_status(directory, process);
  // After -C the working directory is that one, so a relative -C needs no more than this.
  if (process.directory.empty()) process.directory = read_link(directory + "/cwd");
  return process;
}

// Those named haproxy first, so that a limit does not hide them behind thousands of others.
std::vector<Process> read_processes(const std::string& proc, size_t max_in_detail, bool& cut) {
  std::vector<int> named;
  std::vector<int> others;
  for (const int pid : list_pids(proc, cut)) {
    const std::string comm = read_regular_file(proc + "/" + std::to_string(pid) + "/comm", 64).text;
    (trim(comm) == "haproxy" ? named : others).push_back(pid);
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
