// SPDX-License-Identifier: Apache-2.0
#include "client/loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "base/log.h"

namespace lagwatch {
namespace {

constexpr Duration kLongestWait = std::chrono::seconds(60);

// Milliseconds until `when`, rounded up so that a timer is never early by a wait that returns at
// once.
int wait_ms(Duration duration) {
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(std::min(duration, kLongestWait));
  return static_cast<int>(std::max<int64_t>(ms.count(), 0));
}

}  // namespace

Loop::Loop() : epoll_(epoll_create1(EPOLL_CLOEXEC)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!epoll_ || !wake_) {
    log(LogLevel::kError, "cannot make the event loop: out of file descriptors or memory");
    std::abort();
  }
  watch(wake_.get(), EPOLLIN, [this](uint32_t) {
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = read(wake_.get(), &count, sizeof count);
  });
}

Loop::~Loop() = default;

void Loop::watch(int fd, uint32_t events, OnEvents on_events) {
  const uint64_t generation = next_generation_++;
  watches_[fd] = Watch{generation, std::move(on_events)};
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0 && errno == EEXIST) {
    epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
  }
}

void Loop::change(int fd, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void Loop::unwatch(int fd) {
  if (watches_.erase(fd) > 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

Loop::TimerId Loop::at(Instant when, Job job) {
  const TimerId id = next_timer_++;
  timers_.emplace(std::pair{when, id}, std::move(job));
  timer_times_.emplace(id, when);
  return id;
}

void Loop::cancel(TimerId id) {
  const auto found = timer_times_.find(id);
  if (found == timer_times_.end()) return;
  timers_.erase({found->second, id});
  timer_times_.erase(found);
}

void Loop::post(Job job) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(job));
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
}

void Loop::stop() {
  stop_requested_ = true;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
}

void Loop::run_posted() {
  std::deque<Job> jobs;
  {
    const std::lock_guard lock(mutex_);
    jobs.swap(posted_);
  }
  for (Job& job : jobs) job();
}

void Loop::run_timers() {
  // Only those due now: a job that sets a timer for now runs it in the next turn, so nothing
  // starves.
  const Instant limit = now().steady;
  const TimerId newest = next_timer_;
  while (!timers_.empty()) {
    const auto first = timers_.begin();
    if (first->first.first > limit || first->first.second >= newest) break;
    const Job job = std::move(first->second);
    timer_times_.erase(first->first.second);
    timers_.erase(first);
    job();
  }
}

void Loop::dispatch(size_t count) {
  // A callback may unwatch a descriptor, and its number may be watched anew, within this batch: an
  // event belongs to a watch only if that watch was there before the batch.
  const uint64_t newest = next_generation_;
  for (size_t i = 0; i < count; ++i) {
    const epoll_event event = events_[i];
    const auto found = watches_.find(event.data.fd);
    if (found == watches_.end() || found->second.generation >= newest) continue;
    const OnEvents callback = found->second.on_events;  // a copy: it may unwatch itself
    callback(event.events);
  }
}

int Loop::next_wait_ms(Instant latest, Instant start) {
  {
    const std::lock_guard lock(mutex_);
    if (!posted_.empty() || stop_requested_) return 0;
  }
  if (!timers_.empty()) latest = std::min(latest, timers_.begin()->first.first);
  return latest <= start ? 0 : wait_ms(latest - start);  // Instant::min() - start would overflow
}

void Loop::run_once(Instant latest) {
  const Instant start = now().steady;
  int timeout_ms = next_wait_ms(latest, start);
  if (waiter_) {
    const Waiter waiter = waiter_;  // a copy: what it runs may unset it
    waiter(epoll_.get(), std::chrono::milliseconds(timeout_ms));
    timeout_ms = 0;
  }
  const int count =
      epoll_wait(epoll_.get(), events_.data(), static_cast<int>(events_.size()), timeout_ms);
  const Instant woken = now().steady;
  dispatch(static_cast<size_t>(std::max(count, 0)));
  run_timers();
  run_posted();
  if (on_turn_) on_turn_(now().steady - woken);
}

void Loop::run() {
  while (!stop_requested_) run_once(now().steady + kLongestWait);
  run_posted();
  stop_requested_ = false;
}

}  // namespace lagwatch
