// SPDX-License-Identifier: Apache-2.0
// What this user may do with files and sockets that discovery came across, and what would allow it.
// `root` is put before paths that are opened.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lagwatch {

enum class SocketState { kUsable, kMissing, kDenied, kNoSocket };
SocketState socket_state(const std::string& root, const std::string& path);

bool is_directory(const std::string& path);

// Names in the C locale's order, hidden ones too; of a huge directory only some. Nothing where
// there is no directory that may be read.
std::optional<std::vector<std::string>> list_directory(const std::string& path);

// Why `path` cannot be read, from the errno value of the attempt, and what would allow it: a
// command, or else `otherwise`. `what` says what it is.
std::string unreadable_file(const std::string& root, const std::string& path,
                            const std::string& user, const std::string& what, int error,
                            std::string_view otherwise);

}  // namespace lagwatch
