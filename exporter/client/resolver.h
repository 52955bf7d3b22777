// SPDX-License-Identifier: Apache-2.0
// Names to addresses without ever blocking the loop: getaddrinfo in threads, answers kept.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "client/loop.h"

namespace lagwatch {

class LoopDoor;

// As connect(2) takes it. The resolver leaves the port 0.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

void set_port(SocketAddress& address, uint16_t port);

// "192.0.2.1" or "2001:db8::1": for libpq's hostaddr, CURLOPT_RESOLVE and messages.
std::string to_string(const SocketAddress& address);

using SocketAddresses = std::vector<SocketAddress>;

struct ResolverOptions {
  // Called in a thread of its own and may block as long as it likes. Null: getaddrinfo.
  std::function<Result<SocketAddresses>(const std::string& name)> lookup;

  // How old an answer is; deadlines are those of the loop. Null: the agent's clock.
  std::function<Instant()> now;
};

// Lives on the loop thread. A name has at most one lookup under way, and a hung one delays no other
// name. An answer is fresh for 30 s. Used after that, it is given as it is while a lookup refreshes
// it, for 10 minutes if lookups go on failing. A failure is kept for 2 s. Names come from the
// configuration, so the cache has no bound of its own.
class Resolver {
 public:
  using Id = uint64_t;
  using OnAddresses = std::function<void(Result<SocketAddresses> addresses)>;

  explicit Resolver(Loop& loop, ResolverOptions options = {});
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // `name` is a host name or an address, IPv6 without brackets; the order is that of the lookup.
  // Called once, never from within, at the latest when the loop sees that `deadline` has passed:
  // then with kResolve.
  Id resolve(const std::string& name, Deadline deadline, OnAddresses on_addresses);

  // Forgets who asked; the lookup goes on, for the next. Unknown ids are ignored.
  void cancel(Id id);

  // Lookups that run in a thread now; and those that wait because 64 do.
  size_t running() const { return running_; }
  size_t waiting() const { return queue_.size(); }

 private:
  struct Waiter {
    std::string name;
    OnAddresses on_addresses;
    Loop::TimerId timer = 0;
  };
  struct Name {
    SocketAddresses good;
    std::optional<Instant> good_at;
    Error bad;
    std::optional<Instant> bad_at;
    bool under_way = false;  // in a thread or in queue_
    std::vector<Id> waiters;
  };

  void deliver_later(Id id, Result<SocketAddresses> addresses);
  void deliver(Id id, Result<SocketAddresses> addresses);
  void refresh(const std::string& name, Name& entry);
  void run_queue();
  void finished(const std::string& name, Result<SocketAddresses> addresses);
  void on_deadline(Id id);

  Loop& loop_;
  ResolverOptions options_;
  std::shared_ptr<LoopDoor> door_;
  Id next_id_ = 1;
  std::unordered_map<Id, Waiter> waiters_;
  std::unordered_map<std::string, Name> names_;
  std::deque<std::string> queue_;
  size_t running_ = 0;
};

}  // namespace lagwatch
