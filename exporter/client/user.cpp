// SPDX-License-Identifier: Apache-2.0
#include "client/user.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/account.h"

namespace lagwatch {

std::string user_name() { return user_name(geteuid()); }

std::string how_to_allow(const std::string& path) {
  const auto barrier = find_barrier(path, R_OK | W_OK);
  const std::string user = user_name();
  if (barrier) {
    const mode_t needed = barrier->directory ? mode_t{S_IXGRP} : mode_t{S_IRGRP | S_IWGRP};
    if ((barrier->mode & needed) == needed && barrier->group != 0) {
      return "usermod -aG " + group_name(barrier->group) + " " + user + ", then restart lagwatch";
    }
    if (barrier->directory) return describe(*barrier) + ": chmod o+x " + shell_word(barrier->path);
  }
  return "give the socket a group of " + user + "'s and mode 660 (HAProxy: stats socket " + path +
         " mode 660 group " + group_name(getegid()) + " level user)";
}

}  // namespace lagwatch
