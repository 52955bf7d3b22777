// SPDX-License-Identifier: Apache-2.0
// The one loop: descriptors, timers and jobs from other threads, on one thread, in one place to
// wait.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <unordered_map>

#include "base/clock.h"
#include "base/fd.h"

namespace lagwatch {

// Everything but post() and stop() is for the thread that runs the loop.
class Loop {
 public:
  using Job = std::function<void()>;
  // `events` are those of epoll(7) that came.
  using OnEvents = std::function<void(uint32_t events)>;
  using TimerId = uint64_t;

  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Watches `fd`, which the caller owns and unwatches before it closes it. Callbacks may watch and
  // unwatch freely.
  void watch(int fd, uint32_t events, OnEvents on_events);
  void change(int fd, uint32_t events);
  void unwatch(int fd);

  TimerId at(Instant when, Job job);
  void cancel(TimerId id);

  // From any thread: runs `job` on the loop, soon.
  void post(Job job);

  // Runs until stop(). Jobs posted before stop() are run.
  void run();
  // From any thread and from signal handlers.
  void stop();

  // One wait of at most until `latest`, then whatever is due. For tests and `lagwatch scrape`.
  void run_once(Instant latest);

  // Waits in libcurl instead of epoll_wait: `wait` blocks until `epoll_fd` is readable, libcurl has
  // work or the time is up, and does libcurl's work. Null: epoll_wait.
  using Waiter = std::function<void(int epoll_fd, Duration timeout)>;
  void set_waiter(Waiter waiter) { waiter_ = std::move(waiter); }

  // Called after each turn with the time spent outside of waiting: the longest anything else had to
  // wait.
  void set_on_turn(std::function<void(Duration busy)> on_turn) { on_turn_ = std::move(on_turn); }

 private:
  struct Watch {
    uint64_t generation;
    OnEvents on_events;
  };

  void run_posted();
  void run_timers();
  void dispatch(size_t count);
  int next_wait_ms(Instant latest, Instant start);

  UniqueFd epoll_;
  UniqueFd wake_;  // eventfd
  std::array<epoll_event, 128> events_{};
  uint64_t next_generation_ = 1;
  std::unordered_map<int, Watch> watches_;
  uint64_t next_timer_ = 1;
  std::map<std::pair<Instant, TimerId>, Job> timers_;
  std::unordered_map<TimerId, Instant> timer_times_;
  Waiter waiter_;
  std::function<void(Duration)> on_turn_;

  std::atomic<bool> stop_requested_{false};

  std::mutex mutex_;  // guards posted_
  std::deque<Job> posted_;
};

}  // namespace lagwatch
