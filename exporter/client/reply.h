// SPDX-License-Identifier: Apache-2.0
// What comes back from an ask: an answer, or the reason why not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "model/rows.h"

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

// The server refused or failed one statement; the connection is well.
struct SqlError {
  std::string sqlstate;  // five characters: 42501 is a missing privilege
  std::string message;   // the server's, in its language: untrusted
};

struct SqlAnswer {
  int server_version = 0;   // 90305, 150018
  std::string role;         // who asked, as the server knows us
  uint64_t connection = 0;  // which one of this process: another number is another session
  bool supported = true;    // false: there is no text for this version, nothing was asked
  std::optional<SqlError> error;
  Rows rows;
  uint64_t affected = 0;  // rows that an UPDATE or the like changed
  // Of IDENTIFY_SYSTEM, before 9.6 only: empty with the reason why not.
  std::string system_identifier;
  std::string identify_problem;
};

struct Answer {
  std::string body;  // bytes of a socket, an HTTP body, a file: untrusted
  std::optional<Filesystem> filesystem;
  std::optional<SqlAnswer> sql;
};

using Reply = Result<Answer>;

}  // namespace lagwatch
