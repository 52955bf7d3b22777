// SPDX-License-Identifier: Apache-2.0
// A small file of state that outlives the process: read once at start, replaced as a whole now and
// then by a thread that may wait for the disk.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"

namespace lagwatch {

// Used on one thread. Its directory must be there; nothing is said where it cannot be written but
// by the log, once.
class StateFile {
 public:
  explicit StateFile(std::string path);

  // Empty where there is none or it cannot be read.
  std::string load() const;

  // Writes beside it, fdatasync, rename: at any moment the old or the new text is whole. Returns at
  // once; while an earlier one is still being written, the new text is dropped.
  void save(std::string text);

  // The same, and waits for it, at most until `deadline`.
  void save_and_wait(std::string text, Deadline deadline);

 private:
  struct Writer;
  std::string path_;
  std::shared_ptr<Writer> writer_;  // shared with the thread, which may outlive us
};

}  // namespace lagwatch
