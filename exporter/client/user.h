// SPDX-License-Identifier: Apache-2.0
// Who lagwatch runs as, and what would let it use a path: for messages that end in a command.
#pragma once

#include <string>

namespace lagwatch {

// The name of the effective user, or its number.
std::string user_name();

// The command or setting that lets this user connect to the socket at `path`; looks at owners and
// modes.
std::string how_to_allow(const std::string& path);

}  // namespace lagwatch
