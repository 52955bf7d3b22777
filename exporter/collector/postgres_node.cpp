// SPDX-License-Identifier: Apache-2.0
// What a server is: primary or standby, of which cluster, on which timeline, how far in the WAL.
// Source: functions of chapter 9.27 (system administration), pg_control_system() (9.6+);
// IDENTIFY_SYSTEM before. Privilege: none; before 9.6 REPLICATION and a line `replication` in
// pg_hba.conf for the system identifier.
#include <algorithm>

#include "base/text.h"
#include "collector/postgres_rows.h"

namespace lagwatch {
namespace {

constexpr std::string_view kKinds[] = {"current", "receive", "replay"};
constexpr Column kColumns[] = {
    gauge("pg_replication_is_replica", "in_recovery", "1 on a standby, 0 on a primary."),
    gauge("pg_postmaster_start_time_seconds", "start_time",
          "When the server was started, by its own clock, in seconds since 1970."),
    gauge("pg_timeline", "timeline",
          "Timeline: on a primary that of the WAL it writes; on a standby see "
          "pg_stat_wal_receiver_received_tli."),
    gauge("pg_replication_last_replay_seconds", "last_replay",
          "On a standby: how old the last replayed commit is, by its own clock. Grows while the "
          "primary is idle: not a lag."),
    gauge("pg_replication_is_replay_paused", "replay_paused",
          "On a standby: 1 while replay is paused."),
    gauge("pg_clock_offset_seconds", "clock",
          "The server's clock less the agent's, seconds; right to one exchange."),
    {.name = "pg_wal_lsn_bytes",
     .source = "pg_current_wal_lsn, pg_last_wal_receive_lsn, pg_last_wal_replay_lsn",
     .help =
         "Positions in the WAL, bytes: written (a primary's), received and flushed, replayed (a "
         "standby's).",
     .label = "kind",
     .values = kKinds,
     .expand = Expand::kEach},
    gauge("pg_xlog_location_bytes", "xlog_location",
          "Before 10: position written, on a standby replayed, bytes."),
};
constexpr Schema kSchema{{}, kColumns};
constexpr size_t kTimeline = 2;
constexpr size_t kClock = 5;
constexpr size_t kLsn = 6;
constexpr size_t kXlog = 7;

constexpr std::string_view kIdentifier[] = {"system_identifier"};
constexpr Column kInfoColumns[] = {
    gauge("pg_system_info", "pg_control_system, IDENTIFY_SYSTEM",
          "1; the identifier that a primary and its standbys have in common."),
};
constexpr Schema kInfoSchema{kIdentifier, kInfoColumns};

// CASE keeps functions from being called where they raise: pg_walfile_name on a standby,
// pg_is_wal_replay_paused on a primary (and for others than superusers before 9.5). The positions
// of a standby stay set after its promotion.
constexpr Sql kSql[] = {
    {90300,
     "SELECT r.in_recovery,"
     " CASE WHEN NOT r.in_recovery THEN"
     " pg_xlog_location_diff(pg_current_xlog_location(), '0/0') END AS current_lsn,"
     " CASE WHEN r.in_recovery THEN"
     " pg_xlog_location_diff(pg_last_xlog_receive_location(), '0/0') END AS receive_lsn,"
     " CASE WHEN r.in_recovery THEN"
     " pg_xlog_location_diff(pg_last_xlog_replay_location(), '0/0') END AS replay_lsn,"
     " CASE WHEN r.in_recovery THEN"
     " extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END AS last_replay,"
     " extract(epoch FROM clock_timestamp()) AS clock,"
     " extract(epoch FROM pg_postmaster_start_time()) AS start_time,"
     " CASE WHEN NOT r.in_recovery THEN"
     " pg_xlogfile_name(pg_current_xlog_insert_location()) END AS walfile,"
     " CASE WHEN r.in_recovery AND current_setting('is_superuser') = 'on' THEN"
     " pg_is_xlog_replay_paused() END AS replay_paused"
     " FROM (SELECT pg_is_in_recovery() AS in_recovery) r"},
    {90600,
     "SELECT r.in_recovery,"
     " CASE WHEN NOT r.in_recovery THEN pg_current_xlog_location() - '0/0' END AS current_lsn,"
     " CASE WHEN r.in_recovery THEN pg_last_xlog_receive_location() - '0/0' END AS receive_lsn,"
     " CASE WHEN r.in_recovery THEN pg_last_xlog_replay_location() - '0/0' END AS replay_lsn,"
     " CASE WHEN r.in_recovery THEN"
     " extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END AS last_replay,"
     " extract(epoch FROM clock_timestamp()) AS clock,"
     " extract(epoch FROM pg_postmaster_start_time()) AS start_time,"
     " CASE WHEN NOT r.in_recovery THEN"
     " pg_xlogfile_name(pg_current_xlog_insert_location()) END AS walfile,"
     " CASE WHEN r.in_recovery THEN pg_is_xlog_replay_paused() END AS replay_paused,"
     " (SELECT system_identifier FROM pg_control_system()) AS system_identifier"
     " FROM (SELECT pg_is_in_recovery() AS in_recovery) r"},
    {100000,
     "SELECT r.in_recovery,"
     " CASE WHEN NOT r.in_recovery THEN pg_current_wal_lsn() - '0/0' END AS current_lsn,"
     " CASE WHEN r.in_recovery THEN pg_last_wal_receive_lsn() - '0/0' END AS receive_lsn,"
     " CASE WHEN r.in_recovery THEN pg_last_wal_replay_lsn() - '0/0' END AS replay_lsn,"
     " CASE WHEN r.in_recovery THEN"
     " extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END AS last_replay,"
     " extract(epoch FROM clock_timestamp()) AS clock,"
     " extract(epoch FROM pg_postmaster_start_time()) AS start_time,"
     " CASE WHEN NOT r.in_recovery THEN"
     " pg_walfile_name(pg_current_wal_insert_lsn()) END AS walfile,"
     " CASE WHEN r.in_recovery THEN pg_is_wal_replay_paused() END AS replay_paused,"
     " (SELECT system_identifier FROM pg_control_system()) AS system_identifier"
     " FROM (SELECT pg_is_in_recovery() AS in_recovery) r"},
};
constexpr int kFirstWithIdentifier = 90600;
constexpr int kFirstWithWal = 100000;
constexpr Wanted kWanted{"role and position", "", ""};

Asks begin(State& state) { return ask_sql(state, kSql); }

// The first eight hexadecimal digits of a WAL file's name.
std::optional<uint32_t> timeline_of(std::string_view walfile) {
  if (walfile.size() != 24) return std::nullopt;
  uint32_t timeline = 0;
  const auto [end, error] = std::from_chars(walfile.data(), walfile.data() + 8, timeline, 16);
  if (error != std::errc() || end != walfile.data() + 8) return std::nullopt;
  return timeline;
}

std::string identifier_of(const SqlAnswer& answer, Output& out) {
  if (answer.server_version >= kFirstWithIdentifier)
    return std::string(answer.rows.text(0, "system_identifier"));
  if (answer.system_identifier.empty() && !answer.identify_problem.empty()) {
    out.limit({Reason::kPermission,
               "the cluster's identifier needs a replication connection before 9.6: " +
                   answer.identify_problem,
               "ALTER ROLE lagwatch REPLICATION, and a line for it with database `replication` in "
               "pg_hba.conf"});
  }
  return answer.system_identifier;
}

void write_positions(const PostgresNode& node, const SqlAnswer& answer, Table& table) {
  const std::optional<Lsn> positions[] = {node.current, node.receive, node.replay};
  for (size_t i = 0; i < std::size(positions); ++i) {
    if (positions[i]) table.set(0, kLsn, static_cast<double>(*positions[i]), i);
  }
  const std::optional<Lsn> own = node.in_recovery ? node.replay : node.current;
  if (answer.server_version < kFirstWithWal && own) table.set(0, kXlog, static_cast<double>(*own));
}

Step read(State& state, std::span<Reply> replies, const Moment& now, Output& out) {
  PostgresState& postgres = postgres_state(state);
  if (auto step = without_rows(replies[0], kWanted, out)) {
    if (!replies[0].ok() || !replies[0]->sql->error) return *step;
    // Without this nothing else means anything: a failure of the target.
    return Error{Reason::kProtocol, replies[0]->sql->error->message, {}};
  }
  const SqlAnswer& answer = *replies[0]->sql;
  const Rows& rows = answer.rows;
  if (rows.size() != 1) return Error{Reason::kProtocol, "not one row of role and position", {}};

  PostgresNode node;
  node.at = now.steady;
  node.in_recovery = rows.number(0, "in_recovery") == 1;
  node.system_identifier = identifier_of(answer, out);
  node.timeline = timeline_of(rows.text(0, "walfile"));
  node.current = rows.integer(0, "current_lsn");
  node.receive = rows.integer(0, "receive_lsn");
  node.replay = rows.integer(0, "replay_lsn");
  node.start_time = rows.number(0, "start_time");
  if (const auto paused = rows.number(0, "replay_paused")) node.replay_paused = *paused == 1;
  if (const auto clock = rows.number(0, "clock"))
    node.clock_offset = *clock - unix_seconds(now.wall);
  node.host = postgres.host;
  node.port = postgres.port;

  postgres.version = answer.server_version;
  postgres.in_recovery = node.in_recovery;
  postgres.timeline = node.timeline;
  postgres.current_lsn = node.current;

  Table& table = write_rows(rows, kSchema, out);
  if (node.timeline) table.set(0, kTimeline, *node.timeline);
  if (node.clock_offset) table.set(0, kClock, *node.clock_offset);
  write_positions(node, answer, table);
  if (!node.system_identifier.empty()) {
    Table& info = out.table(kInfoSchema);
    const std::string_view labels[] = {node.system_identifier};
    info.set(info.add_row(labels), 0, 1);
  }
  out.fact(std::move(node));
  return Done{};
}

constexpr const Schema* kSchemas[] = {&kSchema, &kInfoSchema};

}  // namespace

extern const Collector postgres_node{"postgres_node", &kPostgresKind, Lane::kMain,
                                     kSchemas,        begin,          read};

}  // namespace lagwatch
