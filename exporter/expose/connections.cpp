// SPDX-License-Identifier: Apache-2.0
// The states of a connection, and the two judgements on them: overdue, and first to go.
#include "expose/connections.h"

#include <sys/socket.h>

#include <iterator>
#include <utility>

namespace lagwatch {
namespace {

void count(std::atomic<uint64_t>& counter) { counter.fetch_add(1, std::memory_order_relaxed); }

}  // namespace

void Connections::add(int fd, Instant now) {
  const std::lock_guard lock(mutex_);
  // A leftover with this number is one that libmicrohttpd closed before it was started.
  connections_.insert_or_assign(fd, Connection{State::kSilent, now, now});
  update_gauge();
}

void Connections::hand_over(int fd, Instant now) {
  const std::lock_guard lock(mutex_);
  enter(fd, State::kHandedOver, now);
}

void Connections::forget(int fd) {
  const std::lock_guard lock(mutex_);
  connections_.erase(fd);
  update_gauge();
}

void Connections::forget_all() {
  const std::lock_guard lock(mutex_);
  connections_.clear();
  closing_ = 0;
  update_gauge();
}

std::vector<int> Connections::end_overdue(Instant now) {
  std::vector<int> to_close;
  const std::lock_guard lock(mutex_);
  for (auto it = connections_.begin(); it != connections_.end();) {
    auto& [fd, connection] = *it;
    const State state = connection.state;
    if (state == State::kClosing || now - connection.since < limit_of(state)) {
      ++it;
      continue;
    }
    // libmicrohttpd's own idle timeout may come first; it is no loss to anybody either way.
    if (state != State::kIdle && state != State::kHandedOver) count(drop_counter(state));
    if (state == State::kSilent) to_close.push_back(fd);
    if (state == State::kSilent || state == State::kHandedOver) {
      it = connections_.erase(it);  // one handed over comes back by started(), if it is alive
    } else {
      shut_down(fd, connection);
      ++it;
    }
  }
  update_gauge();
  return to_close;
}

std::optional<Connections::Evicted> Connections::evict(int spared) {
  const std::lock_guard lock(mutex_);
  // Lower goes first: the class, then the age within it.
  using Rank = std::pair<int, Instant>;
  std::optional<Rank> lowest;
  auto victim = connections_.end();
  for (auto it = connections_.begin(); it != connections_.end(); ++it) {
    const Connection& c = it->second;
    std::optional<Rank> rank;
    if (c.state == State::kSilent || c.state == State::kFirst) rank = {0, c.accepted};
    if (c.state == State::kIdle) rank = {1, c.since};
    if (c.state == State::kReading) rank = {2, c.since};
    if (it->first == spared || !rank || (lowest && *lowest <= *rank)) continue;
    lowest = rank;
    victim = it;
  }
  if (victim == connections_.end()) return std::nullopt;
  count(stats_.dropped_limit);
  if (victim->second.state != State::kSilent) {
    shut_down(victim->first, victim->second);
    return Evicted{};
  }
  const Evicted evicted{victim->first};
  connections_.erase(victim);
  update_gauge();
  return evicted;
}

bool Connections::too_many() const {
  const std::lock_guard lock(mutex_);
  return connections_.size() - closing_ > limits_.count;
}

bool Connections::closing_too_many() const {
  const std::lock_guard lock(mutex_);
  return closing_ >= kMaxClosing;
}

bool Connections::empty() const {
  const std::lock_guard lock(mutex_);
  return connections_.empty();
}

void Connections::started(int fd, Instant now) {
  const std::lock_guard lock(mutex_);
  const auto [it, is_new] = connections_.try_emplace(fd, Connection{State::kFirst, now, now});
  if (!is_new) enter(fd, State::kFirst, it->second.since);
  update_gauge();
}

void Connections::request_begun(int fd, Instant now) {
  const std::lock_guard lock(mutex_);
  const auto it = connections_.find(fd);
  // The clock of a first request has been running since it was handed over.
  if (it != connections_.end() && it->second.state == State::kIdle) enter(fd, State::kReading, now);
}

void Connections::request_complete(int fd, Instant now) {
  const std::lock_guard lock(mutex_);
  enter(fd, State::kAnswering, now);
}

void Connections::answered(int fd, Instant now) {
  const std::lock_guard lock(mutex_);
  enter(fd, State::kIdle, now);
}

void Connections::closed(int fd) {
  const std::lock_guard lock(mutex_);
  const auto it = connections_.find(fd);
  if (it == connections_.end()) return;
  if (it->second.state == State::kClosing) --closing_;
  connections_.erase(it);
  update_gauge();
}

std::atomic<uint64_t>& Connections::drop_counter(State state) {
  if (state == State::kSilent) return stats_.dropped_silent;
  if (state == State::kAnswering) return stats_.dropped_slow_answer;
  return stats_.dropped_slow_request;
}

Duration Connections::limit_of(State state) const {
  if (state == State::kIdle) return limits_.idle;
  if (state == State::kAnswering) return limits_.answer;
  return limits_.request;
}

void Connections::enter(int fd, State state, Instant now) {
  const auto it = connections_.find(fd);
  // What is being closed stays so, whatever libmicrohttpd still does with it.
  if (it == connections_.end() || it->second.state == State::kClosing) return;
  it->second.state = state;
  it->second.since = now;
}

void Connections::shut_down(int fd, Connection& connection) {
  ::shutdown(fd, SHUT_RDWR);  // wakes libmicrohttpd, which closes it
  connection.state = State::kClosing;
  ++closing_;
}

void Connections::update_gauge() {
  stats_.connections.store(connections_.size(), std::memory_order_relaxed);
}

}  // namespace lagwatch
