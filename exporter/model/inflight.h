// SPDX-License-Identifier: Apache-2.0
// Requests that an application server has not answered yet, one by one: what a person looks for at
// night. Not exported as metrics, but at /api/v1/inflight.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lagwatch {

enum class RequestState {
  kReceiving,  // its head or body is still coming in
  kQueued,     // waits for a process
  kRunning,    // a process has it
};

struct InflightRequest {
  RequestState state = RequestState::kReceiving;
  std::optional<double> age;  // seconds since its head was read
  std::string route;          // as in the label `route`
  std::string method;
  std::string path;          // bounded, never with a query string
  std::string group;         // the application's, where known
  int64_t pid = 0;           // of the process that runs it; 0: none
  bool abandoned = false;    // whoever asked is known to have gone
  bool short_query = false;  // its search term is shorter than the route wants
};

struct Inflight {
  std::vector<InflightRequest> requests;  // the oldest first; bounded
  size_t left_out = 0;                    // beyond the bound
};

}  // namespace lagwatch
