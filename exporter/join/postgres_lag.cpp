// SPDX-License-Identifier: Apache-2.0
// Replication lag that is never wrong: as good as the evidence, and named after it. In seconds it
// is the age, on the agent's clock, of the oldest WAL that a standby has not replayed. In this
// order: the heartbeat; the history of the primary's positions; the standby's own receiver; else it
// is not known, and why is said. A standby that has all its upstream ever sent is not at 0 when
// nobody knows what the upstream has written since. Source: the facts of PostgreSQL targets, of
// other agents' too.
#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>

#include "join/postgres_nodes.h"

namespace lagwatch {
namespace {

constexpr Column kLagColumns[] = {
    {.name = "pg_replication_lag_seconds",
     .source = "join over PostgreSQL targets",
     .help =
         "On a standby: age of the oldest WAL it has not replayed, by the agent's clock; 0 when "
         "it has replayed all there is; absent when that is not known, see "
         "pg_replication_lag_unknown."},
    {.name = "pg_replication_lag",
     .source = "join over PostgreSQL targets",
     .help = "The same under its old name."},
    {.name = "pg_replication_lag_is_lower_bound",
     .source = "join over PostgreSQL targets",
     .help = "1 while pg_replication_lag_seconds is at least what it says: the history it is read "
             "from begins later."},
    {.name = "pg_replication_lag_bytes",
     .source = "join over PostgreSQL targets",
     .help =
         "WAL that the standby has not replayed, bytes: of its primary's, as last seen; without "
         "a primary in sight, of what it has received."},
};
constexpr Schema kLagSchema{{}, kLagColumns};

constexpr std::string_view kSource[] = {"source"};
constexpr Column kSourceColumns[] = {
    {.name = "pg_replication_lag_source",
     .source = "join over PostgreSQL targets",
     .help = "1; what the lag is read from: heartbeat, lsn_history or receiver."},
};
constexpr Schema kSourceSchema{kSource, kSourceColumns};

constexpr std::string_view kReason[] = {"reason"};
constexpr Column kUnknownColumns[] = {
    {.name = "pg_replication_lag_unknown",
     .source = "join over PostgreSQL targets",
     .help = "1 on a standby whose lag is not known: primary_unseen, receiver_down, no_position, "
             "no_system_identifier, history_begins (behind, and for how long shows at the next "
             "look)."},
};
constexpr Schema kUnknownSchema{kReason, kUnknownColumns};

constexpr Column kWriterColumns[] = {
    {.name = "pg_heartbeat_writer_up",
     .source = "join over PostgreSQL targets",
     .help =
         "On a primary with a heartbeat: 0 when nobody has written it for half a minute, so that "
         "its age on standbys is no lag."},
};
constexpr Schema kWriterSchema{{}, kWriterColumns};

constexpr std::string_view kSenderLabels[] = {"application_name", "client_addr", "state",
                                              "slot_name"};
constexpr Column kSenderColumns[] = {
    {.name = "pg_stat_replication_lag_seconds",
     .source = "join over PostgreSQL targets",
     .help =
         "Age of the oldest WAL that the standby has not replayed as far as its sender knows, by "
         "the agent's clock; grows while the standby is silent and WAL is written."},
    {.name = "pg_stat_replication_lag_is_lower_bound",
     .source = "join over PostgreSQL targets",
     .help = "1 while pg_stat_replication_lag_seconds is at least what it says."},
};
constexpr Schema kSenderSchema{kSenderLabels, kSenderColumns};

constexpr std::string_view kSlotLabels[] = {"slot_name", "slot_type"};
constexpr Column kSlotColumns[] = {
    {.name = "pg_replication_slots_confirmed_flush_lag_seconds",
     .source = "join over PostgreSQL targets",
     .help = "Logical slots: age of the oldest WAL that the consumer has not confirmed, by the "
             "agent's clock."},
};
constexpr Schema kSlotSchema{kSlotLabels, kSlotColumns};

constexpr double kMicroseconds = 1e6;
constexpr Duration kWriterSilent = std::chrono::seconds(30);
// wal_receiver_timeout's default. The receiver pings its upstream after half of it.
constexpr double kReceiverTimeout = 60;

struct Judgement {
  std::optional<LsnHistory::Lag> lag;
  std::string_view source;
  std::string_view unknown;  // why there is no lag
};

// One standby and what may be said of it.
class Judge {
 public:
  Judge(const PostgresServerView& standby, const std::vector<PostgresServerView>& servers,
        const Moment& now, const PostgresMemory& memory)
      : standby_(standby), node_(*standby.node), now_(now), memory_(memory) {
    const auto found = memory.servers.find(standby.key);
    if (found != memory.servers.end()) own_ = &found->second;
    if (own_ != nullptr) timeline_ = own_->timeline;
    primary_ = primary_of(servers, standby.cluster, timeline_, node_.at);
    // One that follows a timeline without a primary in sight is compared with what came after it.
    if (primary_ == nullptr) {
      primary_ = primary_of(servers, standby.cluster, std::nullopt, node_.at);
      timeline_.reset();
    }
    watched_ = memory.watched.contains(standby.cluster);
  }

