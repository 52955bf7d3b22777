// SPDX-License-Identifier: Apache-2.0
// The PostgreSQL clusters that run here, each with the connection string to ask it with.
#pragma once

#include <string>

#include "discover/discover.h"

namespace lagwatch {

// Adds to `found`.
void discover_postgres(const DiscoverOptions& options, Discovery& found);

// Where was looked, in words.
std::string postgres_places();

}  // namespace lagwatch
