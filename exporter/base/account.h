// SPDX-License-Identifier: Apache-2.0
// Who this process is and what stands in its way: names of users and groups, and the first closed
// door of a path.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

namespace lagwatch {

// Their number in decimal where there is no name. May ask NSS, so not for every line of a log.
std::string user_name(uid_t id);
std::string group_name(gid_t id);

// A file or directory whose permissions refuse what the effective user of this process wants.
struct Barrier {
  std::string path;
  bool directory = false;  // one on the way, which may not be searched
  uid_t owner = 0;
  gid_t group = 0;
  mode_t mode = 0;  // permission bits only
};

// The first one on the way to `path`, or `path` itself if `mode` (R_OK, W_OK) is refused.
// Nothing when permissions are not the reason.
std::optional<Barrier> find_barrier(const std::string& path, int mode);

// "it is root:haproxy 0640"; for a directory "/etc/haproxy is root:root 0700".
std::string describe(const Barrier& barrier);

// `word` as one word of a POSIX shell's command line.
std::string shell_word(std::string_view word);

}  // namespace lagwatch