  Judgement lag() const {
    if (!node_.replay) return {{}, {}, "no_position"};
    for (const auto tier : {&Judge::by_heartbeat, &Judge::by_history, &Judge::by_receiver}) {
      if (const auto judged = (this->*tier)()) return *judged;
    }
    if (bytes().value_or(0) > 0) return {{}, {}, "history_begins"};
    if (standby_.receiver != nullptr && !standby_.receiver->streaming)
      return {{}, {}, "receiver_down"};
    return {{}, {}, standby_.has_identifier() ? "primary_unseen" : "no_system_identifier"};
  }

  std::optional<Lsn> bytes() const {
    if (!node_.replay) return std::nullopt;
    std::optional<Lsn> end;
    if (primary_ != nullptr) end = primary_->node->current;
    if (!end) end = newest_in_cluster(memory_, standby_.cluster, timeline_);
    if (!end && own_ != nullptr && !own_->received.empty()) end = own_->received.newest();
    if (!end) return std::nullopt;
    return *end > *node_.replay ? *end - *node_.replay : 0;
  }

 private:
  static std::optional<Judgement> judged(std::optional<LsnHistory::Lag> lag,
                                         std::string_view source) {
    if (!lag || lag->says_nothing()) return std::nullopt;
    return Judgement{lag, source, {}};
  }

  std::optional<Judgement> by_heartbeat() const {
    if (standby_.heartbeat == nullptr) return std::nullopt;
    const PostgresHeartbeat& own = *standby_.heartbeat;
    const auto found = memory_.heartbeats.find(standby_.cluster);
    if (found == memory_.heartbeats.end() || found->second.empty()) return std::nullopt;
    const LsnHistory& history = found->second;
    const auto position = static_cast<Lsn>(own.timestamp * kMicroseconds);
    if (position < history.newest()) return judged(history.lag(position, own.at), "heartbeat");
    if (primary_ != nullptr) {
      // Stale there too: the writer is dead, and says nothing of the standby.
      if (own.at - history.moved_at() > kWriterSilent) return std::nullopt;
      return Judgement{LsnHistory::Lag{}, "heartbeat", {}};
    }
    // Its age by the primary's clock, which is the agent's corrected by how they differed.
    const auto offset = memory_.clock_offsets.find(standby_.cluster);
    if (offset == memory_.clock_offsets.end()) return std::nullopt;
    const WallTime wall = now_.wall - (now_.steady - own.at);
    const double age = unix_seconds(wall) + offset->second - own.timestamp;
    return Judgement{LsnHistory::Lag{from_seconds(std::max(age, 0.0)), false}, "heartbeat", {}};
  }

  std::optional<Judgement> by_history() const {
    const auto lag = lag_in_cluster(memory_, standby_.cluster, timeline_, *node_.replay, node_.at);
    if (!lag) return std::nullopt;
    const auto newest = newest_in_cluster(memory_, standby_.cluster, timeline_);
    // Behind what is known it is behind, whoever is in sight; at its end, only if somebody looks.
    if (newest && *node_.replay >= *newest && primary_ == nullptr) return std::nullopt;
    return judged(lag, "lsn_history");
  }

  std::optional<Judgement> by_receiver() const {
    if (own_ == nullptr || own_->received.empty()) return std::nullopt;
    const bool all = *node_.replay >= own_->received.newest();
    const bool fresh = receiver_is_fresh();
    if (!all) {
      auto lag = own_->received.lag(*node_.replay, node_.at);
      if (lag && !fresh) lag->lower_bound = true;
      return judged(lag, "receiver");
    }
    // Its upstream may be behind itself: then the primary's position tells more.
    if (!fresh || bytes().value_or(0) > 0) return std::nullopt;
    return Judgement{LsnHistory::Lag{}, "receiver", {}};
  }

  // Whether what came from the upstream is all it has. While this agent knows the primary and does
  // not see it, something is wrong, and only a message of just now counts.
  bool receiver_is_fresh() const {
    const PostgresReceiver* receiver = standby_.receiver;
    if (receiver == nullptr || !receiver->streaming || !receiver->last_message_age) return false;
    const double timeout =
        receiver->timeout.value_or(0) > 0 ? *receiver->timeout : kReceiverTimeout;
    const double usual = timeout / 2 + 1;
    const double allowed = watched_ ? std::min(usual, seconds(standby_.interval)) : usual;
    return *receiver->last_message_age <= allowed;
  }

