// SPDX-License-Identifier: Apache-2.0
#include "discover/procfs.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>

#include "base/file.h"
#include "base/text.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxPids = 65536;
constexpr size_t kMaxNameBytes = 64;
// A command line: HAProxy's -sf with thousands of pids is longer than a page.
constexpr size_t kMaxProcFile = 1U << 17U;

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

std::string directory_of(const std::string& proc, int pid) {
  return proc + "/" + std::to_string(pid);
}

}  // namespace

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

std::string process_name(const std::string& proc, int pid) {
  const std::string text = read_regular_file(directory_of(proc, pid) + "/comm", kMaxNameBytes).text;
  return std::string(trim(text));
}

std::vector<std::string> process_arguments(const std::string& proc, int pid) {
  const std::string text =
      read_regular_file(directory_of(proc, pid) + "/cmdline", kMaxProcFile).text;
  std::string_view rest = text;
  std::vector<std::string> arguments;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\0'), rest.size());
    arguments.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return arguments;
}

ProcessStatus process_status(const std::string& proc, int pid) {
  ProcessStatus status;
  const std::string text =
      read_regular_file(directory_of(proc, pid) + "/status", kMaxProcFile).text;
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const auto words = split_words(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (words.size() < 2) continue;
    if (words[0] == "PPid:") status.parent = parse_number<int>(words[1]).value_or(0);
    // One number for each namespace from ours down.
    if (words[0] == "NSpid:") status.container = words.size() > 2;
  }
  return status;
}

std::string read_link(const std::string& path) {
  std::array<char, 4097> buffer{};
  const ssize_t length = readlink(path.c_str(), buffer.data(), buffer.size());
  if (length <= 0 || static_cast<size_t>(length) == buffer.size()) return {};
  return {buffer.data(), static_cast<size_t>(length)};
}

std::string_view base_name(std::string_view path) {
  constexpr std::string_view kDeleted = " (deleted)";  // the binary was upgraded under it
  if (path.ends_with(kDeleted)) path.remove_suffix(kDeleted.size());
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

}  // namespace lagwatch
