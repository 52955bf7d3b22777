// SPDX-License-Identifier: Apache-2.0
// What the HTTP server counts about itself, for whoever exports it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

namespace lagwatch {

// Shared by the server, which writes, and any thread that reads. `routes` is filled by the server's
// constructor and its shape does not change afterwards.
struct HttpStats {
  // Statuses counted by themselves; the last place is for all others.
  static constexpr int kStatuses[] = {200, 400, 403, 404, 405, 413, 422, 500, 503};
  static constexpr size_t kPlaces = std::size(kStatuses) + 1;

  struct Route {
    std::string path;  // of a known route; empty for requests to all other paths
    std::array<std::atomic<uint64_t>, kPlaces> by_status{};
  };

  static size_t place_of(int status) {
    size_t place = 0;
    while (place < std::size(kStatuses) && kStatuses[place] != status) ++place;
    return place;
  }

  // Calls on_count(path, status, count) for all that happened; status 0 is "another one". Requests
  // that libmicrohttpd refuses by itself (malformed, too long) are not among them.
  template <typename OnCount>
  void for_each_request(OnCount on_count) const {
    for (const Route& route : routes) {
      for (size_t place = 0; place < kPlaces; ++place) {
        const uint64_t count = route.by_status[place].load(std::memory_order_relaxed);
        if (count == 0) continue;
        on_count(route.path, place < std::size(kStatuses) ? kStatuses[place] : 0, count);
      }
    }
  }

  std::atomic<uint64_t> connections{0};           // open now
  std::atomic<uint64_t> accepted{0};              // ever
  std::atomic<uint64_t> dropped_silent{0};        // said nothing
  std::atomic<uint64_t> dropped_slow_request{0};  // began a request and did not end it
  std::atomic<uint64_t> dropped_slow_answer{0};   // did not read the answer
  std::atomic<uint64_t> dropped_limit{0};         // made room for a newer one, or found none
  std::atomic<uint64_t> accept_failures{0};       // accept(2) failed: mostly no descriptor left
  std::deque<Route> routes;                       // the last one counts unknown paths
};

}  // namespace lagwatch
