// SPDX-License-Identifier: Apache-2.0
// The nodes of Elasticsearch and OpenSearch that run here, each with the URL to ask it at.
#pragma once

#include "discover/discover.h"

namespace lagwatch {

// Adds to `found`.
void discover_elasticsearch(const DiscoverOptions& options, Discovery& found);

}  // namespace lagwatch
