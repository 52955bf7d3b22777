// SPDX-License-Identifier: Apache-2.0
// What lagwatch says of its targets: up, why not, how old, how long. Made anew at each exposition,
// since ages are.
#pragma once

#include <span>
#include <vector>

#include "base/clock.h"
#include "model/snapshot.h"

namespace lagwatch {

// The schemas of these tables; a kind's up_schema is not among them.
std::span<const Schema* const> self_schemas();

// The tables of one target; none before it was tried once.
std::vector<Table> self_tables(const TargetView& target, const Moment& now);

}  // namespace lagwatch
