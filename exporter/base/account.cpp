// SPDX-License-Identifier: Apache-2.0
#include "base/account.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

namespace lagwatch {
namespace {

constexpr size_t kEntryBytes = 16384;
constexpr mode_t kPermissionBits = 07777;

bool refused(const std::string& path, int mode) {
  return faccessat(AT_FDCWD, path.c_str(), mode, AT_EACCESS) != 0 && errno == EACCES;
}

Barrier barrier_at(const std::string& path, bool directory) {
  Barrier barrier{.path = path, .directory = directory};
  struct stat info = {};
  if (stat(path.c_str(), &info) == 0) {
    barrier.owner = info.st_uid;
    barrier.group = info.st_gid;
    barrier.mode = info.st_mode & kPermissionBits;
  }
  return barrier;
}

std::string octal(mode_t mode) {
  std::string digits = "0000";
  for (size_t i = digits.size(); i-- > 0; mode >>= 3U) {
    digits[i] = static_cast<char>('0' + static_cast<int>(mode & 7U));
  }
  return digits;
}

}  // namespace

std::string user_name(uid_t id) {
  std::vector<char> buffer(kEntryBytes);
  struct passwd entry = {};
  struct passwd* found = nullptr;
  if (getpwuid_r(id, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) {
    return found->pw_name;
  }
  return std::to_string(id);
}

std::string group_name(gid_t id) {
  std::vector<char> buffer(kEntryBytes);
  struct group entry = {};
  struct group* found = nullptr;
  if (getgrgid_r(id, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) {
    return found->gr_name;
  }
  return std::to_string(id);
}

std::optional<Barrier> find_barrier(const std::string& path, int mode) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    const std::string directory = path.substr(0, slash);
    if (refused(directory, X_OK)) return barrier_at(directory, true);
  }
  if (refused(path, mode)) return barrier_at(path, false);
  return std::nullopt;
}

std::string describe(const Barrier& barrier) {
  return (barrier.directory ? barrier.path + " is " : "it is ") + user_name(barrier.owner) + ":" +
         group_name(barrier.group) + " " + octal(barrier.mode);
}

std::string shell_word(std::string_view word) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@%,=";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string_view::npos) {
    return std::string(word);
  }
  std::string quoted = "'";
  for (const char c : word) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

}  // namespace lagwatch
