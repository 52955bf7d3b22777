// SPDX-License-Identifier: Apache-2.0
#include "client/directories.h"

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string_view>
#include <utility>

#include "base/fd.h"

namespace lagwatch {
namespace {

// Of one directory: a /tmp that nobody cleans must not cost seconds.
constexpr size_t kMaxEntries = 20000;
constexpr size_t kMaxProblems = 16;

struct DirClose {
  void operator()(DIR* directory) const { closedir(directory); }
};

bool is_missing(int error) { return error == ENOENT || error == ENOTDIR; }

// glob(3) does not tell why a directory behind a matched one cannot be entered; this does.
class Expansion {
 public:
  Expansion(const DirectoryAsk& ask, const std::atomic<bool>& abandoned, Listing& out)
      : ask_(ask), abandoned_(abandoned), out_(out) {}

  // `rest` is what is to be matched below `path`, which ends without a slash.
  void walk(const std::string& path, std::string_view rest) {
    while (rest.starts_with('/')) rest.remove_prefix(1);
    if (abandoned_ || out_.directories.size() >= ask_.max_matches) {
      out_.cut = true;
    } else if (rest.empty()) {
      take(path);
    } else {
      const size_t end = std::min(rest.find('/'), rest.size());
      const std::string part(rest.substr(0, end));
      if (part.find_first_of("*?[") == std::string::npos)
        return walk(path + "/" + part, rest.substr(end));
      for (const std::string& name : matches(path, part)) walk(path + "/" + name, rest.substr(end));
    }
  }

 private:
  std::vector<std::string> matches(const std::string& path, const std::string& pattern) {
    std::vector<std::string> names;
    const std::unique_ptr<DIR, DirClose> directory(opendir(path.empty() ? "/" : path.c_str()));
    if (!directory) {
      problem(path, errno);
      return names;
    }
    size_t seen = 0;
    while (const dirent* entry = readdir(directory.get())) {
      if (++seen > kMaxEntries || abandoned_) {
        out_.cut = true;
        break;
      }
      if (fnmatch(pattern.c_str(), entry->d_name, FNM_PERIOD) == 0)
        names.emplace_back(entry->d_name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  void take(const std::string& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return problem(path, errno);
    if (!S_ISDIR(info.st_mode)) return;
    Listing::Directory& directory = out_.directories.emplace_back();
    directory.path = path;
    for (const std::string& file : ask_.files)
      directory.files.push_back(read_small(path + "/" + file));
  }

  // O_NONBLOCK: a FIFO in the file's place must not wait for a writer.
  Listing::File read_small(const std::string& path) const {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!fd) return {errno, {}};
    struct stat info {};
    if (::fstat(fd.get(), &info) != 0) return {errno, {}};
    if (!S_ISREG(info.st_mode)) return {EINVAL, {}};
    Listing::File out;
    out.text.resize(ask_.max_file_bytes + 1);
    const ssize_t got = ::read(fd.get(), out.text.data(), out.text.size());
    if (got < 0) return {errno, {}};
    if (static_cast<size_t>(got) > ask_.max_file_bytes) return {EFBIG, {}};
    out.text.resize(static_cast<size_t>(got));
    out.text.shrink_to_fit();
    return out;
  }

  void problem(const std::string& path, int error) {
    if (!is_missing(error) && out_.problems.size() < kMaxProblems)
      out_.problems.push_back({path, error});
  }

  const DirectoryAsk& ask_;
  const std::atomic<bool>& abandoned_;
  Listing& out_;
};

}  // namespace

Reply list_directories(const DirectoryAsk& ask, const std::atomic<bool>& abandoned) {
  Answer answer;
  Listing& listing = answer.listing.emplace();
  Expansion expansion(ask, abandoned, listing);
  for (const std::string& pattern : ask.patterns) expansion.walk("", pattern);
  auto& found = listing.directories;
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.path < b.path; });
  found.erase(std::unique(found.begin(), found.end(),
                          [](const auto& a, const auto& b) { return a.path == b.path; }),
              found.end());
  return answer;
}

}  // namespace lagwatch
