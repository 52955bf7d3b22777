// SPDX-License-Identifier: Apache-2.0
// Sessions: how many, in which state, who waits and for how long. Connections and locks that hold
// all routes look the same from the web servers; here they do not. Source: pg_stat_activity,
// pg_locks (waitstart 14+). Privilege: pg_read_all_stats, before 10 superuser; without it the
// states of other roles' sessions are NULL.
#include "collector/postgres_rows.h"

namespace lagwatch {
namespace {

constexpr std::string_view kLabels[] = {"datname", "state"};
constexpr Column kColumns[] = {
    gauge(
        "pg_stat_activity_count", "sessions",
        "Sessions by database and state, this one left out, measured zeros included; labels as in "
        "postgres_exporter 0.11, for users and applications have no bound."),
    gauge("pg_stat_activity_max_tx_duration", "max_tx_duration",
          "Age of the oldest transaction among them, seconds."),
};
constexpr Schema kSchema{kLabels, kColumns};

constexpr Column kSummaryColumns[] = {
    gauge("pg_stat_activity_connections", "connections",
          "Sessions of clients, this one included: compare with pg_settings_max_connections."),
    gauge("pg_stat_activity_waiting", "waiting", "Sessions that wait for a lock."),
    gauge("pg_stat_activity_oldest_wait_seconds", "oldest_wait",
          "How long the first of them has waited (14+); before, since its statement began."),
    gauge("pg_stat_activity_oldest_transaction_seconds", "oldest_transaction",
          "Age of the oldest transaction of a client."),
    gauge("pg_stat_activity_idle_in_transaction", "idle_in_transaction",
          "Sessions idle in a transaction: they hold locks and hold back vacuum."),
    gauge("pg_stat_activity_oldest_idle_in_transaction_seconds", "oldest_idle_in_transaction",
          "How long the first of them has been idle."),
};
constexpr Schema kSummarySchema{{}, kSummaryColumns};

constexpr Sql kStates[] = {
    {90300,
     "SELECT d.datname, s.state, count(a.pid) AS sessions,"
     " coalesce(max(extract(epoch FROM clock_timestamp() - a.xact_start)), 0) AS max_tx_duration"
     " FROM pg_database d CROSS JOIN (VALUES ('active'), ('idle'), ('idle in transaction'),"
     " ('idle in transaction (aborted)'), ('fastpath function call'), ('disabled'), ('starting')) "
     "s(state)"
     " LEFT JOIN pg_stat_activity a ON a.datname = d.datname AND a.state = s.state"
     " AND a.pid <> pg_backend_pid() WHERE d.datallowconn"
     " GROUP BY d.oid, d.datname, s.state ORDER BY d.oid LIMIT 7000"},
};

// A session that has just begun has no state yet, whoever asks: what is hidden is known by its
// query.
constexpr Sql kSummary[] = {
    {90300,
     "SELECT count(*) AS connections, sum((query IS NOT DISTINCT FROM '<insufficient "
     "privilege>')::int) AS hidden,"
     " sum(waiting::int) AS waiting,"
     " max(CASE WHEN waiting THEN extract(epoch FROM clock_timestamp() - query_start) END)"
     " AS oldest_wait,"
     " max(CASE WHEN pid <> pg_backend_pid() THEN"
     " extract(epoch FROM clock_timestamp() - xact_start) END) AS oldest_transaction,"
     " sum((coalesce(state, '') LIKE 'idle in transaction%')::int) AS idle_in_transaction,"
     " max(CASE WHEN state LIKE 'idle in transaction%' THEN"
     " extract(epoch FROM clock_timestamp() - state_change) END) AS oldest_idle_in_transaction"
     " FROM pg_stat_activity"},
    {90600,
     "SELECT count(*) AS connections, sum((query IS NOT DISTINCT FROM '<insufficient "
     "privilege>')::int) AS hidden,"
     " sum((wait_event_type IS NOT DISTINCT FROM 'Lock')::int) AS waiting,"
     " max(CASE WHEN wait_event_type = 'Lock' THEN"
     " extract(epoch FROM clock_timestamp() - query_start) END) AS oldest_wait,"
     " max(CASE WHEN pid <> pg_backend_pid() THEN"
     " extract(epoch FROM clock_timestamp() - xact_start) END) AS oldest_transaction,"
     " sum((coalesce(state, '') LIKE 'idle in transaction%')::int) AS idle_in_transaction,"
     " max(CASE WHEN state LIKE 'idle in transaction%' THEN"
     " extract(epoch FROM clock_timestamp() - state_change) END) AS oldest_idle_in_transaction"
     " FROM pg_stat_activity"},
    {100000,
     "SELECT count(*) AS connections, sum((query IS NOT DISTINCT FROM '<insufficient "
     "privilege>')::int) AS hidden,"
     " sum((wait_event_type IS NOT DISTINCT FROM 'Lock')::int) AS waiting,"
     " max(CASE WHEN wait_event_type = 'Lock' THEN"
     " extract(epoch FROM clock_timestamp() - query_start) END) AS oldest_wait,"
     " max(CASE WHEN pid <> pg_backend_pid() THEN"
     " extract(epoch FROM clock_timestamp() - xact_start) END) AS oldest_transaction,"
     " sum((coalesce(state, '') LIKE 'idle in transaction%')::int) AS idle_in_transaction,"
     " max(CASE WHEN state LIKE 'idle in transaction%' THEN"
     " extract(epoch FROM clock_timestamp() - state_change) END) AS oldest_idle_in_transaction"
     " FROM pg_stat_activity WHERE backend_type = 'client backend' OR"
     " (backend_type IS NULL AND datname IS NOT NULL)"},
    {140000,
     "SELECT count(*) AS connections, sum((query IS NOT DISTINCT FROM '<insufficient "
     "privilege>')::int) AS hidden,"
     " sum((wait_event_type IS NOT DISTINCT FROM 'Lock')::int) AS waiting,"
     " (SELECT max(extract(epoch FROM clock_timestamp() - waitstart)) FROM pg_locks"
     " WHERE NOT granted) AS oldest_wait,"
     " max(CASE WHEN pid <> pg_backend_pid() THEN"
     " extract(epoch FROM clock_timestamp() - xact_start) END) AS oldest_transaction,"
     " sum((coalesce(state, '') LIKE 'idle in transaction%')::int) AS idle_in_transaction,"
     " max(CASE WHEN state LIKE 'idle in transaction%' THEN"
     " extract(epoch FROM clock_timestamp() - state_change) END) AS oldest_idle_in_transaction"
     " FROM pg_stat_activity WHERE backend_type = 'client backend' OR"
     " (backend_type IS NULL AND datname IS NOT NULL)"},
};
constexpr Wanted kWanted{"pg_stat_activity", "GRANT pg_read_all_stats TO lagwatch",
                         "before 10 only a superuser sees other roles' sessions"};

Asks begin(State& state) {
  Asks asks = ask_sql(state, kSummary);
  asks.push_back(ask_sql(state, kStates).front());
  return asks;
}

Step read(State& state, std::span<Reply> replies, const Moment&, Output& out) {
  if (auto step = without_rows(replies[0], kWanted, out)) return *step;
  const SqlAnswer& summary = *replies[0]->sql;
  if (summary.rows.number(0, "hidden").value_or(0) > 0) {
    // Only their number is known.
    say_denied(summary, kWanted, out);
    Table& table = out.table(kSummarySchema);
    table.add_row();
    table.set(0, 0, summary.rows.number(0, "connections").value_or(kAbsent));
    return Done{};
  }
  write_single(summary.rows, kSummarySchema, out);
  if (auto step = without_rows(replies[1], kWanted, out)) return *step;
  const Rows& rows = replies[1]->sql->rows;
  const size_t most = postgres_state(state).options.max_databases * 7;
  write_rows(rows, kSchema, out, most);
  return Done{};
}

constexpr const Schema* kSchemas[] = {&kSchema, &kSummarySchema};

}  // namespace

extern const Collector postgres_activity{
    "postgres_activity", &kPostgresKind, Lane::kBasics, kSchemas, begin, read};

}  // namespace lagwatch
