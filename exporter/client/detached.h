// SPDX-License-Identifier: Apache-2.0
// For calls that may never return: threads nobody waits for, and their way back to the loop.
#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "client/loop.h"

namespace lagwatch {

// Lets a thread that may outlive the loop and its user post jobs to it. Held by shared_ptr on both
// sides.
class LoopDoor : public std::enable_shared_from_this<LoopDoor> {
 public:
  explicit LoopDoor(Loop& loop) : loop_(&loop) {}

  // From any thread. The job runs on the loop, or never once the door is closed, even if posted
  // before.
  void post(Loop::Job job);

  // On the loop thread, by the user the jobs are about, before it goes.
  void close();

 private:
  bool is_open();

  std::mutex mutex_;  // guards loop_
  Loop* loop_;        // null: closed
};

// Runs `work` in a thread of its own with all signals blocked; `name` (15 bytes at most) is what
// top shows. False if there can be no thread. `work` must own or share all it uses.
[[nodiscard]] bool start_detached(const char* name, std::function<void()> work);

}  // namespace lagwatch