  const PostgresServerView& standby_;
  const PostgresNode& node_;
  const Moment& now_;
  const PostgresMemory& memory_;
  const PostgresMemory::Server* own_ = nullptr;
  std::optional<uint32_t> timeline_;  // that it follows, where a primary writes it
  const PostgresServerView* primary_ = nullptr;
  bool watched_ = false;  // this agent has seen a primary of the cluster
};

void write_standby(const PostgresServerView& server, const Judge& judge, Joined& out) {
  const Judgement judged = judge.lag();
  const auto bytes = judge.bytes();
  if (judged.lag || bytes) {
    Table& table = out.table(server.source, kLagSchema);
    table.add_row();
    if (judged.lag) {
      table.set(0, 0, seconds(judged.lag->value));
      table.set(0, 1, seconds(judged.lag->value));
      table.set(0, 2, judged.lag->lower_bound ? 1 : 0);
    }
    if (bytes) table.set(0, 3, static_cast<double>(*bytes));
  }
  Table& why = out.table(server.source, judged.lag ? kSourceSchema : kUnknownSchema);
  const std::string_view label[] = {judged.lag ? judged.source : judged.unknown};
  why.set(why.add_row(label), 0, 1);
}

// Where a consumer of `server` at `lsn` stands. A standby that sends on knows only what it has
// received, unless the primary is in sight.
std::optional<LsnHistory::Lag> consumer_lag(const PostgresServerView& server, Lsn lsn, Instant at,
                                            const std::vector<PostgresServerView>& servers,
                                            const PostgresMemory& memory) {
  if (server.is_primary())
    return lag_in_cluster(memory, server.cluster, server.node->timeline, lsn, at);
  if (primary_of(servers, server.cluster, std::nullopt, at) != nullptr)
    return lag_in_cluster(memory, server.cluster, std::nullopt, lsn, at);
  const auto own = memory.servers.find(server.key);
  return own == memory.servers.end() ? std::nullopt : own->second.received.lag(lsn, at);
}

// Judged at the moment of the server's own position, a fraction of a millisecond before theirs.
void write_consumers(const PostgresServerView& server,
                     const std::vector<PostgresServerView>& servers, const PostgresMemory& memory,
                     Joined& out) {
  Table* table = nullptr;
  for (const PostgresSender* sender : server.senders) {
    if (!is_standby(*sender, server)) continue;
    const auto lag = consumer_lag(server, *sender->replay, server.node->at, servers, memory);
    if (!lag || lag->says_nothing()) continue;
    if (table == nullptr) table = &out.table(server.source, kSenderSchema);
    const std::string_view labels[] = {sender->application_name, sender->client_addr, sender->state,
                                       sender->slot_name};
    const size_t row = table->add_row(labels);
    table->set(row, 0, seconds(lag->value));
    table->set(row, 1, lag->lower_bound ? 1 : 0);
  }
  table = nullptr;
  for (const PostgresSlot* slot : server.slots) {
    if (slot->type != "logical" || !slot->confirmed_flush) continue;
    const auto lag = consumer_lag(server, *slot->confirmed_flush, server.node->at, servers, memory);
    if (!lag || lag->says_nothing()) continue;
    if (table == nullptr) table = &out.table(server.source, kSlotSchema);
    const std::string_view labels[] = {slot->name, slot->type};
    table->set(table->add_row(labels), 0, seconds(lag->value));
  }
}

void write_writer(const PostgresServerView& server, const PostgresMemory& memory, Joined& out) {
  const auto found = memory.heartbeats.find(server.cluster);
  if (server.heartbeat == nullptr || found == memory.heartbeats.end() || found->second.empty())
    return;
  const Duration silent = server.heartbeat->at - found->second.moved_at();
  Table& table = out.table(server.source, kWriterSchema);
  table.add_row();
  table.set(0, 0, silent > kWriterSilent ? 0 : 1);
}

void run(const std::vector<PostgresServerView>& servers, const Moment& now, PostgresMemory& memory,
         Joined& out) {
  for (const PostgresServerView& server : servers) {
    if (server.is_primary()) {
      write_writer(server, memory, out);
    } else {
      write_standby(server, Judge(server, servers, now, memory), out);
    }
    write_consumers(server, servers, memory, out);
  }
}

constexpr const Schema* kSchemas[] = {&kLagSchema,    &kSourceSchema, &kUnknownSchema,
                                      &kWriterSchema, &kSenderSchema, &kSlotSchema};

}  // namespace

extern const PostgresPart postgres_lag{kSchemas, run};

}  // namespace lagwatch
