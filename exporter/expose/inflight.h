// SPDX-License-Identifier: Apache-2.0
// The requests in flight of all targets that tell them: /api/v1/inflight.
#pragma once

#include <string>

#include "base/clock.h"
#include "model/inflight.h"
#include "model/snapshot.h"

namespace lagwatch {

// "receiving", "queued" or "running", as in the label `state`.
std::string_view request_state_name(RequestState state);

// Prometheus' envelope around {"targets": [{target, age_seconds, left_out, requests: [...]}]}. Ages
// of requests are as of the answer, `age_seconds` is how old that is: add them for now. A target
// whose answer is too old to be shown is named without requests.
std::string inflight_json(const Snapshot& snapshot, Instant now);

}  // namespace lagwatch
