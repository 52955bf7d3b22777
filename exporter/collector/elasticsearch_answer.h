// SPDX-License-Identifier: Apache-2.0
// What an answer of Elasticsearch's is: a result, bad news, or a failure. All versions write bad
// news as {"error": ..., "status": N}: before 2.0 with a text, since with an object.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "client/reply.h"

namespace lagwatch {

// Bad news that are answers: the server is up and says no.
enum class Refusal {
  kNoMaster,      // no master, or the cluster's state is not recovered yet
  kRejected,      // a thread pool's queue is full
  kBreaker,       // memory: a circuit breaker tripped
  kShardsFailed,  // no copy of a shard could answer
  kIndexMissing,
};
inline constexpr size_t kRefusalCount = static_cast<size_t>(Refusal::kIndexMissing) + 1;

std::string_view refusal_name(Refusal refusal);

struct Trouble {
  std::optional<Refusal> refusal;  // nothing: a failure
  Error error;
};

// What is wrong with an answer of this status and body; nothing: status 200. `who` is the URL for
// messages, `authenticated` whether credentials were sent.
std::optional<Trouble> trouble_of(int status, std::string_view body, const std::string& who,
                                  bool authenticated);

}  // namespace lagwatch
