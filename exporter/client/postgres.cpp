// SPDX-License-Identifier: Apache-2.0
#include "client/postgres.h"

#include <utility>

#include "client/postgres_connection.h"

namespace lagwatch {

PostgresClient::PostgresClient(Loop& loop, Resolver& resolver) : loop_(loop), resolver_(resolver) {}

PostgresClient::~PostgresClient() = default;

void PostgresClient::ask(AskId id, uint64_t owner, const SqlAsk& ask, Deadline deadline,
                         std::function<void()> on_connected, Asker::OnReply on_reply) {
  std::unique_ptr<PostgresConnection>& connection = connections_[owner];
  if (!connection || connection->server() != ask.server) {
    connection =
        std::make_unique<PostgresConnection>(loop_, resolver_, ask.server, std::move(on_connected));
  }
  connection->ask(id, ask, deadline, std::move(on_reply));
}

void PostgresClient::cancel(AskId id) {
  for (const auto& [owner, connection] : connections_) connection->cancel(id);
}

}  // namespace lagwatch
