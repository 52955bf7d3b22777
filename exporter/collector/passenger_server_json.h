// SPDX-License-Identifier: Apache-2.0
// server.json: the requests that a core has, one by one, some 3 KB each. Read forward, once,
// without a tree: with 5000 requests it is 15 MB.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "model/inflight.h"

namespace lagwatch {

// One request as Passenger tells it. The texts are what a client sent, and live as long as the call
// that hands them over: `target` still has its query string and must not be kept.
struct PassengerRequest {
  RequestState state = RequestState::kReceiving;
  std::optional<double> age;  // seconds since its head was read
  std::string_view method;
  std::string_view target;
  std::string_view host;
  std::string_view gupid;  // of the process that has it; empty: none
  std::string_view group;  // only Passenger 4 says it
  int64_t pid = 0;
  bool abandoned = false;
};

// Over all threads of a core. What one of them did not say is absent.
struct ServerCounts {
  std::optional<double> begun;
  std::optional<double> active;
  std::optional<double> disconnected;
};

using OnRequest = std::function<void(const PassengerRequest&)>;

// May change `body`: bytes that are no UTF-8 become '?'. A field of another type than expected
// costs that field.
Result<ServerCounts> parse_server(std::string& body, WallTime now, const OnRequest& on_request);

}  // namespace lagwatch
