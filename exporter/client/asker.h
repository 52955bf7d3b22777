// SPDX-License-Identifier: Apache-2.0
// The seam between deciding and doing: the scheduler asks through this; client/client.cpp carries
// it out, tests fake it.
#pragma once

#include <cstdint>
#include <functional>

#include "base/clock.h"
#include "client/ask.h"
#include "client/reply.h"

namespace lagwatch {

using AskId = uint64_t;

// Used on the loop thread only.
class Asker {
 public:
  virtual ~Asker() = default;

  // Called once for each ask unless it is cancelled, at the latest shortly after `deadline`; never
  // from within ask().
  using OnReply = std::function<void(Reply reply)>;

  // `owner` groups asks: file asks of one owner share one thread, so that a stuck file system
  // blocks only it.
  virtual AskId ask(uint64_t owner, const Ask& ask, Deadline deadline, OnReply on_reply) = 0;

  // Forgets an ask and frees what it holds; unknown ids are ignored.
  virtual void cancel(AskId id) = 0;

  // Connections opened so far on behalf of `owner`.
  virtual uint64_t connections_opened(uint64_t owner) const = 0;
};

}  // namespace lagwatch
