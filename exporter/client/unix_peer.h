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

// `listener` is the process that called listen(2), as SO_PEERCRED gives it. Reads /proc; does not
// block.
Silence why_silent(const std::string& path, pid_t listener);

}  // namespace lagwatch
