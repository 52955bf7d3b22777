// SPDX-License-Identifier: Apache-2.0
// The Apache httpds that run here and tell their status.
#pragma once

#include <string>

#include "discover/discover.h"

namespace lagwatch {

// Adds to `found`. A server without mod_status is a note: not everybody wants its numbers.
void discover_apaches(const DiscoverOptions& options, Discovery& found);

}  // namespace lagwatch
