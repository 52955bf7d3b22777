// SPDX-License-Identifier: Apache-2.0
// Segments that wait to be archived: the truth of a failing, hanging or stopped archiver on every
// version. Source: pg_ls_archive_statusdir() (12+), pg_ls_dir() (10, 11), the function
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
          "when none waits, and on 10 and 11."),
};
constexpr Schema kSchema{{}, kColumns};

constexpr Sql kSql[] = {
    {90300,
     "SELECT ready, extract(epoch FROM oldest_ready_mtime) AS oldest"
     " FROM monitoring.archive_status()"},
    {100000,
     "SELECT count(*) AS ready FROM pg_ls_dir('pg_wal/archive_status') AS name"
     " WHERE name ~ '^[0-9A-F]{24}[.]ready$'"},
    {120000,
     "SELECT count(*) AS ready, extract(epoch FROM min(modification)) AS oldest"
     " FROM pg_ls_archive_statusdir() WHERE name ~ '^[0-9A-F]{24}[.]ready$'"},
};
// A superuser before 10, without the function.
constexpr Sql kDirect[] = {
    {90300,
     "SELECT count(*) AS ready, extract(epoch FROM"
     " min((pg_stat_file('pg_xlog/archive_status/' || name)).modification)) AS oldest"
     " FROM pg_ls_dir('pg_xlog/archive_status') AS name WHERE name ~ '^[0-9A-F]{24}[.]ready$'"},
    {100000, ""},
};
// Not asked where neither may be: what is missing is said instead.
constexpr Sql kNothing[] = {{90300, "SELECT NULL AS ready"}, {100000, ""}};

constexpr Wanted kWanted{
    "pg_wal/archive_status",
    "GRANT EXECUTE ON FUNCTION pg_ls_archive_statusdir() TO lagwatch (10 and 11: ON FUNCTION "
    "pg_ls_dir(text))"};

Asks begin(State& state) {
  const PostgresState& postgres = postgres_state(state);
  const bool archives = postgres.in_recovery == false || postgres.archives_as_standby;
  if (!archives) return {};
  const bool old = postgres.version < 100000 && !postgres.wrappers.archive_status;
  if (old) return ask_sql(state, postgres.wrappers.superuser ? kDirect : kNothing);
  return ask_sql(state, kSql);
}

Step read(State&, std::span<Reply> replies, const Moment&, Output& out) {
  if (replies.empty()) return Done{};
  // Between listing a file and looking at it the archiver may have renamed it: this time there is
  // no number.
  if (replies[0].ok() && replies[0]->sql->error && replies[0]->sql->error->sqlstate == "58P01")
    return Done{};
  if (auto step = without_rows(replies[0], kWanted, out)) return *step;
  const SqlAnswer& answer = *replies[0]->sql;
  if (answer.rows.is_null(0, "ready")) {
    say_denied(answer, kWanted, out);
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
