// SPDX-License-Identifier: Apache-2.0
// SQL asks through libpq: one connection an owner, kept; asks made together are one round trip.
#pragma once

#include <memory>
#include <unordered_map>

#include "client/asker.h"
#include "client/loop.h"
#include "client/resolver.h"

namespace lagwatch {

class PostgresConnection;

// Lives on the loop thread.
class PostgresClient {
 public:
  PostgresClient(Loop& loop, Resolver& resolver);
  ~PostgresClient();
  PostgresClient(const PostgresClient&) = delete;
  PostgresClient& operator=(const PostgresClient&) = delete;

  // Replies through the loop, never from within. `on_connected` is called when a connection was
  // made.
  void ask(AskId id, uint64_t owner, const SqlAsk& ask, Deadline deadline,
           std::function<void()> on_connected, Asker::OnReply on_reply);
  // Forgets who asked. What was sent is still read: the connection stays in step.
  void cancel(AskId id);

 private:
  Loop& loop_;
  Resolver& resolver_;
  std::unordered_map<uint64_t, std::unique_ptr<PostgresConnection>> connections_;  // by owner
};

}  // namespace lagwatch
