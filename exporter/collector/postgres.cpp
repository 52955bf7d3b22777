// SPDX-License-Identifier: Apache-2.0
#include "collector/postgres.h"

#include <utility>

namespace lagwatch {
namespace {

constexpr Column kUpColumns[] = {
    {.name = "pg_up",
     .help = "1 if the last exchange with the server succeeded, 0 if it failed; why, says "
             "lagwatch_target_failing: a server without free connections or starting up is not "
             "down."},
    {.name = "pg_exporter_last_scrape_error",
     .help = "0 if the last exchange with the server succeeded, 1 if it failed."},
};
constexpr Schema kUpSchema{{}, kUpColumns};

}  // namespace

const Kind kPostgresKind{"postgres", "pg_up", &kUpSchema};

std::unique_ptr<State> make_postgres_state(PostgresOptions options) {
  auto state = std::make_unique<PostgresState>();
  auto server = std::make_shared<PostgresServer>();
  server->dsn = options.dsn;
  server->password_file = options.password_file;
  server->read_only = options.heartbeat.table.empty() || !options.heartbeat.write;
  server->identify = options.identify;
  state->server = std::move(server);
  state->data_directory = options.data_directory;
  if (!options.heartbeat.table.empty())
    state->heartbeat = std::make_unique<const HeartbeatSql>(options.heartbeat);
  state->host = options.host;
  state->port = options.port;
  state->local = options.host.empty() || options.host.starts_with('/');
  state->options = std::move(options);
  return state;
}

}  // namespace lagwatch
