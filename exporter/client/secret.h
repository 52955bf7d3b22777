// SPDX-License-Identifier: Apache-2.0
// Passwords that stand in files of their own.
#pragma once

#include <string>

#include "base/result.h"

namespace lagwatch {

// The first line of a small local file, without blanks around it. Read at each use, so that a
// password can be rotated without a restart.
Result<std::string> read_secret(const std::string& path);

}  // namespace lagwatch
