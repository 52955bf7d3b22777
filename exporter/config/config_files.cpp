// SPDX-License-Identifier: Apache-2.0
#include "config/config_files.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string_view>

#include "base/account.h"
#include "base/file.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxFileBytes = 1U << 20U;
constexpr size_t kMaxFiles = 1000;

// "Permission denied" with who was refused, by what, and the command that changes it.
std::string denied(const std::string& path, int mode) {
  const std::string user = user_name(geteuid());
  std::string message = "cannot be read by user " + user;
  const auto barrier = find_barrier(path, mode);
  if (!barrier) return message + ": " + error_text(EACCES);
  message += ": " + describe(*barrier) + "; allow it with: setfacl -m u:" + user;
  return message + (barrier->directory ? ":x " : ":r ") + shell_word(barrier->path);
}

std::string failure(const std::string& path, int error) {
  switch (error) {
    case EACCES:
      return denied(path, R_OK);
    case EISDIR:
      return "is a directory, not a file";
    case ENXIO:
      return "is neither a file nor a directory";
    case EFBIG:
      return "is larger than " + std::to_string(kMaxFileBytes) + " bytes";
    default:
      return "cannot be read: " + error_text(error);
  }
}

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

// The names of *.yml in `directory`, sorted; `error` is an errno value or 0.
std::vector<std::string> list_yml(const std::string& directory, int& error) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, CloseDirectory> open(opendir(directory.c_str()));
  error = open ? 0 : errno;
  while (open) {
    errno = 0;
    const dirent* const entry = readdir(open.get());
    if (entry == nullptr) {
      error = errno;
      break;
    }
    const std::string_view name = entry->d_name;
    if (!name.starts_with('.') && name.ends_with(".yml")) names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

void read_one(const std::string& path, ConfigErrors& errors, std::vector<ConfigText>& out) {
  const uint32_t number = errors.add_file(path);
  FileText file = read_regular_file(path, kMaxFileBytes);
  if (file.error == 0) {
    out.push_back({number, std::move(file.text)});
  } else {
    errors.add({number, 1, 1}, failure(path, file.error));
  }
}

}  // namespace

std::vector<ConfigText> read_config_files(const std::string& path, ConfigErrors& errors) {
  std::vector<ConfigText> texts;
  read_one(path, errors, texts);
  const std::string directory = path.substr(0, path.rfind('/') + 1) + "conf.d";  // npos + 1 is 0
  int error = 0;
  const std::vector<std::string> names = list_yml(directory, error);
  if (error != 0 && error != ENOENT) {
    const bool refused = error == EACCES;
    errors.add({errors.add_file(directory), 1, 1},
               refused ? denied(directory, R_OK) : "cannot be read: " + error_text(error));
  }
  if (names.size() > kMaxFiles) {
    errors.add({errors.add_file(directory), 1, 1},
               "holds more than " + std::to_string(kMaxFiles) + " files");
    return texts;
  }
  for (const std::string& name : names) read_one(directory + "/" + name, errors, texts);
  return texts;
}

}  // namespace lagwatch
