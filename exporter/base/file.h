// SPDX-License-Identifier: Apache-2.0
// Reading files that others wrote: whole, bounded, and never a FIFO or device that could hold the
// reader up.
#pragma once

#include <cstddef>
#include <string>

namespace lagwatch {

// `error` is 0 or an errno value; EISDIR: a directory, ENXIO: neither file nor directory, EFBIG:
// over `max_bytes`.
struct FileText {
  int error = 0;
  std::string text;
};

FileText read_regular_file(const std::string& path, size_t max_bytes);

// What such an `error` means, in words.
std::string error_text(int error);

}  // namespace lagwatch
