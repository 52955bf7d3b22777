// SPDX-License-Identifier: Apache-2.0
#include "client/file_read.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "base/fd.h"
#include "base/text.h"

namespace lagwatch {
namespace {

constexpr size_t kChunkBytes = 64U << 10U;
// Hosts with thousands of containers have as many mounts.
constexpr size_t kMaxMountinfoBytes = 8U << 20U;

// The one place where errno of files becomes an Error.
Error file_error(int error, std::string_view doing, const std::string& path) {
  const std::string shown = printable(path);
  const std::string detail = std::string(doing) + " " + shown + ": " + strerrordesc_np(error);
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ESRCH:  // of a process that has ended
      return {Reason::kRefused, shown + ": no such file", ""};
    case EACCES:
    case EPERM:
      return {Reason::kPermission, detail,
              "setfacl -m u:lagwatch:r " + shown + ", and x on the directories above it"};
    case EFBIG:
    case EOVERFLOW:
      return {Reason::kTooLarge, detail, ""};
    case EOPNOTSUPP:
    case ENOSYS:
      return {Reason::kUnsupported, detail, ""};
    default:
      return {Reason::kProtocol, detail, ""};
  }
}

Error too_large(const FileAsk& ask) {
  return {Reason::kTooLarge,
          printable(ask.path) + ": more than " + std::to_string(ask.max_bytes) + " bytes", ""};
}

// To the end, whatever size fstat told: files of /proc say 0.
Reply read_to_end(int fd, const FileAsk& ask, size_t expected, const std::atomic<bool>& abandoned) {
  Answer answer;
  std::string& body = answer.body;
  size_t length = 0;
  // One byte more than expected, so that the end is seen without growing.
  body.resize(std::max(expected + 1, size_t{4096}));
  while (!abandoned) {
    if (length == body.size()) body.resize(length + std::max(length, kChunkBytes));
    const ssize_t got = ::read(fd, body.data() + length, body.size() - length);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return file_error(errno, "reading", ask.path);
    if (got == 0) {
      body.resize(length);
      return answer;
    }
    length += static_cast<size_t>(got);
    if (length > ask.max_bytes) return too_large(ask);
  }
  return Error{Reason::kHung, "reading " + printable(ask.path) + ": given up", ""};
}

// O_NONBLOCK: a FIFO in the file's place must not wait for a writer.
UniqueFd open_file(const FileCalls& calls, const std::string& path, int more_flags) {
  const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | more_flags;
  return UniqueFd(calls.open ? calls.open(path.c_str(), flags) : ::open(path.c_str(), flags));
}

Reply read_open(int fd, const FileAsk& ask, const std::atomic<bool>& abandoned) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return file_error(errno, "reading", ask.path);
  if (!S_ISREG(info.st_mode)) {
    return Error{Reason::kProtocol, printable(ask.path) + ": not a regular file", ""};
  }
  const auto size = static_cast<uint64_t>(std::max<off_t>(info.st_size, 0));
  if (size > ask.max_bytes) return too_large(ask);
  Reply reply = read_to_end(fd, ask, size, abandoned);
  if (reply.ok()) {
    reply->modified = WallTime(std::chrono::seconds(info.st_mtim.tv_sec) +
                               std::chrono::nanoseconds(info.st_mtim.tv_nsec));
  }
  return reply;
}

// "\040" is a blank: mountinfo writes blank, tab, newline and backslash in octal.
std::string unescape(std::string_view field) {
  const auto octal = [&](size_t i, char last) { return field[i] >= '0' && field[i] <= last; };
  std::string out;
  for (size_t i = 0; i < field.size(); ++i) {
    if (field[i] == '\\' && i + 3 < field.size() && octal(i + 1, '3') && octal(i + 2, '7') &&
        octal(i + 3, '7')) {
      out += static_cast<char>((field[i + 1] - '0') * 64 + (field[i + 2] - '0') * 8 +
                               (field[i + 3] - '0'));
      i += 3;
    } else {
      out += field[i];
    }
  }
  return out;
}

