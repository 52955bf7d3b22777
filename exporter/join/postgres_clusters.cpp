// SPDX-License-Identifier: Apache-2.0
// Clusters, found by their system identifier: who is primary, are there two, does everybody follow
// the same one, can each standby still follow, is the primary protected at all. Source: the facts
// of PostgreSQL targets, of other agents' too. What is counted is what is in sight: a server that
// does not answer is not counted as anything.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "join/postgres_nodes.h"

namespace lagwatch {
namespace {

constexpr Column kClusterColumns[] = {
    {.name = "pg_cluster_primaries",
     .source = "join over PostgreSQL targets",
     .help =
         "Servers in sight that take writes and have this server's system identifier: two are a "
         "split brain."},
    {.name = "pg_cluster_standbys",
     .source = "join over PostgreSQL targets",
     .help = "Standbys in sight that have this server's system identifier."},
    {.name = "pg_cluster_timeline",
     .source = "join over PostgreSQL targets",
     .help = "Highest timeline seen in the cluster within a day: above pg_timeline of a primary, "
             "another was promoted."},
    {.name = "pg_cluster_upstreams",
     .source = "join over PostgreSQL targets",
     .help =
         "Different upstreams of its standbys, those that follow another standby left out: above "
         "1 they do not follow the same server."},
};
constexpr Schema kClusterSchema{{}, kClusterColumns};

constexpr Column kRoleColumns[] = {
    {.name = "pg_promotions_total",
     .type = Type::kCounter,
     .source = "join over PostgreSQL targets",
     .help = "How often this server was seen to become a primary."},
    {.name = "pg_promoted_timestamp_seconds",
     .source = "join over PostgreSQL targets",
     .help = "When it was seen to become one last, by the agent's clock, in seconds since 1970; "
             "absent if never."},
};
constexpr Schema kRoleSchema{{}, kRoleColumns};

constexpr std::string_view kMeans[] = {"standby", "archive"};
constexpr Column kProtectedColumns[] = {
    {.name = "pg_primary_protected",
     .source = "join over PostgreSQL targets",
     .help = "On a primary: 1 if a standby streams from it; 1 if it archives and the last try did "
             "not fail. Both 0: what is written now is nowhere else.",
     .label = "by",
     .values = kMeans,
     .expand = Expand::kEach},
};
constexpr Schema kProtectedSchema{{}, kProtectedColumns};

constexpr std::string_view kReasons[] = {"wal_removed", "slot_lost", "timeline_diverged"};
constexpr Column kRebuildColumns[] = {
    {.name = "pg_standby_needs_rebuild",
     .source = "join over PostgreSQL targets",
     .help = "On a standby whose primary is in sight: 1 if it cannot follow any more, because the "
             "WAL it needs was removed, its slot is lost, or it went on where the new timeline "
             "did not.",
     .label = "reason",
     .values = kReasons,
     .expand = Expand::kEach},
};
constexpr Schema kRebuildSchema{{}, kRebuildColumns};

// A standby that neither receives nor replays for so long has not merely reconnected.
constexpr Duration kStuckFor = std::chrono::seconds(20);

using Servers = std::vector<const PostgresServerView*>;

// Two targets may be one server: asked by two ways, or by two agents.
bool same_server(const PostgresServerView& a, const PostgresServerView& b) {
  return a.node->start_time && a.node->start_time == b.node->start_time &&
         a.node->in_recovery == b.node->in_recovery;
}

Servers distinct(const Servers& members, bool primaries) {
  Servers out;
  for (const PostgresServerView* one : members) {
    if (one->is_primary() != primaries) continue;
    const bool known = std::any_of(out.begin(), out.end(), [&](const PostgresServerView* other) {
      return same_server(*one, *other);
    });
    if (!known) out.push_back(one);
  }
  return out;
}

bool is_local_name(std::string_view host) {
  return host.empty() || host.starts_with('/') || host == "localhost" || host == "127.0.0.1" ||
         host == "::1";
}

// Whether `receiver` streams from `server`: same port, and the same host as far as names tell.
bool streams_from(const PostgresReceiver& receiver, const PostgresServerView& server) {
  const std::string& port = server.node->port.empty() ? "5432" : server.node->port;
  if (receiver.upstream_port != port) return false;
  return receiver.upstream_host == server.node->host ||
         (is_local_name(receiver.upstream_host) && is_local_name(server.node->host));
}

// Upstreams of standbys that do not follow a standby.
std::set<std::string> upstreams(const Servers& standbys) {
  std::set<std::string> out;
  for (const PostgresServerView* one : standbys) {
    const PostgresReceiver* receiver = one->receiver;
    if (receiver == nullptr || receiver->upstream_host.empty()) continue;
    const bool cascades =
        std::any_of(standbys.begin(), standbys.end(), [&](const PostgresServerView* other) {
          return other != one && streams_from(*receiver, *other);
        });
    if (!cascades) out.insert(receiver->upstream_host + ":" + receiver->upstream_port);
  }
  return out;
}

uint32_t highest_timeline(const std::string& cluster, const Servers& members,
                          const PostgresMemory& memory) {
  uint32_t highest = 0;
  for (const auto& [key, history] : memory.primaries) {
    if (key.first == cluster) highest = std::max(highest, key.second);
  }
  for (const PostgresServerView* one : members) {
    highest = std::max(highest, one->node->timeline.value_or(0));
    if (one->receiver != nullptr) highest = std::max(highest, one->receiver->timeline.value_or(0));
  }
  return highest;
}

void write_cluster(const std::string& cluster, const Servers& members, const PostgresMemory& memory,
                   Joined& out) {
  const Servers standbys = distinct(members, false);
  const size_t primaries = distinct(members, true).size();
  const size_t followed = upstreams(standbys).size();
  const uint32_t timeline = highest_timeline(cluster, members, memory);
  for (const PostgresServerView* one : members) {
    Table& table = out.table(one->source, kClusterSchema);
    table.add_row();
    table.set(0, 0, static_cast<double>(primaries));
    table.set(0, 1, static_cast<double>(standbys.size()));
    if (timeline > 0) table.set(0, 2, timeline);
    if (followed > 0) table.set(0, 3, static_cast<double>(followed));
  }
}

void write_role(const PostgresServerView& server, const PostgresMemory& memory, Joined& out) {
  const auto own = memory.servers.find(server.key);
  if (own == memory.servers.end()) return;
  Table& table = out.table(server.source, kRoleSchema);
  table.add_row();
  table.set(0, 0, static_cast<double>(own->second.promotions));
  if (own->second.promoted_at) table.set(0, 1, unix_seconds(*own->second.promoted_at));
}

void write_protected(const PostgresServerView& server, Joined& out) {
  Table& table = out.table(server.source, kProtectedSchema);
  table.add_row();
  if (server.senders_seen) {
    const bool streams = std::any_of(
        server.senders.begin(), server.senders.end(), [&](const PostgresSender* sender) {
          return sender->state == "streaming" && is_standby(*sender, server);
        });
    table.set(0, 0, streams ? 1 : 0, 0);
  }
  if (server.archiving != nullptr) {
    const PostgresArchiving& archiving = *server.archiving;
    const bool failing =
        archiving.last_failed && archiving.last_failed > archiving.last_archived.value_or(0);
    table.set(0, 0, archiving.configured && !failing ? 1 : 0, 1);
  }
}

// Whether a standby is of no more use as it is. Only what its primary, in sight, can show.
void write_rebuild(const PostgresServerView& standby, const std::vector<PostgresServerView>& all,
                   const PostgresMemory& memory, Joined& out) {
  const auto own = memory.servers.find(standby.key);
  const PostgresServerView* primary =
      primary_of(all, standby.cluster, std::nullopt, standby.node->at);
  if (primary == nullptr || own == memory.servers.end() || own->second.replayed.empty()) return;
  const PostgresMemory::Server& known = own->second;
  const bool streams = standby.receiver != nullptr && standby.receiver->streaming;
  const Instant moved = std::max(known.replayed.moved_at(),
                                 known.received.empty() ? Instant{} : known.received.moved_at());
  // Its receiver may look alive for a moment at each try.
  const bool stuck = standby.node->at - moved > kStuckFor;
  const Lsn position = std::max(*standby.node->replay, standby.node->receive.value_or(0));
  Table& table = out.table(standby.source, kRebuildSchema);
  table.add_row();
  if (primary->kept != nullptr)
    table.set(0, 0, stuck && position < primary->kept->oldest ? 1 : 0, 0);
  const bool lost =
      std::any_of(primary->slots.begin(), primary->slots.end(), [&](const PostgresSlot* slot) {
        return slot->lost && !known.slot_name.empty() && slot->name == known.slot_name;
      });
  table.set(0, 0, !streams && lost ? 1 : 0, 1);
  if (!known.timeline || !primary->node->timeline) return;
  // The first sight of the next timeline lies at or behind where it began.
  const auto next = memory.primaries.upper_bound({standby.cluster, *known.timeline});
  const bool diverged = !streams && next != memory.primaries.end() &&
                        next->first.first == standby.cluster && !next->second.empty() &&
                        *standby.node->replay > next->second.oldest();
  table.set(0, 0, diverged ? 1 : 0, 2);
}

void run(const std::vector<PostgresServerView>& servers, const Moment&, PostgresMemory& memory,
         Joined& out) {
  std::map<std::string, Servers> clusters;
  for (const PostgresServerView& server : servers) {
    if (server.has_identifier()) clusters[server.cluster].push_back(&server);
    write_role(server, memory, out);
    if (server.is_primary()) {
      write_protected(server, out);
    } else if (server.node->replay) {
      write_rebuild(server, servers, memory, out);
    }
  }
  for (const auto& [cluster, members] : clusters) write_cluster(cluster, members, memory, out);
}

constexpr const Schema* kSchemas[] = {&kClusterSchema, &kRoleSchema, &kProtectedSchema,
                                      &kRebuildSchema};

}  // namespace

extern const PostgresPart postgres_clusters{kSchemas, run};

}  // namespace lagwatch
