// SPDX-License-Identifier: Apache-2.0
// The archiver's own account: what it says it archived and what failed. Whether the archive has it
// is another question. Source: pg_stat_archiver (9.4+), settings. Privilege: none. Silent on a
// standby that does not archive itself: its numbers may be those of the days when it was a primary.
#include <algorithm>

#include "base/text.h"
#include "collector/postgres_rows.h"

namespace lagwatch {
namespace {

constexpr Column kColumns[] = {
    counter("pg_stat_archiver_archived_count", "archived_count",
            "WAL files that archive_command said it archived."),
    counter("pg_stat_archiver_failed_count", "failed_count",
            "Failed tries: three a second apart, then a minute's pause."),
    gauge("pg_stat_archiver_last_archive_age", "last_archive_age",
          "Seconds since the last file was archived, by the server's clock; grows while nothing is "
          "written: compare with pg_archive_ready_segments."),
    gauge("pg_stat_archiver_last_archived_timestamp_seconds", "last_archived",
          "When the last file was archived, by the server's clock, in seconds since 1970."),
    gauge("pg_stat_archiver_last_failed_timestamp_seconds", "last_failed",
          "When the last try failed, by the server's clock, in seconds since 1970; stays for ever: "
          "failing now is when it is later than the last success."),
    gauge("pg_archive_configured", "archive_mode, archive_command, archive_library",
          "1 if the server would archive here: archive_mode on (on a standby always) and a command "
          "or library set."),
    gauge("pg_archive_backlog_segments", "pg_stat_archiver.last_archived_wal",
          "Complete segments behind the last one archived, by position: needs no look into the "
          "directory. Absent before the first one and after a change of timeline."),
};
constexpr Schema kSchema{{}, kColumns};
constexpr size_t kConfigured = 5;
constexpr size_t kBacklog = 6;

constexpr Sql kSql[] = {
    {90300,
     "SELECT current_setting('archive_mode') AS mode,"
     " current_setting('archive_command') NOT IN ('', '(disabled)') AS has_command"},
    {90400,
     "SELECT current_setting('archive_mode') AS mode,"
     " current_setting('archive_command') NOT IN ('', '(disabled)') AS has_command,"
     " archived_count, failed_count, last_archived_wal,"
     " extract(epoch FROM clock_timestamp() - last_archived_time) AS last_archive_age,"
     " extract(epoch FROM last_archived_time) AS last_archived,"
     " extract(epoch FROM last_failed_time) AS last_failed FROM pg_stat_archiver"},
    {150000,
     "SELECT current_setting('archive_mode') AS mode,"
     " (current_setting('archive_command') NOT IN ('', '(disabled)')"
     " OR current_setting('archive_library') <> '') AS has_command,"
     " archived_count, failed_count, last_archived_wal,"
     " extract(epoch FROM clock_timestamp() - last_archived_time) AS last_archive_age,"
     " extract(epoch FROM last_archived_time) AS last_archived,"
     " extract(epoch FROM last_failed_time) AS last_failed FROM pg_stat_archiver"},
};
constexpr Wanted kWanted{"pg_stat_archiver", "GRANT SELECT ON pg_stat_archiver TO lagwatch"};

Asks begin(State& state) { return ask_sql(state, kSql); }

// Segments complete at `current` and later than `name`. Nothing for a backup label, a history file
// or another timeline.
std::optional<double> backlog(std::string_view name, const PostgresState& postgres) {
  const auto segment = parse_wal_name(name, postgres.segment_bytes.value_or(kDefaultSegmentBytes));
  if (!segment || !postgres.current_lsn || segment->timeline != postgres.timeline)
    return std::nullopt;
  const Lsn end = segment->begin + segment->bytes;
  if (*postgres.current_lsn <= end) return 0;
  return static_cast<double>((*postgres.current_lsn - end) / segment->bytes);
}

Step read(State& state, std::span<Reply> replies, const Moment& now, Output& out) {
  PostgresState& postgres = postgres_state(state);
  if (auto step = without_rows(replies[0], kWanted, out)) return *step;
  const Rows& rows = replies[0]->sql->rows;
  if (rows.empty() || !postgres.in_recovery) return Done{};
  const std::string_view mode = rows.text(0, "mode");
  postgres.archives_as_standby = mode == "always";
  const bool here = mode == "always" || (mode == "on" && postgres.in_recovery == false);

  PostgresArchiving fact;
  fact.at = now.steady;
  fact.configured = here && rows.number(0, "has_command") == 1;
  Table& table = here ? write_rows(rows, kSchema, out) : out.table(kSchema);
  if (!here) table.add_row();
  table.set(0, kConfigured, fact.configured ? 1 : 0);
  if (here) {
    fact.last_archived = rows.number(0, "last_archived");
    fact.last_failed = rows.number(0, "last_failed");
    if (const auto behind = backlog(rows.text(0, "last_archived_wal"), postgres))
      table.set(0, kBacklog, *behind);
  }
  out.fact(fact);
  return Done{};
}

constexpr const Schema* kSchemas[] = {&kSchema};

}  // namespace

extern const Collector postgres_archiver{
    "postgres_archiver", &kPostgresKind, Lane::kMain, kSchemas, begin, read};

}  // namespace lagwatch
