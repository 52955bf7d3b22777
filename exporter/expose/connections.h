// SPDX-License-Identifier: Apache-2.0
// Every open HTTP connection, what it is doing and since when: which ones are overdue, and which
// one goes when there are too many.
#pragma once

#include <cstddef>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "expose/http_stats.h"

namespace lagwatch {

// Two owners: the acceptor owns a descriptor until hand_over(), libmicrohttpd from then on.
// libmicrohttpd's are only ever shutdown(2) here, under the mutex and only between started() and
// closed(), when they are certainly open: a number may be another file's right after. The
// acceptor's thread calls the first group, libmicrohttpd's threads the second.
class Connections {
 public:
  struct Limits {
    size_t count = 512;  // all together
    Duration request =
        std::chrono::seconds(5);                // from accepting to the first byte, then to its end
    Duration idle = std::chrono::seconds(120);  // between requests
    Duration answer = std::chrono::seconds(120);  // from the end of a request to that of its answer
  };

  // How many may wait for libmicrohttpd to close them, beyond the limit.
  static constexpr size_t kMaxClosing = 64;

  // `stats` outlives this.
  Connections(const Limits& limits, HttpStats& stats) : limits_(limits), stats_(stats) {}

  void add(int fd, Instant now);
  // libmicrohttpd gets it next.
  void hand_over(int fd, Instant now);
  // The acceptor closes it next, or libmicrohttpd did not take it.
  void forget(int fd);
  void forget_all();

  // Ends what is overdue. Returned are those of the acceptor, already forgotten: it closes them.
  std::vector<int> end_overdue(Instant now);

  // The connection that goes first: the oldest without a whole first request, then the one longest
  // idle.
  struct Evicted {
    std::optional<int> to_close;  // it was the acceptor's and is forgotten; else it was shut down
  };
  // Nothing where all but `spared`, which just came, are answering requests.
  std::optional<Evicted> evict(int spared);

  // Those being closed by libmicrohttpd do not count.
  bool too_many() const;
  // So many are being closed that accepting must wait for it.
  bool closing_too_many() const;
  bool empty() const;

  void started(int fd, Instant now);
  void request_begun(int fd, Instant now);
  void request_complete(int fd, Instant now);
  void answered(int fd, Instant now);
  void closed(int fd);

 private:
  enum class State {
    kSilent,      // the acceptor's: nothing readable yet
    kHandedOver,  // on its way: libmicrohttpd may have failed and closed it without telling
    kFirst,       // libmicrohttpd's from here on: the first request is not complete
    kIdle,
    kReading,  // a later request is not complete
    kAnswering,
    kClosing,  // shut down; libmicrohttpd closes it soon
  };
  struct Connection {
    State state;
    Instant since;     // when the state was entered
    Instant accepted;  // when it came
  };

  std::atomic<uint64_t>& drop_counter(State state);
  Duration limit_of(State state) const;
  void enter(int fd, State state, Instant now);
  void shut_down(int fd, Connection& connection);
  void update_gauge();

  const Limits limits_;
  HttpStats& stats_;
  mutable std::mutex mutex_;  // guards what follows
  std::unordered_map<int, Connection> connections_;
  size_t closing_ = 0;
};

}  // namespace lagwatch
