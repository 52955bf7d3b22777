// SPDX-License-Identifier: Apache-2.0
// Standbys that a server has fed and does not feed any more: pg_stat_replication has no row for
// what is missing. Source: the facts of PostgreSQL targets; remembered for a day, and not beyond a
// restart of the agent: an inactive slot tells longer.
#include <string>
#include <string_view>

#include "join/postgres_nodes.h"

namespace lagwatch {
namespace {

constexpr std::string_view kLabels[] = {"application_name", "client_addr", "slot_name"};
constexpr Column kColumns[] = {
    {.name = "pg_replication_standby_connected",
     .source = "join over PostgreSQL targets",
     .help =
         "1 while the standby streams from this server, 0 when it did within a day and does not "
         "now."},
    {.name = "pg_replication_standby_last_seen_timestamp_seconds",
     .source = "join over PostgreSQL targets",
     .help = "When it was seen to stream last, by the agent's clock, in seconds since 1970."},
};
constexpr Schema kSchema{kLabels, kColumns};

constexpr size_t kMostStandbys = 200;

std::string key_of(const PostgresSender& sender) {
  return sender.application_name + '\0' + sender.client_addr + '\0' + sender.slot_name;
}

void run(const std::vector<PostgresServerView>& servers, const Moment& now, PostgresMemory& memory,
         Joined& out) {
  for (const PostgresServerView& server : servers) {
    if (!server.senders_seen) continue;  // hidden, or not asked: nothing is missing from nothing
    auto& known = memory.standbys[server.key];
    for (const PostgresSender* sender : server.senders) {
      if (sender->state != "streaming" || !is_standby(*sender, server)) continue;
      const std::string key = key_of(*sender);
      if (known.size() >= kMostStandbys && !known.contains(key)) continue;
      known[key] = {sender->application_name, sender->client_addr, sender->slot_name, sender->at,
                    now.wall - (now.steady - sender->at)};
    }
    if (known.empty()) continue;
    Table& table = out.table(server.source, kSchema);
    for (const auto& [key, standby] : known) {
      const std::string_view labels[] = {standby.application_name, standby.client_addr,
                                         standby.slot_name};
      const size_t row = table.add_row(labels);
      table.set(row, 0, standby.seen_at == *server.senders_seen ? 1 : 0);
      table.set(row, 1, unix_seconds(standby.seen_wall));
    }
  }
}

constexpr const Schema* kSchemas[] = {&kSchema};

}  // namespace

extern const PostgresPart postgres_standbys{kSchemas, run};

}  // namespace lagwatch
