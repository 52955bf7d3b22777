// SPDX-License-Identifier: Apache-2.0
// The accepting thread: epoll over listeners and silent connections, deadlines, and the limit.
#include "expose/acceptor.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

#include "base/log.h"

namespace lagwatch {
namespace {

constexpr int kNone = -1;
constexpr int kMaxEvents = 64;
// Taken from one listener in a turn, so that a flood on it does not keep readable connections
// waiting.
constexpr int kAcceptsPerTurn = 64;
// While no descriptor is to be had: accepting again at once would only spin.
constexpr Duration kPauseWithoutDescriptors = std::chrono::milliseconds(50);
// While libmicrohttpd closes what made room.
constexpr Duration kPauseForClosing = std::chrono::milliseconds(5);
// The same trouble again within this time is not news.
constexpr Duration kQuietBeforeLogging = std::chrono::minutes(1);
constexpr Duration kLongestSweepPeriod = std::chrono::seconds(1);
constexpr Duration kShortestSweepPeriod = std::chrono::milliseconds(10);

bool watch(int epoll, int fd, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

void unwatch(int epoll, int fd) { epoll_ctl(epoll, EPOLL_CTL_DEL, fd, nullptr); }

Error start_error(std::string_view what, int error) {
  return {.reason = Reason::kUnsupported,
          .message = "cannot start the HTTP server: " + std::string(what) + ": " + strerror(error),
          .fix = "Raise LimitNOFILE and TasksMax of the unit if they are small."};
}

// A connection that died in the queue, a signal, or just none there: nothing is wrong here.
bool is_harmless(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR || error == ECONNABORTED ||
         error == EPROTO;
}

// Without descriptors accept(2) fails whether or not anybody waits.
bool has_waiting(int listener) {
  pollfd wanted{listener, POLLIN, 0};
  return poll(&wanted, 1, 0) > 0;
}

}  // namespace

Acceptor::Acceptor(Connections& connections, HttpStats& stats, Duration request_limit,
                   HandOver hand_over)
    : connections_(connections),
      stats_(stats),
      sweep_period_(std::clamp(request_limit / 5, kShortestSweepPeriod, kLongestSweepPeriod)),
      hand_over_(std::move(hand_over)) {}

Acceptor::~Acceptor() { stop(); }

Status Acceptor::start(std::vector<Listener> listeners) {
  listeners_ = std::move(listeners);
  epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  wake_.reset(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!epoll_ || !wake_) return start_error("epoll or eventfd", errno);
  if (!watch(epoll_.get(), wake_.get(), EPOLLIN)) return start_error("epoll_ctl", errno);
  for (const Listener& listener : listeners_) {
    if (!watch(epoll_.get(), listener.fd.get(), EPOLLIN)) return start_error("epoll_ctl", errno);
  }
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& e) {
    return start_error("thread", e.code().value());
  }
  pthread_setname_np(thread_.native_handle(), "http-accept");
  return {};
}

void Acceptor::stop() {
  if (thread_.joinable()) {
    stopping_.store(true);
    // Cannot fail: the counter is far from full.
    eventfd_write(wake_.get(), 1);
    thread_.join();
  }
  listeners_.clear();
}

void Acceptor::run() {
  epoll_event events[kMaxEvents];
  while (!stopping_.load()) {
    const int count =
        epoll_wait(epoll_.get(), events, kMaxEvents, wait_ms(std::chrono::steady_clock::now()));
    for (int i = 0; i < count && !stopping_.load(); ++i) on_event(events[i].data.fd);
    const Instant now = std::chrono::steady_clock::now();
    if (paused_ && now >= paused_until_) resume();
    if (now < next_sweep_) continue;
    for (const int fd : connections_.end_overdue(now)) drop(fd);
    next_sweep_ = now + sweep_period_;
  }
  close_held();
}

int Acceptor::wait_ms(Instant now) const {
  if (connections_.empty() && !paused_) return -1;
  const Instant until = paused_ ? std::min(next_sweep_, paused_until_) : next_sweep_;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now);
  return static_cast<int>(std::max<int64_t>(left.count(), 0));
}

