// SPDX-License-Identifier: Apache-2.0
#include "client/unix_peer.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/fd.h"
#include "base/text.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxProcBytes = 4U << 20U;
constexpr size_t kMaxChildren = 64;

std::string read_proc(const std::string& path) {
  std::string text;
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char buffer[16384];
  ssize_t got = 0;
  while (fd && text.size() < kMaxProcBytes && (got = read(fd.get(), buffer, sizeof buffer)) > 0) {
    text.append(buffer, static_cast<size_t>(got));
  }
  return text;
}

// The state letter of /proc/PID/stat, behind the parenthesised name (which may hold anything).
std::optional<char> process_state(std::string_view pid) {
  const std::string text = read_proc("/proc/" + std::string(pid) + "/stat");
  const size_t name_end = text.rfind(") ");
  if (name_end == std::string::npos || name_end + 2 >= text.size()) return std::nullopt;
  return text[name_end + 2];
}

bool is_stopped(std::string_view pid) {
  const std::optional<char> state = process_state(pid);
  return state == 'T' || state == 't';
}

// Whether /proc/net/unix lists a connection of this socket that nobody has accepted: it has no
// inode yet. Columns: Num RefCount Protocol Flags Type St Inode Path. Flags 00010000 is the
// listener itself.
bool has_unaccepted(const std::string& bound) {
  const std::string table = read_proc("/proc/net/unix");
  std::string_view rest = table;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!line.ends_with(bound)) continue;
    const auto words = split_words(line);
    if (words.size() >= 8 && words[3] != "00010000" && words[6] == "0") return true;
  }
  return false;
}

}  // namespace

UnixListener listener_of(int connected_fd) {
  UnixListener listener;
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (getsockopt(connected_fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0) {
    listener.pid = credentials.pid;
  }
  sockaddr_un address{};
  length = sizeof address;
  if (getpeername(connected_fd, reinterpret_cast<sockaddr*>(&address), &length) == 0) {
    const size_t most =
        std::min<size_t>(length - std::min<size_t>(length, offsetof(sockaddr_un, sun_path)),
                         sizeof address.sun_path);
    listener.bound.assign(address.sun_path, strnlen(address.sun_path, most));
  }
  return listener;
}

Silence why_silent(const UnixListener& listener) {
  if (listener.pid <= 0) return Silence::kUnknown;
  const std::string pid = std::to_string(listener.pid);
  if (!process_state(pid)) return Silence::kUnknown;
  if (is_stopped(pid)) return Silence::kStopped;
  // A master that listened before it forked is the peer; who answers is its child.
  const std::string children = read_proc("/proc/" + pid + "/task/" + pid + "/children");
  size_t looked_at = 0;
  for (const std::string_view child : split_words(children)) {
    if (looked_at++ == kMaxChildren) break;
    if (is_stopped(child)) return Silence::kStopped;
  }
  const bool waits = !listener.bound.empty() && has_unaccepted(listener.bound);
  return waits ? Silence::kNotAccepted : Silence::kUnknown;
}

}  // namespace lagwatch
