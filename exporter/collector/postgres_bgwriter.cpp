// SPDX-License-Identifier: Apache-2.0
// Checkpoints and the background writer. Source: pg_stat_bgwriter; from 17 on pg_stat_checkpointer
// beside it. Privilege: none.
#include "collector/postgres_rows.h"

namespace lagwatch {
namespace {

constexpr Column kColumns[] = {
    counter("pg_stat_bgwriter_checkpoints_timed_total", "checkpoints_timed",
            "Checkpoints made because it was time (before 17)."),
    counter("pg_stat_bgwriter_checkpoints_req_total", "checkpoints_req",
            "Checkpoints asked for, by much WAL among others (before 17)."),
    counter("pg_stat_bgwriter_checkpoint_write_time_total", "checkpoint_write_time",
            "Milliseconds that checkpoints took to write (before 17)."),
    counter("pg_stat_bgwriter_checkpoint_sync_time_total", "checkpoint_sync_time",
            "Milliseconds that checkpoints took to sync (before 17)."),
    counter("pg_stat_bgwriter_buffers_checkpoint_total", "buffers_checkpoint",
            "Buffers written by checkpoints (before 17)."),
    counter("pg_stat_bgwriter_buffers_clean_total", "buffers_clean",
            "Buffers written by the background writer."),
    counter("pg_stat_bgwriter_maxwritten_clean_total", "maxwritten_clean",
            "How often it stopped because it had written too much."),
    counter("pg_stat_bgwriter_buffers_backend_total", "buffers_backend",
            "Buffers that sessions had to write themselves (before 17)."),
    counter("pg_stat_bgwriter_buffers_backend_fsync_total", "buffers_backend_fsync",
            "Times that sessions had to sync themselves (before 17)."),
    counter("pg_stat_bgwriter_buffers_alloc_total", "buffers_alloc", "Buffers allocated."),
    counter("pg_stat_bgwriter_stats_reset_total", "stats_reset",
            "When these counters began anew, in seconds since 1970."),
};
constexpr Schema kSchema{{}, kColumns};

constexpr Column kCheckpointerColumns[] = {
    counter("pg_stat_checkpointer_num_timed_total", "num_timed",
            "Checkpoints made because it was time."),
    counter("pg_stat_checkpointer_num_requested_total", "num_requested",
            "Checkpoints asked for, by much WAL among others."),
    counter("pg_stat_checkpointer_restartpoints_timed_total", "restartpoints_timed",
            "Restartpoints due because it was time."),
    counter("pg_stat_checkpointer_restartpoints_req_total", "restartpoints_req",
            "Restartpoints asked for."),
    counter("pg_stat_checkpointer_restartpoints_done_total", "restartpoints_done",
            "Restartpoints made."),
    counter("pg_stat_checkpointer_write_time_total", "write_time", "Milliseconds writing."),
    counter("pg_stat_checkpointer_sync_time_total", "sync_time", "Milliseconds syncing."),
    counter("pg_stat_checkpointer_buffers_written_total", "buffers_written", "Buffers written."),
    counter("pg_stat_checkpointer_stats_reset_total", "stats_reset",
            "When these counters began anew, in seconds since 1970."),
};
constexpr Schema kCheckpointerSchema{{}, kCheckpointerColumns};

constexpr Sql kSql[] = {
    {90300,
     "SELECT checkpoints_timed, checkpoints_req, checkpoint_write_time, checkpoint_sync_time,"
     " buffers_checkpoint, buffers_clean, maxwritten_clean, buffers_backend, buffers_backend_fsync,"
     " buffers_alloc, extract(epoch FROM stats_reset) AS stats_reset FROM pg_stat_bgwriter"},
    {170000,
     "SELECT buffers_clean, maxwritten_clean, buffers_alloc,"
     " extract(epoch FROM stats_reset) AS stats_reset FROM pg_stat_bgwriter"},
};
constexpr Sql kCheckpointerSql[] = {
    {90300, ""},
    {170000,
     "SELECT num_timed, num_requested, restartpoints_timed, restartpoints_req, restartpoints_done,"
     " write_time, sync_time, buffers_written, extract(epoch FROM stats_reset) AS stats_reset"
     " FROM pg_stat_checkpointer"},
};
constexpr Wanted kWanted{"pg_stat_bgwriter", "GRANT SELECT ON pg_stat_bgwriter TO lagwatch"};
constexpr Wanted kCheckpointerWanted{"pg_stat_checkpointer",
                                     "GRANT SELECT ON pg_stat_checkpointer TO lagwatch"};

Asks begin(State& state) {
  Asks asks = ask_sql(state, kSql);
  asks.push_back(ask_sql(state, kCheckpointerSql).front());
  return asks;
}

Step read(State&, std::span<Reply> replies, const Moment&, Output& out) {
  if (auto step = without_rows(replies[0], kWanted, out)) {
    if (!replies[0].ok()) return *step;
  } else {
    write_single(replies[0]->sql->rows, kSchema, out);
  }
  if (auto step = without_rows(replies[1], kCheckpointerWanted, out)) return *step;
  write_single(replies[1]->sql->rows, kCheckpointerSchema, out);
  return Done{};
}

constexpr const Schema* kSchemas[] = {&kSchema, &kCheckpointerSchema};

}  // namespace

extern const Collector postgres_bgwriter{
    "postgres_bgwriter", &kPostgresKind, Lane::kBasics, kSchemas, begin, read};

}  // namespace lagwatch
