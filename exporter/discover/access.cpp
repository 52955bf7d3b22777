// SPDX-License-Identifier: Apache-2.0
#include "discover/access.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/account.h"
#include "base/file.h"
#include "base/text.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxMessageBytes = 4000;
constexpr size_t kMaxNames = 4096;

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

}  // namespace

SocketState socket_state(const std::string& root, const std::string& path) {
  const std::string opened = root + path;
  struct stat info = {};
  if (stat(opened.c_str(), &info) != 0)
    return errno == EACCES ? SocketState::kDenied : SocketState::kMissing;
  if (!S_ISSOCK(info.st_mode)) return SocketState::kNoSocket;
  // What connect(2) asks for is the right to write.
  const bool may = faccessat(AT_FDCWD, opened.c_str(), W_OK, AT_EACCESS) == 0;
  return may ? SocketState::kUsable : SocketState::kDenied;
}

bool is_directory(const std::string& path) {
  struct stat info = {};
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

std::optional<std::vector<std::string>> list_directory(const std::string& path) {
  const std::unique_ptr<DIR, CloseDirectory> open(opendir(path.c_str()));
  if (!open) return std::nullopt;
  std::vector<std::string> names;
  while (names.size() < kMaxNames) {
    const dirent* const entry = readdir(open.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string unreadable_file(const std::string& root, const std::string& path,
                            const std::string& user, const std::string& what, int error,
                            std::string_view otherwise) {
  std::string text = printable(path) + ", " + what;
  const auto barrier = error == EACCES ? find_barrier(root + path, R_OK) : std::nullopt;
  if (!barrier)
    return text + ", cannot be read (" + error_text(error) + "): " + std::string(otherwise);
  const char* rights = barrier->directory ? ":x " : ":r ";
  if (!barrier->directory && is_directory(root + path)) rights = ":rx ";
  text += ", may not be read by user " + user + " (" + describe(*barrier) +
          "): run \"setfacl -m u:" + shell_word(user) + rights + shell_word(barrier->path);
  return printable(text, kMaxMessageBytes) + "\", or " + std::string(otherwise);
}

}  // namespace lagwatch
