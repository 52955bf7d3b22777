// SPDX-License-Identifier: Apache-2.0
// passenger-status, where there is no API to ask: run, or read from files that a timer writes.
#pragma once

#include <string_view>

#include "collector/passenger.h"

namespace lagwatch {

enum class StatusPart { kPool, kRequests };

// Of kRequests only where there is a command or a requests_file.
Ask status_ask(const PassengerOptions& options, StatusPart part);

// What it printed, borrowed from `reply`; an Error where it failed or is too old.
Result<std::string_view> status_text(const PassengerOptions& options, StatusPart part,
                                     const Reply& reply, const Moment& now);

}  // namespace lagwatch
