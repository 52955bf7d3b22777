// SPDX-License-Identifier: Apache-2.0
// What the PostgreSQL joins remember: histories of positions, who was seen, what changed when.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "join/lsn_history.h"

namespace lagwatch {

struct PostgresMemory {
  // A timeline of a cluster. The cluster is its system identifier; where that is not known, "@" and
  // the labels of the one server.
  using TimelineKey = std::pair<std::string, uint32_t>;
  std::map<TimelineKey, LsnHistory> primaries;  // the only part that outlives the process

  // Clusters whose primary this process has seen, so that it should be in sight.
  std::set<std::string> watched;

  // Heartbeats as they appeared on the primary, microseconds of its writer's clock for positions;
  // by cluster.
  std::map<std::string, LsnHistory> heartbeats;
  // The primary's clock less the agent's, seconds, when it was last in sight; by cluster.
  std::map<std::string, double> clock_offsets;

  // Of one server, by its labels.
  struct Server {
    Instant seen_at{};
    std::optional<bool> in_recovery;
    uint64_t promotions = 0;
    std::optional<WallTime> promoted_at;
    LsnHistory received;  // what it has of its upstream's WAL
    LsnHistory replayed;
    std::optional<uint32_t> timeline;  // while it streamed
    std::string slot_name;             // likewise
  };
  std::map<std::string, Server> servers;

  // Standbys that were seen to stream from a server: by its labels, then by their own.
  struct Standby {
    std::string application_name;
    std::string client_addr;
    std::string slot_name;
    Instant seen_at{};
    WallTime seen_wall{};
  };
  std::map<std::string, std::map<std::string, Standby>> standbys;
};

// Forgets what was not seen for a day.
void prune(PostgresMemory& memory, Instant now);

// The histories of primaries as text, to outlive the process; wall-clock times.
std::string encode(const PostgresMemory& memory, const Moment& now);
// Takes back what encode() wrote. Lines that are damaged, of the future or over a day old are left
// out; false if the text is none of ours.
bool decode(std::string_view text, const Moment& now, PostgresMemory& memory);

}  // namespace lagwatch
