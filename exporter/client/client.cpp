// SPDX-License-Identifier: Apache-2.0
#include "client/client.h"

#include <utility>

namespace lagwatch {

Client::Client(Loop& loop)
    : resolver_(loop),
      files_(loop),
      commands_(loop),
      sockets_(loop, resolver_),
      http_(loop, resolver_),
      postgres_(loop, resolver_) {}

AskId Client::ask(uint64_t owner, const Ask& ask, Deadline deadline, OnReply on_reply) {
  const AskId id = next_id_++;
  const auto on_connected = [this, owner] { ++connections_[owner]; };
  if (const auto* socket = std::get_if<SocketAsk>(&ask)) {
    sockets_.ask(id, *socket, deadline, on_connected, std::move(on_reply));
  } else if (const auto* http = std::get_if<HttpAsk>(&ask)) {
    http_.ask(id, *http, deadline, on_connected, std::move(on_reply));
  } else if (const auto* file = std::get_if<FileAsk>(&ask)) {
    files_.ask(id, owner, *file, deadline, std::move(on_reply));
  } else if (const auto* directory = std::get_if<DirectoryAsk>(&ask)) {
    files_.ask(id, owner, *directory, deadline, std::move(on_reply));
  } else if (const auto* command = std::get_if<CommandAsk>(&ask)) {
    commands_.ask(id, *command, deadline, std::move(on_reply));
  } else if (const auto* sql = std::get_if<SqlAsk>(&ask)) {
    postgres_.ask(id, owner, *sql, deadline, on_connected, std::move(on_reply));
  } else {
    files_.ask(id, owner, std::get<FilesystemAsk>(ask), deadline, std::move(on_reply));
  }
  return id;
}

void Client::cancel(AskId id) {
  sockets_.cancel(id);
  http_.cancel(id);
  postgres_.cancel(id);
  files_.cancel(id);
  commands_.cancel(id);
}

uint64_t Client::connections_opened(uint64_t owner) const {
  const auto found = connections_.find(owner);
  return found == connections_.end() ? 0 : found->second;
}

}  // namespace lagwatch
