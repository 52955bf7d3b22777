// SPDX-License-Identifier: Apache-2.0
// Why a Unix socket that takes connections does not answer: its process is stopped, or it has no
// slot left.
#pragma once

#include <sys/types.h>

#include <string>

namespace lagwatch {

enum class Silence {
  kUnknown,      // the process cannot be seen, or the connection was taken and nothing came
  kStopped,      // the process, or a child of it, is stopped or traced
  kNotAccepted,  // the process runs, and connections wait unaccepted: all its slots are in use, or
                 // it is busy
};

// The server's end of a Unix socket, as the kernel tells a client.
struct UnixListener {
  std::string bound;  // the path it bound; HAProxy binds PATH.PID.tmp and renames that to PATH
  pid_t pid = 0;      // of whoever called listen(2); 0: not known
};
UnixListener listener_of(int connected_fd);

// Reads /proc; does not block.
Silence why_silent(const UnixListener& listener);

}  // namespace lagwatch
