// SPDX-License-Identifier: Apache-2.0
#include "join/postgres_nodes.h"

#include <algorithm>
#include <cmath>

namespace lagwatch {
namespace {

constexpr double kMicroseconds = 1e6;
constexpr uint32_t kNoTimeline = 0;

PostgresServerView* find(std::vector<PostgresServerView>& servers, const FactSource& source) {
  const auto found =
      std::find_if(servers.begin(), servers.end(),
                   [&](const PostgresServerView& one) { return one.source == source; });
  return found == servers.end() ? nullptr : &*found;
}

// The last of its kind that a server said.
template <typename F>
void attach(Targets targets, std::vector<PostgresServerView>& servers,
            const F* PostgresServerView::*where) {
  each_fact<F>(targets, [&](const FactSource& source, const F& fact) {
    if (PostgresServerView* server = find(servers, source)) server->*where = &fact;
  });
}

template <typename F>
void attach_all(Targets targets, std::vector<PostgresServerView>& servers,
                std::vector<const F*> PostgresServerView::*where) {
  each_fact<F>(targets, [&](const FactSource& source, const F& fact) {
    if (PostgresServerView* server = find(servers, source)) (server->*where).push_back(&fact);
  });
}

std::optional<Lsn> received(const PostgresServerView& server) {
  std::optional<Lsn> most = server.node->receive;
  if (server.receiver != nullptr && server.receiver->latest_end)
    most = std::max(most.value_or(0), *server.receiver->latest_end);
  return most;
}

void remember_primary(const PostgresServerView& server, PostgresMemory& memory) {
  const PostgresNode& node = *server.node;
  if (!node.current) return;
  memory.primaries[{server.cluster, node.timeline.value_or(kNoTimeline)}].add(node.at,
                                                                              *node.current);
  memory.watched.insert(server.cluster);
  if (node.clock_offset) memory.clock_offsets[server.cluster] = *node.clock_offset;
  if (server.heartbeat != nullptr && server.heartbeat->timestamp > 0) {
    const auto position = static_cast<Lsn>(server.heartbeat->timestamp * kMicroseconds);
    memory.heartbeats[server.cluster].add(server.heartbeat->at, position);
  }
}

}  // namespace

std::vector<PostgresServerView> postgres_servers(Targets targets, const Moment& now,
                                                 const Joined& joined) {
  std::vector<PostgresServerView> servers;
  each_fact<PostgresNode>(targets, [&](const FactSource& source, const PostgresNode& node) {
    // What another agent tells is as old as both intervals.
    const TargetView& target = *targets[source.target];
    const Duration interval = target.interval * (source.remote != nullptr ? 2 : 1);
    if (now.steady - node.at > 2 * interval + target.timeout) return;
    PostgresServerView& server = servers.emplace_back();
    server.source = source;
    server.key = joined.label_block(source);
    server.node = &node;
    server.cluster = node.system_identifier.empty() ? "@" + server.key : node.system_identifier;
    server.interval = interval;
  });
  attach(targets, servers, &PostgresServerView::receiver);
  attach(targets, servers, &PostgresServerView::heartbeat);
  attach(targets, servers, &PostgresServerView::archiving);
  attach(targets, servers, &PostgresServerView::kept);
  each_fact<PostgresSenders>(targets, [&](const FactSource& source, const PostgresSenders& fact) {
    if (PostgresServerView* server = find(servers, source)) server->senders_seen = fact.at;
  });
  attach_all(targets, servers, &PostgresServerView::senders);
  attach_all(targets, servers, &PostgresServerView::slots);
  return servers;
}

bool in_sight(const PostgresServerView& server, Instant at) {
  return at - server.node->at <= server.interval * 3 / 2;
}

const PostgresServerView* primary_of(const std::vector<PostgresServerView>& servers,
                                     const std::string& cluster, std::optional<uint32_t> timeline,
                                     Instant at) {
  const PostgresServerView* best = nullptr;
  for (const PostgresServerView& one : servers) {
    if (!one.is_primary() || one.cluster != cluster || !one.node->current) continue;
    if (!in_sight(one, at) || (timeline && one.node->timeline != timeline)) continue;
    if (best == nullptr || one.node->timeline > best->node->timeline) best = &one;
  }
  return best;
}

bool is_standby(const PostgresSender& sender, const PostgresServerView& server) {
  if (!sender.replay) return false;
  return std::none_of(server.slots.begin(), server.slots.end(), [&](const PostgresSlot* slot) {
    return slot->name == sender.slot_name && slot->type == "logical";
  });
}

std::optional<LsnHistory::Lag> lag_in_cluster(const PostgresMemory& memory,
                                              const std::string& cluster,
                                              std::optional<uint32_t> last, Lsn lsn, Instant at) {
  bool any = false;
  bool before = false;  // an earlier timeline was seen at or before `lsn`
  for (auto one = memory.primaries.lower_bound({cluster, 0});
       one != memory.primaries.end() && one->first.first == cluster; ++one) {
    if (last && one->first.second > *last) break;
    const LsnHistory& history = one->second;
    if (history.empty()) continue;
    any = true;
    before = before || history.reaches_back_to(lsn);
    // What this timeline wrote behind the point where the next began is lost to it.
    const auto next = std::next(one);
    const bool forked = next != memory.primaries.end() && next->first.first == cluster &&
                        (!last || next->first.second <= *last) && !next->second.empty();
    if (forked && lsn >= next->second.oldest()) continue;
    if (history.newest() <= lsn) continue;
    auto lag = history.lag(lsn, at);
    if (lag && lag->lower_bound && before) lag->lower_bound = false;
    return lag;
  }
  return any ? std::optional(LsnHistory::Lag{}) : std::nullopt;
}

std::optional<Lsn> newest_in_cluster(const PostgresMemory& memory, const std::string& cluster,
                                     std::optional<uint32_t> last) {
  std::optional<Lsn> newest;
  for (const auto& [key, history] : memory.primaries) {
    if (key.first != cluster || history.empty() || (last && key.second > *last)) continue;
    newest = history.newest();  // of the highest timeline: keys ascend
  }
  return newest;
}

void remember(const std::vector<PostgresServerView>& servers, const Moment& now,
              PostgresMemory& memory) {
  for (const PostgresServerView& server : servers) {
    PostgresMemory::Server& own = memory.servers[server.key];
    own.seen_at = server.node->at;
    if (own.in_recovery == true && server.is_primary()) {
      ++own.promotions;
      own.promoted_at = now.wall;
    }
    own.in_recovery = server.node->in_recovery;
    if (server.is_primary()) {
      own.timeline = server.node->timeline;  // of its own WAL, should it become a standby
      own.received = {};
      own.replayed = {};
      remember_primary(server, memory);
      continue;
    }
    if (const auto lsn = received(server)) own.received.add(server.node->at, *lsn);
    if (server.node->replay) own.replayed.add(server.node->at, *server.node->replay);
    if (server.receiver != nullptr && server.receiver->streaming) {
      own.timeline = server.receiver->timeline;
      own.slot_name = server.receiver->slot_name;
    }
  }
  prune(memory, now.steady);
}

}  // namespace lagwatch
