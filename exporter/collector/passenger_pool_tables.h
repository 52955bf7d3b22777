// SPDX-License-Identifier: Apache-2.0
// What pool.xml becomes: the pool, its application groups, their processes.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "collector/passenger.h"
#include "collector/passenger_pool_xml.h"

namespace lagwatch {

// In the order of the exposition.
std::vector<const Schema*> pool_schemas();

// The pools of all living instances, the newest first; `complete` if none that lives is missing.
// Takes over into `state` what its collectors share. Of a group that two have, the newest one's
// counts.
void write_pools(PassengerState& state, std::span<const Pool> pools, bool complete,
                 const Moment& now, Output& out);

// How many instances are in each state.
void write_instances(const std::array<size_t, kInstanceStates>& counts, Output& out);

}  // namespace lagwatch
