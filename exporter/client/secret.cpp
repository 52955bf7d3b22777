// SPDX-License-Identifier: Apache-2.0
#include "client/secret.h"

#include <fcntl.h>
#include <unistd.h>

#include <string_view>

#include "base/fd.h"
#include "base/text.h"

namespace lagwatch {

constexpr size_t kMaxSecretBytes = 4096;

Result<std::string> read_secret(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  char buffer[kMaxSecretBytes];
  const ssize_t got = fd ? read(fd.get(), buffer, sizeof buffer) : -1;
  if (got < 0) {
    return Error{Reason::kAuth, "the password file " + path + " cannot be read",
                 "chown root:lagwatch and chmod 640 it"};
  }
  const std::string_view text(buffer, static_cast<size_t>(got));
  return std::string(trim(text.substr(0, text.find('\n'))));
}

}  // namespace lagwatch
