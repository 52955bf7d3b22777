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

// Any constant will do that no other program locks.
constexpr std::string_view kLock = "7021617310";
constexpr Wanted kWanted{"the heartbeat", "GRANT SELECT ON the heartbeat's table TO lagwatch",
                         "GRANT SELECT ON the heartbeat's table TO lagwatch"};
constexpr Wanted kWriteWanted{
    "writing the heartbeat", "GRANT UPDATE ON the heartbeat's table TO lagwatch, and one row in it",
    "GRANT UPDATE ON the heartbeat's table TO lagwatch, and one row in it"};

}  // namespace

// Texts are made once a target: table and column are the operator's. Quoted by the configuration's
// reader, which takes plain names only.
HeartbeatSql::HeartbeatSql(const PostgresHeartbeatOptions& options)
    : read_("SELECT extract(epoch FROM max(" + options.column + ")) AS heartbeat FROM " +
            options.table),
      // The lock is the session's: it goes with the connection, and the next agent takes over.
      write_("UPDATE " + options.table + " SET " + options.column +
             " = clock_timestamp() WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_locks WHERE"
             " locktype = 'advisory' AND pid = pg_backend_pid() AND granted AND"
             " ((classid::bigint << 32) | objid::bigint) = " +
             std::string(kLock) + ")"),
      lock_("SELECT pg_try_advisory_lock(" + std::string(kLock) + ") AS taken"),
      read{{90300, read_}},
      write{{90300, write_}},
      lock{{90300, lock_}} {}

namespace {

Asks begin(State& state) {
  const PostgresState& postgres = postgres_state(state);
  if (!postgres.heartbeat) return {};
  Asks asks;
  if (postgres.options.heartbeat.write && postgres.in_recovery == false)
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

Step read(State& state, std::span<Reply> replies, const Moment& now, Output& out) {
  PostgresState& postgres = postgres_state(state);
  if (replies.empty()) return Done{};
  const Reply& last = replies.back();
  // The answer to `lock`: whether we got it shows at the next write.
  if (replies.size() == 1 && last.ok() && last->sql->rows.column("taken")) return Done{};
  if (auto step = without_rows(last, kWanted, out)) return *step;
  if (replies.size() == 1) {
    write_heartbeat(*last->sql, std::nullopt, now, out);
    return Done{};
  }
  // A row was changed: we have the lock. None: somebody else may have it, or nobody yet.
  if (without_rows(replies[0], kWriteWanted, out)) {
    write_heartbeat(*last->sql, std::nullopt, now, out);
    return Done{};
  }
  const bool written = replies[0]->sql->affected > 0;
  write_heartbeat(*last->sql, written ? 1 : 0, now, out);
  if (written) return Done{};
  return More{{SqlAsk{.server = postgres.server, .texts = postgres.heartbeat->lock}}};
}

constexpr const Schema* kSchemas[] = {&kSchema};

}  // namespace

extern const Collector postgres_heartbeat{
    "postgres_heartbeat", &kPostgresKind, Lane::kMain, kSchemas, begin, read};

}  // namespace lagwatch
