// SPDX-License-Identifier: Apache-2.0
// Work by database. Source: pg_stat_database (active_time 14+; checksum_failures 12+). Privilege:
// none.
#include "collector/postgres_rows.h"

namespace lagwatch {
namespace {

constexpr std::string_view kLabels[] = {"datid", "datname"};
constexpr Column kColumns[] = {
    gauge("pg_stat_database_numbackends", "numbackends", "Sessions connected to the database."),
    counter("pg_stat_database_xact_commit", "xact_commit", "Transactions committed."),
    counter("pg_stat_database_xact_rollback", "xact_rollback", "Transactions rolled back."),
    counter("pg_stat_database_blks_read", "blks_read", "Blocks read from disk."),
    counter("pg_stat_database_blks_hit", "blks_hit", "Blocks found in shared buffers."),
    counter("pg_stat_database_tup_returned", "tup_returned", "Rows that scans returned."),
    counter("pg_stat_database_tup_fetched", "tup_fetched", "Rows fetched through indexes."),
    counter("pg_stat_database_tup_inserted", "tup_inserted", "Rows inserted."),
    counter("pg_stat_database_tup_updated", "tup_updated", "Rows updated."),
    counter("pg_stat_database_tup_deleted", "tup_deleted", "Rows deleted."),
    counter("pg_stat_database_conflicts", "conflicts",
            "On a standby: queries cancelled because they were in the way of replay."),
    counter("pg_stat_database_temp_files", "temp_files", "Temporary files written."),
    counter("pg_stat_database_temp_bytes", "temp_bytes", "Bytes written to them."),
    counter("pg_stat_database_deadlocks", "deadlocks", "Deadlocks."),
    counter("pg_stat_database_checksum_failures", "checksum_failures",
            "Pages with a wrong checksum (12+, where checksums are on)."),
    counter("pg_stat_database_blk_read_time", "blk_read_time",
            "Milliseconds reading blocks, where track_io_timing is on."),
    counter("pg_stat_database_blk_write_time", "blk_write_time",
            "Milliseconds writing blocks, where track_io_timing is on."),
    {.name = "pg_stat_database_active_time_seconds_total",
     .type = Type::kCounter,
     .source = "active_time",
     .help = "Time spent executing statements (14+).",
     .scale = 0.001},
    counter("pg_stat_database_stats_reset", "stats_reset",
            "When these counters began anew, in seconds since 1970."),
};
constexpr Schema kSchema{kLabels, kColumns};

constexpr Sql kSql[] = {
    {90300,
     "SELECT datid, datname, numbackends, xact_commit, xact_rollback, blks_read, blks_hit,"
     " tup_returned, tup_fetched, tup_inserted, tup_updated, tup_deleted, conflicts, temp_files,"
     " temp_bytes, deadlocks, blk_read_time, blk_write_time,"
     " extract(epoch FROM stats_reset) AS stats_reset"
     " FROM pg_stat_database WHERE datname IS NOT NULL ORDER BY datid LIMIT 1000"},
    {120000,
     "SELECT datid, datname, numbackends, xact_commit, xact_rollback, blks_read, blks_hit,"
     " tup_returned, tup_fetched, tup_inserted, tup_updated, tup_deleted, conflicts, temp_files,"
     " temp_bytes, deadlocks, checksum_failures, blk_read_time, blk_write_time,"
     " extract(epoch FROM stats_reset) AS stats_reset"
     " FROM pg_stat_database WHERE datname IS NOT NULL ORDER BY datid LIMIT 1000"},
    {140000,
     "SELECT datid, datname, numbackends, xact_commit, xact_rollback, blks_read, blks_hit,"
     " tup_returned, tup_fetched, tup_inserted, tup_updated, tup_deleted, conflicts, temp_files,"
     " temp_bytes, deadlocks, checksum_failures, blk_read_time, blk_write_time, active_time,"
     " extract(epoch FROM stats_reset) AS stats_reset"
     " FROM pg_stat_database WHERE datname IS NOT NULL ORDER BY datid LIMIT 1000"},
};
constexpr Wanted kWanted{"pg_stat_database", "GRANT SELECT ON pg_stat_database TO lagwatch"};

Asks begin(State& state) { return ask_sql(state, kSql); }

Step read(State& state, std::span<Reply> replies, const Moment&, Output& out) {
  if (auto step = without_rows(replies[0], kWanted, out)) return *step;
  write_rows(replies[0]->sql->rows, kSchema, out, postgres_state(state).options.max_databases);
  return Done{};
}

constexpr const Schema* kSchemas[] = {&kSchema};

}  // namespace

extern const Collector postgres_database{
    "postgres_database", &kPostgresKind, Lane::kBasics, kSchemas, begin, read};

}  // namespace lagwatch
