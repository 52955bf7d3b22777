// SPDX-License-Identifier: Apache-2.0
// Finds Passenger: its cores by their processes and the sockets they listen on.
#pragma once

#include "discover/discover.h"

namespace lagwatch {

void discover_passenger(const DiscoverOptions& options, Discovery& found);

}  // namespace lagwatch
