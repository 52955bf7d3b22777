// SPDX-License-Identifier: Apache-2.0
// What PostgreSQL targets say of themselves for join/: positions in the WAL, role, who streams from
// whom. What is not known is absent. Instants are the agent's; times of servers are never compared
// with each other. Behind each field: the family that exports it, from which it is rebuilt when it
// was read from another agent (model/remote_facts).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"

namespace lagwatch {

// A position in the WAL, bytes.
using Lsn = uint64_t;

// One server. Collector postgres_node.
struct PostgresNode {
  Instant at{};                        // when all of this was so
  bool in_recovery = false;            // pg_replication_is_replica
  std::string system_identifier;       // pg_system_info; empty: not known
  std::optional<uint32_t> timeline;    // pg_timeline
  std::optional<Lsn> current;          // pg_wal_lsn_bytes{kind="current"}: a primary's
  std::optional<Lsn> receive;          // {kind="receive"}: a standby's, flushed
  std::optional<Lsn> replay;           // {kind="replay"}
  std::optional<double> start_time;    // pg_postmaster_start_time_seconds: who it is
  std::optional<bool> replay_paused;   // pg_replication_is_replay_paused
  std::optional<double> clock_offset;  // server's clock less the agent's wall clock, s
  std::string host;                    // where it was asked: host of the DSN or of its agent
  std::string port;                    // pg_settings_port
};

// The WAL receiver of a standby (9.6+). Collector postgres_wal_receiver.
struct PostgresReceiver {
  Instant at{};
  bool streaming = false;                  // pg_stat_wal_receiver_up
  std::string upstream_host;               // pg_stat_wal_receiver_info{upstream_host}
  std::string upstream_port;               // likewise
  std::string slot_name;                   // likewise
  std::optional<uint32_t> timeline;        // pg_stat_wal_receiver_received_tli
  std::optional<double> last_message_age;  // pg_stat_wal_receiver_last_msg_age_seconds
  std::optional<double> timeout;           // pg_settings_wal_receiver_timeout_seconds; 0: none
  std::optional<Lsn> latest_end;           // pg_stat_wal_receiver_latest_end_lsn
};

// That the WAL senders of a server were looked at, and may be seen: a server without any says so.
// Collector postgres_replication.
struct PostgresSenders {
  Instant at{};  // pg_stat_replication_standbys is there
};

// One WAL sender, on whichever server it runs. Collector postgres_replication.
struct PostgresSender {
  Instant at{};
  std::string application_name;  // labels of pg_stat_replication_lsn_bytes
  std::string client_addr;
  std::string state;
  std::string slot_name;
  std::optional<Lsn> sent;  // pg_stat_replication_lsn_bytes{kind="sent"}, ...
  std::optional<Lsn> write;
  std::optional<Lsn> flush;
  std::optional<Lsn> replay;
};

// One replication slot. Collector postgres_slots.
struct PostgresSlot {
  Instant at{};
  std::string name;                    // labels of pg_replication_slots_slot_is_active
  std::string type;                    // physical or logical
  bool active = false;                 // pg_replication_slots_slot_is_active
  bool lost = false;                   // pg_replication_slots_wal_status{wal_status="lost"}
  std::optional<Lsn> restart;          // pg_replication_slots_restart_lsn
  std::optional<Lsn> confirmed_flush;  // pg_replication_slots_slot_confirmed_flush_lsn
};

// The heartbeat row as this server has it. Collector postgres_heartbeat.
struct PostgresHeartbeat {
  Instant at{};
  double timestamp = 0;  // pg_heartbeat_timestamp_seconds: by the writer's clock
};

// Does this server archive? Collectors postgres_archiver and postgres_settings.
struct PostgresArchiving {
  Instant at{};
  bool configured = false;  // pg_archive_configured: mode on (or always) and a command or library
  // pg_stat_archiver_last_archived_timestamp_seconds, ..._last_failed_...: of the server's clock
  std::optional<double> last_archived;
  std::optional<double> last_failed;
};

// The oldest WAL that is still in pg_wal. Collector postgres_wal.
struct PostgresWalKept {
  Instant at{};
  Lsn oldest = 0;  // pg_wal_oldest_lsn_bytes: where the oldest segment begins
};

}  // namespace lagwatch
