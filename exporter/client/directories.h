// SPDX-License-Identifier: Apache-2.0
// Directories by pattern and small files in them. May hang as file reads may; client/files runs it.
#pragma once

#include <atomic>

#include "client/ask.h"
#include "client/reply.h"

namespace lagwatch {

// Never fails as a whole: what cannot be looked into is in Listing::problems. Gives up between two
// system calls once `abandoned`.
Reply list_directories(const DirectoryAsk& ask, const std::atomic<bool>& abandoned);

}  // namespace lagwatch
