// SPDX-License-Identifier: Apache-2.0
// The heartbeat row as this server has it, and on request its one writer. Privilege: SELECT on the
// table; to write, UPDATE.
#include <string>

#include "base/text.h"
#include "collector/postgres_rows.h"

namespace lagwatch {
namespace {

constexpr Column kColumns[] = {
    gauge(
        "pg_heartbeat_timestamp_seconds", "heartbeat",
        "The newest heartbeat that this server has, by its writer's clock, in seconds since 1970."),
    gauge("pg_heartbeat_writer", "pg_try_advisory_lock",
          "1 if this agent writes the heartbeat, 0 if another does; only where heartbeat.write is "
          "on, on a primary."),
};
constexpr Schema kSchema{{}, kColumns};

// Whether this session holds the lock of the heartbeat's writer: an arbitrary number that no other
// program locks.
constexpr std::string_view kOwnLock =
    "EXISTS (SELECT 1 FROM pg_catalog.pg_locks WHERE locktype = 'advisory'"
    " AND pid = pg_backend_pid() AND granted"
    " AND ((classid::bigint << 32) | objid::bigint) = 7021617310)";

}  // namespace

// Texts are made once a target: table and column are the operator's. Quoted by the configuration's
// reader, which takes plain names only.
HeartbeatSql::HeartbeatSql(const PostgresHeartbeatOptions& options)
    : read_("SELECT extract(epoch FROM max(" + options.column +
            ")) AS heartbeat, has_table_privilege('" + options.table +
            "', 'UPDATE') AS may_write FROM " + options.table),
      // The lock is the session's: it goes with the connection, and the next agent takes over.
      write_("UPDATE " + options.table + " SET " + options.column + " = clock_timestamp() WHERE " +
             std::string(kOwnLock)),
      lock_("SELECT CASE WHEN " + std::string(kOwnLock) +
            " THEN true ELSE pg_try_advisory_lock(7021617310) END AS taken"),
      read_grant("GRANT SELECT ON " + options.table + " TO lagwatch"),
      write_grant("GRANT SELECT, UPDATE ON " + options.table + " TO lagwatch"),
      insert("INSERT INTO " + options.table + " (" + options.column +
             ") VALUES (clock_timestamp())"),
      read{{90300, read_}},
      write{{90300, write_}},
      lock{{90300, lock_}} {}

namespace {

Asks begin(State& state) {
  const PostgresState& postgres = postgres_state(state);
  if (!postgres.heartbeat) return {};
  Asks asks;
  if (postgres.writes_heartbeat && postgres.in_recovery == false)
    asks.push_back(SqlAsk{.server = postgres.server, .texts = postgres.heartbeat->write});
  asks.push_back(SqlAsk{.server = postgres.server, .texts = postgres.heartbeat->read});
  return asks;
}

void write_heartbeat(const SqlAnswer& answer, std::optional<double> writer, const Moment& now,
                     Output& out) {
  const auto heartbeat = answer.rows.number(0, "heartbeat");
  Table& table = out.table(kSchema);
  table.add_row();
  if (heartbeat) table.set(0, 0, *heartbeat);
  if (writer) table.set(0, 1, *writer);
  if (heartbeat) out.fact(PostgresHeartbeat{now.steady, *heartbeat});
}

// Whether the row can be written at all; what is missing is said. Found out by asking, not by an
// UPDATE that fails into the server's log every few seconds.
bool may_write(const SqlAnswer& answer, const HeartbeatSql& sql, Output& out) {
  if (answer.rows.number(0, "may_write") == 0) {
    say_denied(answer, {"writing the heartbeat", sql.write_grant, sql.write_grant}, out);
    return false;
  }
  if (answer.rows.is_null(0, "heartbeat")) {
    out.limit({Reason::kProtocol, "the heartbeat's table has no row to write", sql.insert});
    return false;
  }
  return true;
}

Step read(State& state, std::span<Reply> replies, const Moment& now, Output& out) {
  PostgresState& postgres = postgres_state(state);
  if (replies.empty()) return Done{};
  const Reply& last = replies.back();
  // The answer to `lock`: whether we got it shows at the next write.
  if (last.ok() && last->sql->rows.column("taken")) return Done{};
  const HeartbeatSql& sql = *postgres.heartbeat;
  if (auto step = without_rows(last, {"the heartbeat", sql.read_grant, sql.read_grant}, out))
    return *step;
  const bool wanted = postgres.options.heartbeat.write && postgres.in_recovery == false;
  postgres.writes_heartbeat = wanted && may_write(*last->sql, sql, out);
  const Wanted to_write{"writing the heartbeat", sql.write_grant, sql.write_grant};
  const bool tried = replies.size() > 1 && !without_rows(replies[0], to_write, out);
  if (!tried) {
    write_heartbeat(*last->sql, std::nullopt, now, out);
    return Done{};
  }
  // No row changed: the lock is not ours, be it another's or nobody's yet.
  const bool written = replies[0]->sql->affected > 0;
  write_heartbeat(*last->sql, written ? 1 : 0, now, out);
  if (written) return Done{};
  return More{{SqlAsk{.server = postgres.server, .texts = sql.lock}}};
}

constexpr const Schema* kSchemas[] = {&kSchema};

}  // namespace

extern const Collector postgres_heartbeat{
    "postgres_heartbeat", &kPostgresKind, Lane::kMain, kSchemas, begin, read};

}  // namespace lagwatch
