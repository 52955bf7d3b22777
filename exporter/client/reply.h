// SPDX-License-Identifier: Apache-2.0
// What comes back from an ask: an answer, or the reason why not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
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

// How an HTTP exchange went. Times in seconds; a phase that was not reached is absent.
struct HttpDetail {
  int status = 0;      // 0: none came
  double version = 0;  // 1.1, 2
  std::optional<double> resolve;
  std::optional<double> connect;     // TCP
  std::optional<double> tls;         // handshake
  std::optional<double> processing;  // from the request to the first byte of the answer
  std::optional<double> transfer;    // of the body
  double total = 0;
  std::optional<int64_t> content_length;      // as the answer's head says, bytes
  int ip_protocol = 0;                        // 4 or 6; 0: not connected over IP
  std::optional<int64_t> certificate_expiry;  // of the chain's first to expire, seconds since 1970
  std::optional<Error> failure;               // with HttpAccept::kAnything only
};

// What a DirectoryAsk found.
struct Listing {
  struct File {
    int error = 0;  // errno of the attempt to read it; 0: read
    std::string text;
  };
  struct Directory {
    std::string path;
    std::vector<File> files;  // as asked, in that order
  };
  struct Problem {
    std::string path;  // a directory that could not be looked into
    int error = 0;
  };
  std::vector<Directory> directories;  // in the order of their paths
  std::vector<Problem> problems;
  bool cut = false;
};

// How a program ended, by itself.
struct CommandEnd {
  int exit_code = 0;       // 128 + the number of the signal that ended it
  std::string complaints;  // the end of its standard error: untrusted
};

struct Answer {
  std::string body;  // bytes of a socket, an HTTP body, a file, a program: untrusted
  std::optional<Filesystem> filesystem;
  std::optional<SqlAnswer> sql;
  std::optional<HttpDetail> http;
  std::optional<Listing> listing;
  std::optional<CommandEnd> command;
  std::optional<WallTime> modified;  // of a file
};

using Reply = Result<Answer>;

}  // namespace lagwatch
