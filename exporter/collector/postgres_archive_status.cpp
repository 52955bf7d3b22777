// SPDX-License-Identifier: Apache-2.0
// Segments that wait to be archived: the truth of a failing, hanging or stopped archiver on every
// version. Source: pg_ls_archive_statusdir() (12+), pg_ls_dir() (11), the function
// monitoring.archive_status() before. Privilege: EXECUTE on them. A lane of its own: a directory of
// a hundred thousand files takes a while to list.
#include "collector/postgres_rows.h"

namespace lagwatch {
namespace {

constexpr Column kColumns[] = {
    gauge("pg_archive_ready_segments", "ready", "Segments that wait to be archived."),
    gauge("pg_archive_oldest_ready_timestamp_seconds", "oldest",
          "When the oldest of them was complete, by the server's clock, in seconds since 1970; "
          "absent "
          "when none waits, and on 11."),
};
constexpr Schema kSchema{{}, kColumns};

// pg_ls_dir is for superusers alone before 11, whatever is granted.
constexpr int kListingSince = 110000;
constexpr Sql kSql[] = {
    {90300,
     "SELECT ready, extract(epoch FROM oldest_ready_mtime) AS oldest"
     " FROM monitoring.archive_status()"},
    {kListingSince,
     "SELECT count(*) AS ready FROM pg_ls_dir('pg_wal/archive_status') AS name"
     " WHERE name ~ '^[0-9A-F]{24}[.]ready$'"},
    {120000,
     "SELECT count(*) AS ready, extract(epoch FROM min(modification)) AS oldest"
     " FROM pg_ls_archive_statusdir() WHERE name ~ '^[0-9A-F]{24}[.]ready$'"},
};
// A superuser before 11, without the function.
constexpr Sql kDirect[] = {
    {90300,
     "SELECT count(*) AS ready, extract(epoch FROM"
     " min((pg_stat_file('pg_xlog/archive_status/' || name)).modification)) AS oldest"
     " FROM pg_ls_dir('pg_xlog/archive_status') AS name WHERE name ~ '^[0-9A-F]{24}[.]ready$'"},
    {100000,
     "SELECT count(*) AS ready, extract(epoch FROM"
     " min((pg_stat_file('pg_wal/archive_status/' || name)).modification)) AS oldest"
     " FROM pg_ls_dir('pg_wal/archive_status') AS name WHERE name ~ '^[0-9A-F]{24}[.]ready$'"},
};
// Not asked where neither may be: what is missing is said instead.
constexpr Sql kNothing[] = {{90300, "SELECT NULL AS ready"}};

constexpr std::string_view kInstall =
    "install monitoring.archive_status() of README.md, section \"PostgreSQL before 10\"";
constexpr Wanted kOldWanted{"pg_wal/archive_status", kInstall, kInstall};
constexpr Wanted kListingWanted{"pg_wal/archive_status",
                                "GRANT EXECUTE ON FUNCTION pg_ls_dir(text) TO lagwatch"};
constexpr Wanted kWanted{"pg_wal/archive_status",
                         "GRANT EXECUTE ON FUNCTION pg_ls_archive_statusdir() TO lagwatch"};

Asks begin(State& state) {
  const PostgresState& postgres = postgres_state(state);
  const bool archives = postgres.in_recovery == false || postgres.archives_as_standby;
  if (!archives) return {};
  const bool old = postgres.version < kListingSince && !postgres.wrappers.archive_status;
  if (!old) return ask_sql(state, kSql);
  if (postgres.wrappers.superuser) return ask_sql(state, kDirect);
  return ask_sql(state, kNothing);
}

const Wanted& wanted_of(int version) {
  if (version < kListingSince) return kOldWanted;
  return version < 120000 ? kListingWanted : kWanted;
}

Step read(State&, std::span<Reply> replies, const Moment&, Output& out) {
  if (replies.empty()) return Done{};
  // Between listing a file and looking at it the archiver may have renamed it: this time there is
  // no number.
  if (replies[0].ok() && replies[0]->sql->error && replies[0]->sql->error->sqlstate == "58P01")
    return Done{};
  const Wanted& wanted = wanted_of(replies[0].ok() ? replies[0]->sql->server_version : 0);
  if (auto step = without_rows(replies[0], wanted, out)) return *step;
  const SqlAnswer& answer = *replies[0]->sql;
  if (answer.rows.is_null(0, "ready")) {
    say_denied(answer, wanted, out);
    return Done{};
  }
  write_single(answer.rows, kSchema, out);
  return Done{};
}

constexpr const Schema* kSchemas[] = {&kSchema};

}  // namespace

extern const Collector postgres_archive_status{
    "postgres_archive_status", &kPostgresKind, Lane::kDirectory, kSchemas, begin, read};

}  // namespace lagwatch
