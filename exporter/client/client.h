// SPDX-License-Identifier: Apache-2.0
// Carries out asks: each sort by its own client, all on one loop.
#pragma once

#include <unordered_map>

#include "client/asker.h"
#include "client/command.h"
#include "client/files.h"
#include "client/http.h"
#include "client/loop.h"
#include "client/postgres.h"
#include "client/resolver.h"
#include "client/socket.h"

namespace lagwatch {

class Client : public Asker {
 public:
  explicit Client(Loop& loop);

  AskId ask(uint64_t owner, const Ask& ask, Deadline deadline, OnReply on_reply) override;
  void cancel(AskId id) override;
  uint64_t connections_opened(uint64_t owner) const override;

  // Threads that hang in a read of a file or directory now.
  uint64_t stuck_threads() const { return files_.stuck_threads(); }

 private:
  Resolver resolver_;
  Files files_;
  CommandClient commands_;
  SocketClient sockets_;
  HttpClient http_;
  PostgresClient postgres_;
  AskId next_id_ = 1;
  std::unordered_map<uint64_t, uint64_t> connections_;  // by owner
};

}  // namespace lagwatch
