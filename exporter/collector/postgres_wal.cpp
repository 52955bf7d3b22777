// SPDX-License-Identifier: Apache-2.0
// How much WAL the server keeps, and from where on: a standby that needs older must be built anew.
// Source: pg_ls_waldir() (10+). Privilege: EXECUTE on it, or pg_monitor.
#include <algorithm>

#include "collector/postgres_rows.h"

namespace lagwatch {
namespace {

constexpr Column kColumns[] = {
    gauge("pg_wal_segments", "segments", "Segments in pg_wal, those made ahead included."),
    gauge("pg_wal_size_bytes", "size", "Their size, bytes."),
    {.name = "pg_wal_oldest_lsn_bytes",
     .source = "pg_ls_waldir",
     .help = "Where the oldest of them begins, bytes."},
};
constexpr Schema kSchema{{}, kColumns};

constexpr Sql kSql[] = {
    {90300, ""},
    {100000,
     "SELECT count(*) AS segments, sum(size) AS size, min(substr(name, 9)) AS oldest"
     " FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'"},
};
constexpr Wanted kWanted{"pg_wal", "GRANT EXECUTE ON FUNCTION pg_ls_waldir() TO lagwatch"};

Asks begin(State& state) { return ask_sql(state, kSql); }

Step read(State& state, std::span<Reply> replies, const Moment& now, Output& out) {
  if (auto step = without_rows(replies[0], kWanted, out)) return *step;
  const Rows& rows = replies[0]->sql->rows;
  if (rows.empty()) return Done{};
  Table& table = write_rows(rows, kSchema, out);
  const std::string name = "00000001" + std::string(rows.text(0, "oldest"));
  const auto oldest =
      parse_wal_name(name, postgres_state(state).segment_bytes.value_or(kDefaultSegmentBytes));
  if (!oldest) return Done{};
  table.set(0, 2, static_cast<double>(oldest->begin));
  out.fact(PostgresWalKept{now.steady, oldest->begin});
  return Done{};
}

constexpr const Schema* kSchemas[] = {&kSchema};

}  // namespace

extern const Collector postgres_wal{"postgres_wal", &kPostgresKind, Lane::kDirectory,
                                    kSchemas,       begin,          read};

}  // namespace lagwatch
