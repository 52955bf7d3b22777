// SPDX-License-Identifier: Apache-2.0
// The HAProxys that run here, each with the sockets to ask it at.
#pragma once

#include <string>

#include "discover/discover.h"

namespace lagwatch {

// Adds to `found`.
void discover_haproxys(const DiscoverOptions& options, Discovery& found);

// The files and sockets that are looked at where no process is seen.
std::string haproxy_places();

}  // namespace lagwatch
