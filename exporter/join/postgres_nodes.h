// SPDX-License-Identifier: Apache-2.0
// The PostgreSQL servers in sight with all that was said of each, and what their clusters'
// histories say of a position.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "join/join.h"

namespace lagwatch {

// One server. Pointers are into the targets' facts; null: not said.
struct PostgresServerView {
  FactSource source;
  std::string key;                     // its labels: who it is in PostgresMemory
  std::string cluster;                 // system identifier, or "@" and the labels
  Duration interval{};                 // how often it is asked
  const PostgresNode* node = nullptr;  // never null
  const PostgresReceiver* receiver = nullptr;
  const PostgresHeartbeat* heartbeat = nullptr;
  const PostgresArchiving* archiving = nullptr;
  const PostgresWalKept* kept = nullptr;
  std::optional<Instant> senders_seen;  // when they were looked at; nothing: hidden from us
  std::vector<const PostgresSender*> senders;
  std::vector<const PostgresSlot*> slots;

  bool is_primary() const { return !node->in_recovery; }
  bool has_identifier() const { return !node->system_identifier.empty(); }
};

// Those that answered within two intervals and the timeout: samples may be shown longer, while a
// server that fails is asked ever more seldom, but nothing is concluded from them.
std::vector<PostgresServerView> postgres_servers(Targets targets, const Moment& now,
                                                 const Joined& joined);

// One part of the join over PostgreSQL targets (postgres.cpp): all share one look at the servers.
struct PostgresPart {
  std::span<const Schema* const> schemas;
  void (*run)(const std::vector<PostgresServerView>& servers, const Moment& now,
              PostgresMemory& memory, Joined& out);
};

// Whether `server` was asked recently enough, as of `at`, for its position to be its newest.
bool in_sight(const PostgresServerView& server, Instant at);

// The primary of `cluster` on `timeline`, or on the highest where that is not given; null: not in
// sight at `at`.
const PostgresServerView* primary_of(const std::vector<PostgresServerView>& servers,
                                     const std::string& cluster, std::optional<uint32_t> timeline,
                                     Instant at);

// A physical standby, and not pg_receivewal, a base backup or a logical subscriber.
bool is_standby(const PostgresSender& sender, const PostgresServerView& server);

// The WAL of a cluster as one history: timelines up to `last`, each up to where the next was first
// seen. Nothing if the cluster has none.
std::optional<LsnHistory::Lag> lag_in_cluster(const PostgresMemory& memory,
                                              const std::string& cluster,
                                              std::optional<uint32_t> last, Lsn lsn, Instant at);

// The newest position known of it; nothing if there is none.
std::optional<Lsn> newest_in_cluster(const PostgresMemory& memory, const std::string& cluster,
                                     std::optional<uint32_t> last);

// Takes what the servers say into the histories.
void remember(const std::vector<PostgresServerView>& servers, const Moment& now,
              PostgresMemory& memory);

}  // namespace lagwatch