// An event may be about a connection that an earlier one of the same turn ended, whose number is
// now another's. So it counts as a hint only: all that follows may find nothing to do.
void Acceptor::on_event(int fd) {
  if (fd == wake_.get()) return;
  for (const Listener& listener : listeners_) {
    if (listener.fd.get() == fd) return accept_some(fd);
  }
  on_readable(fd);
}

void Acceptor::accept_some(int listener) {
  for (int i = 0; i < kAcceptsPerTurn && !paused_; ++i) {
    if (connections_.closing_too_many()) {
      return pause(std::chrono::steady_clock::now() + kPauseForClosing);
    }
    const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      const int error = errno;
      if (!is_harmless(error) && has_waiting(listener)) on_accept_failure(error);
      return;
    }
    on_accepted(fd, std::chrono::steady_clock::now());
  }
}

void Acceptor::on_accepted(int fd, Instant now) {
  stats_.accepted.fetch_add(1, std::memory_order_relaxed);
  if (held_.size() <= static_cast<size_t>(fd)) held_.resize(static_cast<size_t>(fd) + 1);
  held_[static_cast<size_t>(fd)] = true;
  connections_.add(fd, now);
  const bool has_room = !connections_.too_many() || make_room(fd);
  if (!has_room) stats_.dropped_limit.fetch_add(1, std::memory_order_relaxed);
  if (has_room && watch(epoll_.get(), fd, EPOLLIN | EPOLLRDHUP)) return;
  connections_.forget(fd);
  drop(fd);
}

void Acceptor::on_accept_failure(int error) {
  stats_.accept_failures.fetch_add(1, std::memory_order_relaxed);
  const Instant now = std::chrono::steady_clock::now();
  if (now - std::exchange(last_failure_, now) > kQuietBeforeLogging) {
    log(LogLevel::kWarn, "cannot accept HTTP connections",
        {{"err", strerror(error)}, {"fix", "raise LimitNOFILE if no descriptor is left"}});
  }
  const std::optional<Connections::Evicted> evicted = connections_.evict(kNone);
  if (evicted && evicted->to_close) return drop(*evicted->to_close);  // its number is free at once
  pause(now + kPauseWithoutDescriptors);
}

void Acceptor::on_readable(int fd) {
  if (held_.size() <= static_cast<size_t>(fd) || !held_[static_cast<size_t>(fd)]) return;
  char byte = 0;
  const ssize_t got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got > 0) return hand_over(fd);
  if (got < 0 && is_harmless(errno)) return;
  connections_.forget(fd);
  drop(fd);
}

void Acceptor::hand_over(int fd) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) {
    connections_.forget(fd);  // reset meanwhile
    return drop(fd);
  }
  unwatch(epoll_.get(), fd);
  held_[static_cast<size_t>(fd)] = false;
  // Before the other side has it: it may be started and closed before the call returns.
  connections_.hand_over(fd, std::chrono::steady_clock::now());
  if (!hand_over_(fd, reinterpret_cast<const sockaddr*>(&peer), size)) connections_.forget(fd);
}

bool Acceptor::make_room(int spared) {
  const std::optional<Connections::Evicted> evicted = connections_.evict(spared);
  if (evicted && evicted->to_close) drop(*evicted->to_close);
  return evicted.has_value();
}

// Closes a held connection, which the caller has forgotten; closing takes it out of the epoll set
// too.
void Acceptor::drop(int fd) {
  held_[static_cast<size_t>(fd)] = false;
  close(fd);
}

void Acceptor::pause(Instant until) {
  paused_until_ = until;
  if (paused_) return;
  paused_ = true;
  for (const Listener& listener : listeners_) unwatch(epoll_.get(), listener.fd.get());
}

void Acceptor::resume() {
  paused_ = false;
  for (const Listener& listener : listeners_) watch(epoll_.get(), listener.fd.get(), EPOLLIN);
}

void Acceptor::close_held() {
  for (size_t fd = 0; fd < held_.size(); ++fd) {
    if (!held_[fd]) continue;
    connections_.forget(static_cast<int>(fd));
    drop(static_cast<int>(fd));
  }
}

}  // namespace lagwatch
