// SPDX-License-Identifier: Apache-2.0
// Accepts connections for the HTTP server and keeps those that say nothing away from it:
// libmicrohttpd alone lets slow clients fill its places, since every byte renews their time.
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"
#include "expose/address.h"
#include "expose/connections.h"
#include "expose/http_stats.h"

namespace lagwatch {

// One thread with an epoll set of its own. start() and stop() are called by the owner, once each.
class Acceptor {
 public:
  // Takes the descriptor in any case, also where it fails and answers false. On the acceptor's
  // thread.
  using HandOver = std::function<bool(int fd, const sockaddr* peer, socklen_t size)>;

  // `connections` and `stats` outlive this. `request_limit` is that of the connections: it sets how
  // often they are looked through.
  Acceptor(Connections& connections, HttpStats& stats, Duration request_limit, HandOver hand_over);
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  // The thread gets the caller's signal mask.
  Status start(std::vector<Listener> listeners);
  // Closes the listeners and what was not handed over.
  void stop();

 private:
  void run();
  int wait_ms(Instant now) const;
  void on_event(int fd);
  void accept_some(int listener);
  void on_accepted(int fd, Instant now);
  void on_accept_failure(int error);
  void on_readable(int fd);
  void hand_over(int fd);
  bool make_room(int spared);
  void drop(int fd);
  void pause(Instant until);
  void resume();
  void close_held();

  Connections& connections_;
  HttpStats& stats_;
  const Duration sweep_period_;
  const HandOver hand_over_;
  std::vector<Listener> listeners_;
  UniqueFd epoll_;
  UniqueFd wake_;  // eventfd
  std::atomic<bool> stopping_{false};
  std::thread thread_;

  // The thread's own.
  std::vector<bool> held_;  // by descriptor: ours, waiting for its first byte
  Instant next_sweep_{};
  Instant paused_until_{};
  bool paused_ = false;
  Instant last_failure_{};  // of accept(2)
};

}  // namespace lagwatch
