// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/fd.h"

namespace lagwatch {
namespace {

int check_kind(int fd) {
  struct stat info = {};
  if (fstat(fd, &info) != 0) return errno;
  if (S_ISDIR(info.st_mode)) return EISDIR;
  return S_ISREG(info.st_mode) ? 0 : ENXIO;
}

}  // namespace

FileText read_regular_file(const std::string& path, size_t max_bytes) {
  // O_NONBLOCK: opening a FIFO must not wait for its other end.
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return {errno, {}};
  if (const int error = check_kind(fd.get()); error != 0) return {error, {}};
  FileText file;
  char buffer[16384];
  while (true) {
    const ssize_t got = read(fd.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return {errno, {}};
    if (got == 0) return file;
    // The size is judged by what comes: files under /proc say 0.
    if (file.text.size() + static_cast<size_t>(got) > max_bytes) return {EFBIG, {}};
    file.text.append(buffer, static_cast<size_t>(got));
  }
}

std::string error_text(int error) {
  if (error == ENXIO) return "neither a file nor a directory";
  return std::generic_category().message(error);
}

}  // namespace lagwatch
