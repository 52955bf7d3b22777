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
  // A timeline of a cluster: system identifier and timeline.
  using TimelineKey = std::pair<std::string, uint32_t>;
  std::map<TimelineKey, LsnHistory> primaries;
};

// The histories of primaries as text, to outlive the process; wall-clock times.
std::string encode(const PostgresMemory& memory, const Moment& now);
// Takes back what encode() wrote. Lines that are damaged, of the future or over a day old are left
// out; false if the text is none of ours.
bool decode(std::string_view text, const Moment& now, PostgresMemory& memory);

}  // namespace lagwatch
