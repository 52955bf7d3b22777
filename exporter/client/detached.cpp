// SPDX-License-Identifier: Apache-2.0
#include "client/detached.h"

#include <pthread.h>
#include <signal.h>

#include <system_error>
#include <thread>
#include <utility>

namespace lagwatch {

void LoopDoor::post(Loop::Job job) {
  // The lock is held over the post, so that the loop cannot go in between.
  const std::lock_guard lock(mutex_);
  if (loop_ == nullptr) return;
  loop_->post([self = shared_from_this(), job = std::move(job)] {
    if (self->is_open()) job();
  });
}

void LoopDoor::close() {
  const std::lock_guard lock(mutex_);
  loop_ = nullptr;
}

bool LoopDoor::is_open() {
  const std::lock_guard lock(mutex_);
  return loop_ != nullptr;
}

bool start_detached(const char* name, std::function<void()> work) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool started = true;
  try {
    std::thread([name, work = std::move(work)] {
      pthread_setname_np(pthread_self(), name);
      work();
    }).detach();
  } catch (const std::system_error&) {
    started = false;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

}  // namespace lagwatch
