// SPDX-License-Identifier: Apache-2.0
// What a files thread does: reads one file or measures one file system, and may hang in either for
// ever.
#pragma once

#include <sys/statvfs.h>

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "client/ask.h"
#include "client/reply.h"

namespace lagwatch {

// The calls that hang on a dead NFS server: tests put others here.
struct FileCalls {
  std::function<int(const char* path, int flags)> open;                    // null: open(2)
  std::function<int(const char* path, struct statvfs* measures)> statvfs;  // null: statvfs(3)
  std::string mountinfo = "/proc/self/mountinfo";
};

// True for paths on file systems of the kernel and the memory, which never hang: /proc, /sys and
// /run, without the places in them that lead elsewhere. Links are not looked at.
bool never_hangs(std::string_view path);

// The bytes of a regular file. Gives up between two reads once `abandoned`.
Reply read_file(const FileCalls& calls, const FileAsk& ask, const std::atomic<bool>& abandoned);

// The same, but nothing is read if the path ends in a symbolic link: it may lead to where reads
// hang.
std::optional<Reply> read_unless_link(const FileCalls& calls, const FileAsk& ask);

// Space of the file system that holds the path, links followed.
Reply read_filesystem(const FileCalls& calls, const FilesystemAsk& ask);

struct Mount {
  std::string device;
  std::string fstype;
  std::string mountpoint;
};

// The mount that `path`, absolute and without links, is on, from the text of mountinfo (proc(5)).
std::optional<Mount> find_mount(std::string_view mountinfo, std::string_view path);

}  // namespace lagwatch