// "36 35 98:0 /root /mount/point rw,noatime shared:1 - ext3 /dev/root rw": the fields before "-"
// vary.
std::optional<Mount> parse_mount(std::string_view line) {
  const auto words = split_words(line);
  const auto dash = std::find(words.begin(), words.end(), "-");
  if (dash - words.begin() < 6 || words.end() - dash < 3) return std::nullopt;
  return Mount{unescape(dash[2]), unescape(dash[1]), unescape(words[4])};
}

bool holds(std::string_view mountpoint, std::string_view path) {
  if (!path.starts_with(mountpoint)) return false;
  return mountpoint == "/" || path.size() == mountpoint.size() || path[mountpoint.size()] == '/';
}

Filesystem measures_of(const struct statvfs& fs, Mount mount) {
  const uint64_t block = fs.f_frsize != 0 ? fs.f_frsize : fs.f_bsize;
  return {.device = std::move(mount.device),
          .fstype = std::move(mount.fstype),
          .mountpoint = std::move(mount.mountpoint),
          .size_bytes = fs.f_blocks * block,
          .free_bytes = fs.f_bfree * block,
          .avail_bytes = fs.f_bavail * block,
          .files = fs.f_files,
          .files_free = fs.f_ffree,
          .readonly = (fs.f_flag & ST_RDONLY) != 0};
}

}  // namespace

bool never_hangs(std::string_view path) {
  const bool proc = path.starts_with("/proc/");
  const bool run = path.starts_with("/run/");
  if (!proc && !run && !path.starts_with("/sys/")) return false;
  for (size_t begin = 1, depth = 0; begin <= path.size(); ++depth) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return false;
    // Links of a process to the files it uses.
    for (const char* link : {"root", "cwd", "exe", "fd", "map_files"}) {
      if (proc && part == link) return false;
    }
    // FUSE mounts of users, removable disks.
    if (run && depth == 1 && (part == "user" || part == "media")) return false;
    begin = end + 1;
  }
  return true;
}

Reply read_file(const FileCalls& calls, const FileAsk& ask, const std::atomic<bool>& abandoned) {
  const UniqueFd fd = open_file(calls, ask.path, 0);
  if (!fd) return file_error(errno, "opening", ask.path);
  return read_open(fd.get(), ask, abandoned);
}

std::optional<Reply> read_unless_link(const FileCalls& calls, const FileAsk& ask) {
  const std::atomic<bool> never{false};
  const UniqueFd fd = open_file(calls, ask.path, O_NOFOLLOW);
  if (!fd && errno == ELOOP) return std::nullopt;
  if (!fd) return file_error(errno, "opening", ask.path);
  return read_open(fd.get(), ask, never);
}

Reply read_filesystem(const FileCalls& calls, const FilesystemAsk& ask) {
  struct statvfs measures {};
  const int failed = calls.statvfs ? calls.statvfs(ask.path.c_str(), &measures)
                                   : ::statvfs(ask.path.c_str(), &measures);
  if (failed != 0) return file_error(errno, "measuring the file system of", ask.path);
  const std::unique_ptr<char, decltype(&free)> real(realpath(ask.path.c_str(), nullptr), &free);
  if (!real) return file_error(errno, "resolving", ask.path);
  const std::atomic<bool> never{false};
  const Reply mountinfo = read_file({}, FileAsk{calls.mountinfo, kMaxMountinfoBytes}, never);
  if (!mountinfo) return mountinfo;
  auto mount = find_mount(mountinfo->body, real.get());
  if (!mount) {
    return Error{Reason::kProtocol, printable(ask.path) + ": no mount in " + calls.mountinfo, ""};
  }
  return Answer{.body = {}, .filesystem = measures_of(measures, *std::move(mount))};
}

std::optional<Mount> find_mount(std::string_view mountinfo, std::string_view path) {
  std::optional<Mount> best;
  while (!mountinfo.empty()) {
    const size_t end = std::min(mountinfo.find('\n'), mountinfo.size());
    auto mount = parse_mount(mountinfo.substr(0, end));
    mountinfo.remove_prefix(std::min(end + 1, mountinfo.size()));
    if (!mount || !holds(mount->mountpoint, path)) continue;
    // Of mounts at one place the last is on top (old kernels: rootfs below "/").
    if (!best || mount->mountpoint.size() >= best->mountpoint.size()) best = std::move(mount);
  }
  return best;
}

}  // namespace lagwatch
