// SPDX-License-Identifier: Apache-2.0
// What HAProxy knows of its backends and does not say: how many servers were lost just now, how
// close together, for which reason, and which 5xx it made itself.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "collector/haproxy_stat.h"
#include "model/snapshot.h"

namespace lagwatch {

// A loss counts as recent for this long.
inline constexpr Duration kRecentLoss = std::chrono::seconds(60);

// What is remembered of backends from one collect to the next. Only servers that are down or whose
// check fails take space.
class BackendMemory {
 public:
  // Before the rows of a collect. `reloaded`: HAProxy's counters and clocks began anew since the
  // last one.
  void begin(const StatDump& dump, const Moment& now, bool reloaded);

  // Since when server row `row` is down; only for one whose status is DOWN.
  Instant down_since(size_t row) const { return down_since_[row]; }

  // The code of the last check. While a check is under way HAProxy shows 0 for L7STS: then the code
  // before it.
  double check_code(const StatDump& dump, size_t row) const;

  // `value` made monotonic: the dump of servers and backend is not one instant, so a difference may
  // step back.
  double monotonic_5xx(std::string_view proxy, double value);

 private:
  struct Server {
    Instant down_since{};
    bool down = false;
    bool from_before_reload = false;  // lastchg began anew, the outage did not
    double failed_code = 0;
    uint64_t seen = 0;
  };

  void remember(const StatDump& dump, size_t row, const Moment& now);

  uint64_t collect_ = 0;
  std::unordered_map<std::string, Server> servers_;  // "proxy/server#sid"
  std::vector<Instant> down_since_;
  std::unordered_map<size_t, double> codes_;  // by row, where the cell cannot be believed
  std::map<std::string, double, std::less<>> own_5xx_;
};

// One backend and its servers, as indexes into the dump's rows.
struct BackendRows {
  size_t backend = 0;
  std::vector<size_t> servers;
};
std::vector<BackendRows> group_backends(const StatDump& dump);

// The schemas that write_backend fills.
std::span<const Schema* const> backend_schemas();

// The tables of backend_schemas(), one row or more a backend.
class BackendTables {
 public:
  BackendTables(Output& out, const StatDump& dump, BackendMemory& memory, const Moment& now);
  void write(const BackendRows& rows);

 private:
  void write_losses(std::string_view proxy, std::span<const size_t> lost, size_t row);

  const StatDump& dump_;
  BackendMemory& memory_;
  Moment now_;
  Table backend_;
  Table reason_;
  Table info_;
  Output& out_;
  std::unordered_map<std::string, size_t>
      by_name_;  // "proxy/server" -> row, for `track`; filled at first use

 public:
  // Hands the tables to the output.
  void finish();
};

}  // namespace lagwatch
