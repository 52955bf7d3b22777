// SPDX-License-Identifier: Apache-2.0
// What comes back from an ask: an answer, or the reason why not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"

namespace lagwatch {

// statvfs(3) and the mount it is of (/proc/self/mountinfo). Bytes and counts.
struct Filesystem {
  std::string device;
  std::string fstype;
  std::string mountpoint;
  uint64_t size_bytes = 0;
  uint64_t free_bytes = 0;
  uint64_t avail_bytes = 0;  // for others than root
  uint64_t files = 0;
  uint64_t files_free = 0;
  bool readonly = false;
};

struct Answer {
  std::string body;  // bytes of a socket, an HTTP body, a file: untrusted
  std::optional<Filesystem> filesystem;
};

using Reply = Result<Answer>;

}  // namespace lagwatch
