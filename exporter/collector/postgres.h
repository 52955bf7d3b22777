// SPDX-License-Identifier: Apache-2.0
// PostgreSQL's options, and the State that its collectors share.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "collector/collector.h"

namespace lagwatch {

struct PostgresHeartbeatOptions {
  // Schema-qualified table with one row, and its column of type timestamptz, which somebody on the
  // primary sets to clock_timestamp() again and again. Empty: there is none.
  std::string table;
  std::string column = "ts";

  // Set it ourselves, every interval, on the primary, with synchronous_commit=local. One agent
  // does, the first to take an advisory lock. Costs a row's WAL (some 100 bytes) an interval, and
  // with archive_timeout a segment each time on a server that would be idle.
  bool write = false;
};

struct PostgresOptions {
  std::string dsn;            // of libpq, one host, without a password
  std::string password_file;  // one line, read at each connect
  // As the DSN has them, empty for libpq's defaults: how others may name this server.
  std::string host;
  std::string port;
  PostgresHeartbeatOptions heartbeat;

  // Where the server's files are, if this host has them: for the space pg_wal has left and the
  // recovery files. Empty: asked of the server, which tells roles with pg_read_all_settings.
  std::string data_directory;

  // Before 9.6: ask the system identifier over a short replication connection.
  bool identify = true;

  // Databases beyond this many are left out of per-database metrics and counted.
  size_t max_databases = 200;
};

std::unique_ptr<State> make_postgres_state(PostgresOptions options);

extern const Kind kPostgresKind;

// The statements about the heartbeat: their texts hold the operator's table and column.
class HeartbeatSql {
 public:
  explicit HeartbeatSql(const PostgresHeartbeatOptions& options);
  HeartbeatSql(const HeartbeatSql&) = delete;
  HeartbeatSql& operator=(const HeartbeatSql&) = delete;

 private:
  const std::string read_;
  const std::string write_;
  const std::string lock_;

 public:
  // What allows each, for messages.
  const std::string read_grant;
  const std::string write_grant;
  const std::string insert;

  const Sql read[1];
  const Sql write[1];
  const Sql lock[1];
};

// What the collectors of one server know of it and of each other. postgres_node, first of the main
// lane, sets the role.
struct PostgresState : State {
  PostgresOptions options;
  std::shared_ptr<const PostgresServer> server;
  std::string host;  // of the DSN; empty for a socket in libpq's default directory
  std::string port;
  bool local = false;  // asked through a Unix socket: its files are this host's

  int version = 0;                  // as PQserverVersion has it
  std::optional<bool> in_recovery;  // nothing before the first answer
  std::optional<uint32_t> timeline;
  std::optional<uint64_t> current_lsn;  // a primary's
  bool archives_as_standby = false;     // archive_mode=always

  std::optional<uint64_t> segment_bytes;  // wal_segment_size
  std::string data_directory;             // as the server says

  // Before 10: whether the SECURITY DEFINER functions of the README are there.
  struct Wrappers {
    bool replication = false;
    bool wal_receiver = false;
    bool archive_status = false;
    bool superuser = false;  // needs none of them
  };
  Wrappers wrappers;

  std::unique_ptr<const HeartbeatSql> heartbeat;  // null: there is none
  bool writes_heartbeat = false;                  // asked to, and allowed

  // When a sender's reply last changed, by its labels.
  struct LastReply {
    double timestamp = 0;
    Instant changed{};
    bool from_start = true;  // not seen to change yet: its age is a lower bound
  };
  std::map<std::string, LastReply> replies;
};

inline PostgresState& postgres_state(State& state) { return static_cast<PostgresState&>(state); }

}  // namespace lagwatch
