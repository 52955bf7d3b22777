// SPDX-License-Identifier: Apache-2.0
// WAL senders as the server that sends sees them. A standby that vanished has no row here: the join
// postgres_standbys remembers it. Source: pg_stat_replication (9.1+), reply_time (12+), joined with
// pg_replication_slots (9.5+). Privilege: pg_read_all_stats; before 10
// monitoring.stat_replication(). Without it every cell is NULL, and there is no error.
#include <iterator>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "collector/postgres_rows.h"

namespace lagwatch {
namespace {

constexpr std::string_view kLabels[] = {"application_name", "client_addr", "state", "slot_name"};
constexpr std::string_view kKinds[] = {"sent", "write", "flush", "replay"};
constexpr Column kColumns[] = {
    gauge("pg_stat_replication_pg_current_wal_lsn_bytes", "current_lsn",
          "Position this server has written, on a standby received, bytes."),
    gauge("pg_stat_replication_pg_wal_lsn_diff", "replay_diff",
          "WAL that the standby has not replayed, bytes."),
    gauge("pg_stat_replication_pg_xlog_location_diff", "xlog_replay_diff",
          "Before 10: WAL that the standby has not replayed, bytes."),
    gauge("pg_stat_replication_write_lag_seconds", "write_lag",
          "write_lag; stands still while the standby is silent."),
    gauge("pg_stat_replication_flush_lag_seconds", "flush_lag",
          "flush_lag; stands still while the standby is silent."),
    gauge("pg_stat_replication_replay_lag_seconds", "replay_lag",
          "replay_lag; stands still while the standby is silent, absent when nothing is "
          "outstanding."),
    gauge("pg_stat_replication_reply_timestamp_seconds", "reply_time",
          "When the standby sent its last reply, by its own clock, in seconds since 1970 (12+)."),
    {.name = "pg_stat_replication_reply_age_seconds",
     .source = "reply_time",
     .help =
         "How long ago the standby's last reply came, by the agent's clock (12+); a lower bound "
         "until one was seen to come."},
    {.name = "pg_stat_replication_lsn_bytes",
     .source = "sent_lsn, write_lsn, flush_lsn, replay_lsn",
     .help = "Positions of the standby as the sender knows them, bytes.",
     .label = "kind",
     .values = kKinds,
     .expand = Expand::kEach},
};
constexpr Schema kSchema{kLabels, kColumns};
constexpr size_t kWriteLag = 3;  // then flush, then replay
constexpr size_t kReplyAge = 7;
constexpr size_t kLsn = 8;

constexpr Column kSummaryColumns[] = {
    gauge("pg_stat_replication_standbys", "count of rows",
          "Physical standbys that stream from this server now: without pg_receivewal, base backups "
          "and logical subscribers."),
    gauge("pg_replication_privileges_ok", "state IS NOT NULL",
          "1 if the role may see the WAL senders there are, 0 if the server hides them from it; "
          "absent where there is none."),
};
constexpr Schema kSummarySchema{{}, kSummaryColumns};

// replay_lag of what replays nothing (pg_receivewal) is a number without a meaning.
constexpr Sql kSql[] = {
    {90300,
     "SELECT s.application_name, s.client_addr, s.state, pid,"
     " pg_xlog_location_diff(c.location, '0/0') AS current_lsn,"
     " pg_xlog_location_diff(s.sent_location, '0/0') AS sent_lsn,"
     " pg_xlog_location_diff(s.write_location, '0/0') AS write_lsn,"
     " pg_xlog_location_diff(s.flush_location, '0/0') AS flush_lsn,"
     " pg_xlog_location_diff(s.replay_location, '0/0') AS replay_lsn,"
     " pg_xlog_location_diff(c.location, s.replay_location) AS replay_diff,"
     " pg_xlog_location_diff(c.location, s.replay_location) AS xlog_replay_diff"
     " FROM pg_stat_replication s,"
     " (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_xlog_receive_location()"
     " ELSE pg_current_xlog_location() END AS location) c"},
    {90500,
     "SELECT s.application_name, s.client_addr, s.state, pid, r.slot_name, r.slot_type,"
     " c.location - '0/0' AS current_lsn,"
     " s.sent_location - '0/0' AS sent_lsn, s.write_location - '0/0' AS write_lsn,"
     " s.flush_location - '0/0' AS flush_lsn, s.replay_location - '0/0' AS replay_lsn,"
     " c.location - s.replay_location AS replay_diff,"
     " c.location - s.replay_location AS xlog_replay_diff"
     " FROM pg_stat_replication s LEFT JOIN pg_replication_slots r ON r.active_pid = s.pid,"
     " (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_xlog_receive_location()"
     " ELSE pg_current_xlog_location() END AS location) c"},
    {100000,
     "SELECT s.application_name, s.client_addr, s.state, pid, r.slot_name, r.slot_type,"
     " c.lsn - '0/0' AS current_lsn, s.sent_lsn - '0/0' AS sent_lsn,"
     " s.write_lsn - '0/0' AS write_lsn, s.flush_lsn - '0/0' AS flush_lsn,"
     " s.replay_lsn - '0/0' AS replay_lsn, c.lsn - s.replay_lsn AS replay_diff,"
     " extract(epoch FROM s.write_lag) AS write_lag, extract(epoch FROM s.flush_lag) AS flush_lag,"
     " CASE WHEN s.replay_lsn IS NOT NULL THEN extract(epoch FROM s.replay_lag) END AS replay_lag"
     " FROM pg_stat_replication s LEFT JOIN pg_replication_slots r ON r.active_pid = s.pid,"
     " (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()"
     " ELSE pg_current_wal_lsn() END AS lsn) c"},
    {120000,
     "SELECT s.application_name, s.client_addr, s.state, pid, r.slot_name, r.slot_type,"
     " c.lsn - '0/0' AS current_lsn, s.sent_lsn - '0/0' AS sent_lsn,"
     " s.write_lsn - '0/0' AS write_lsn, s.flush_lsn - '0/0' AS flush_lsn,"
     " s.replay_lsn - '0/0' AS replay_lsn, c.lsn - s.replay_lsn AS replay_diff,"
     " extract(epoch FROM s.write_lag) AS write_lag, extract(epoch FROM s.flush_lag) AS flush_lag,"
     " CASE WHEN s.replay_lsn IS NOT NULL THEN extract(epoch FROM s.replay_lag) END AS replay_lag,"
     " extract(epoch FROM s.reply_time) AS reply_time"
     " FROM pg_stat_replication s LEFT JOIN pg_replication_slots r ON r.active_pid = s.pid,"
     " (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()"
     " ELSE pg_current_wal_lsn() END AS lsn) c"},
};

// The same through the function that reads the view with its owner's rights.
std::span<const Sql> wrapped() {
  static const std::string texts[] = {
      replaced(kSql[0].text, "pg_stat_replication s", "monitoring.stat_replication() s"),
      replaced(kSql[1].text, "pg_stat_replication s", "monitoring.stat_replication() s")};
  static const Sql sql[] = {{kSql[0].since, texts[0]}, {kSql[1].since, texts[1]}, {100000, ""}};
  return sql;
}

// Which of the functions are there for us to call. Asking for one that is not would be an error in
// the server's log every few seconds.
constexpr Sql kProbe[] = {
    {90300,
     "SELECT p.proname FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n"
     " ON n.oid = p.pronamespace WHERE n.nspname = 'monitoring'"
     " AND p.proname IN ('stat_replication', 'stat_wal_receiver', 'archive_status')"
     " AND p.pronargs = 0 AND has_schema_privilege(n.oid, 'USAGE')"
     " AND has_function_privilege(p.oid, 'EXECUTE')"
     " UNION ALL SELECT 'superuser' WHERE current_setting('is_superuser') = 'on'"},
    {110000, ""},
};

constexpr Wanted kWanted{"pg_stat_replication", "GRANT pg_read_all_stats TO lagwatch"};

Asks begin(State& state) {
  const PostgresState& postgres = postgres_state(state);
  Asks asks = ask_sql(state, kProbe);
  asks.push_back(
      SqlAsk{.server = postgres.server, .texts = postgres.wrappers.replication ? wrapped() : kSql});
  return asks;
}

void read_probe(const Reply& reply, PostgresState& postgres) {
  postgres.wrappers = {};
  if (!reply.ok() || !reply->sql->supported || reply->sql->error) return;
  const Rows& rows = reply->sql->rows;
  for (size_t row = 0; row < rows.size(); ++row) {
    const std::string_view name = rows.text(row, 0);
    const bool views = reply->sql->server_version < kRolesSince;
    if (name == "stat_replication") postgres.wrappers.replication = views;
    if (name == "stat_wal_receiver") postgres.wrappers.wal_receiver = views;
    if (name == "archive_status") postgres.wrappers.archive_status = true;
    if (name == "superuser") postgres.wrappers.superuser = true;
  }
}

// How long the reply has been the same. reply_time is the standby's clock: only that it changes
// means something here.
double reply_age(PostgresState& postgres, const std::string& key, double reply_time,
                 const Moment& now) {
  const auto [found, fresh] =
      postgres.replies.try_emplace(key, PostgresState::LastReply{reply_time, now.steady, true});
  PostgresState::LastReply& last = found->second;
  if (!fresh && last.timestamp != reply_time) last = {reply_time, now.steady, false};
  return seconds(now.steady - last.changed);
}

// pg_receivewal and base backups never say what they replayed.
size_t count_standbys(const Rows& rows) {
  size_t standbys = 0;
  for (size_t row = 0; row < rows.size(); ++row) {
    const bool standby = rows.text(row, "state") == "streaming" &&
                         !rows.is_null(row, "replay_lsn") &&
                         rows.text(row, "slot_type") != "logical";
    standbys += standby ? 1 : 0;
  }
  return standbys;
}

PostgresSender sender_of(const Rows& rows, size_t row, Instant at) {
  PostgresSender sender;
  sender.at = at;
  sender.application_name = rows.text(row, "application_name");
  sender.client_addr = rows.text(row, "client_addr");
  sender.state = rows.text(row, "state");
  sender.slot_name = rows.text(row, "slot_name");
  sender.sent = rows.integer(row, "sent_lsn");
  sender.write = rows.integer(row, "write_lsn");
  sender.flush = rows.integer(row, "flush_lsn");
  sender.replay = rows.integer(row, "replay_lsn");
  return sender;
}

void write_senders(PostgresState& postgres, const Rows& rows, const Moment& now, Output& out) {
  Table& summary = out.table(kSummarySchema);
  summary.add_row();
  summary.set(0, 0, static_cast<double>(count_standbys(rows)));
  // Without a row nothing shows whether rows would be hidden.
  if (!rows.empty()) summary.set(0, 1, 1);
  out.fact(PostgresSenders{now.steady});
  std::vector<size_t> kept;  // of twins (two pg_receivewal of one host) the first
  Table& table = write_rows(rows, kSchema, out, std::numeric_limits<size_t>::max(), &kept);
  std::map<std::string, PostgresState::LastReply> still;
  for (size_t row = 0; row < kept.size(); ++row) {
    PostgresSender sender = sender_of(rows, kept[row], now.steady);
    const std::optional<Lsn> positions[] = {sender.sent, sender.write, sender.flush, sender.replay};
    for (size_t i = 0; i < std::size(positions); ++i) {
      if (positions[i]) table.set(row, kLsn, static_cast<double>(*positions[i]), i);
      // A lag without the position it belongs to (pg_receivewal flushes and replays nothing that it
      // tells) is a number without a meaning.
      if (i > 0 && !positions[i]) table.set(row, kWriteLag + i - 1, kAbsent);
    }
    if (const auto reply_time = rows.number(kept[row], "reply_time")) {
      const std::string key(table.labels(row));
      table.set(row, kReplyAge, reply_age(postgres, key, *reply_time, now));
      still.emplace(key, postgres.replies.at(key));
    }
    out.fact(std::move(sender));
  }
  postgres.replies = std::move(still);
}

bool is_hidden(const Rows& rows) {
  for (size_t row = 0; row < rows.size(); ++row) {
    if (rows.is_null(row, "state") && !rows.is_null(row, "pid")) return true;
  }
  return false;
}

Step read(State& state, std::span<Reply> replies, const Moment& now, Output& out) {
  PostgresState& postgres = postgres_state(state);
  const bool second = replies.size() == 1;  // by the function, after the view was found hidden
  const bool by_function = second || postgres.wrappers.replication;
  const Reply& senders = replies.back();
  if (!second) read_probe(replies[0], postgres);
  if (auto step = without_rows(senders, kWanted, out)) {
    if (by_function && senders.ok()) postgres.wrappers.replication = false;
    return *step;
  }
  if (is_hidden(senders->sql->rows)) {
    if (postgres.wrappers.replication && !by_function) return More{ask_sql(state, wrapped())};
    say_denied(*senders->sql, kWanted, out);
    Table& summary = out.table(kSummarySchema);
    summary.add_row();
    summary.set(0, 1, 0);
    return Done{};
  }
  write_senders(postgres, senders->sql->rows, now, out);
  return Done{};
}

constexpr const Schema* kSchemas[] = {&kSchema, &kSummarySchema};

}  // namespace

extern const Collector postgres_replication{
    "postgres_replication", &kPostgresKind, Lane::kMain, kSchemas, begin, read};

}  // namespace lagwatch
