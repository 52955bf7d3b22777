// SPDX-License-Identifier: Apache-2.0
// `passenger-status --show=requests` of Passenger 4: text, a block a client.
#pragma once

#include <string_view>

#include "base/result.h"
#include "collector/passenger_server_json.h"

namespace lagwatch {

// Ages are in whole seconds, since the connection was made.
Result<ServerCounts> parse_requests_text(std::string_view text, const OnRequest& on_request);

}  // namespace lagwatch
