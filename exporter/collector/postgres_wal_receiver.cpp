// SPDX-License-Identifier: Apache-2.0
// A standby's own end of the stream. Source: pg_stat_wal_receiver (9.6+; sender_host 11+;
// flushed_lsn 13+). Privilege: pg_read_all_stats; on 9.6 monitoring.stat_wal_receiver(). Without it
// every cell is NULL. A receiver that does not run has no row: that is not streaming.
#include "collector/postgres_rows.h"

namespace lagwatch {
namespace {

constexpr Column kUpColumns[] = {
    {.name = "pg_stat_wal_receiver_up",
     .source = "status",
     .help = "On a standby: 1 while its WAL receiver streams, 0 while it does not."},
    gauge("pg_stat_wal_receiver_last_msg_age_seconds", "last_msg_age",
          "How long ago the upstream's last message came, by the standby's clock alone."),
};
constexpr Schema kUpSchema{{}, kUpColumns};

constexpr std::string_view kInfoLabels[] = {"upstream_host", "upstream_port", "slot_name",
                                            "status"};
constexpr Column kInfoColumns[] = {
    {.name = "pg_stat_wal_receiver_info",
     .source = "sender_host, sender_port, conninfo",
     .help = "1; where the standby streams from."},
};
constexpr Schema kInfoSchema{kInfoLabels, kInfoColumns};

constexpr std::string_view kLabels[] = {"upstream_host", "slot_name", "status"};
constexpr Column kColumns[] = {
    counter("pg_stat_wal_receiver_receive_start_lsn", "receive_start_lsn",
            "Where streaming began, bytes."),
    counter("pg_stat_wal_receiver_flushed_lsn", "flushed_lsn", "WAL received and flushed, bytes."),
    gauge("pg_stat_wal_receiver_receive_start_tli", "receive_start_tli",
          "Timeline on which streaming began."),
    gauge("pg_stat_wal_receiver_received_tli", "received_tli",
          "Timeline of what was received last."),
    counter("pg_stat_wal_receiver_last_msg_send_time", "last_msg_send_time",
            "When the upstream sent its last message, by its clock, in seconds since 1970."),
    counter("pg_stat_wal_receiver_last_msg_receipt_time", "last_msg_receipt_time",
            "When its last message came, by the standby's clock, in seconds since 1970."),
    counter("pg_stat_wal_receiver_latest_end_lsn", "latest_end_lsn",
            "Where the upstream's WAL ended, as it last said, bytes."),
    counter("pg_stat_wal_receiver_latest_end_time", "latest_end_time",
            "When it said so, by its clock, in seconds since 1970."),
};
constexpr Schema kSchema{kLabels, kColumns};

constexpr Sql kSql[] = {
    {90600,
     "SELECT pid, status, slot_name, substring(conninfo FROM 'host=([^ ]+)') AS upstream_host,"
     " substring(conninfo FROM 'port=([0-9]+)') AS upstream_port,"
     " receive_start_lsn - '0/0' AS receive_start_lsn, receive_start_tli,"
     " received_lsn - '0/0' AS flushed_lsn, received_tli,"
     " extract(epoch FROM last_msg_send_time) AS last_msg_send_time,"
     " extract(epoch FROM last_msg_receipt_time) AS last_msg_receipt_time,"
     " extract(epoch FROM clock_timestamp() - last_msg_receipt_time) AS last_msg_age,"
     " latest_end_lsn - '0/0' AS latest_end_lsn,"
     " extract(epoch FROM latest_end_time) AS latest_end_time,"
     " extract(epoch FROM current_setting('wal_receiver_timeout')::interval) AS timeout"
     " FROM pg_stat_wal_receiver w"},
    {110000,
     "SELECT pid, status, slot_name, sender_host AS upstream_host, sender_port AS upstream_port,"
     " receive_start_lsn - '0/0' AS receive_start_lsn, receive_start_tli,"
     " received_lsn - '0/0' AS flushed_lsn, received_tli,"
     " extract(epoch FROM last_msg_send_time) AS last_msg_send_time,"
     " extract(epoch FROM last_msg_receipt_time) AS last_msg_receipt_time,"
     " extract(epoch FROM clock_timestamp() - last_msg_receipt_time) AS last_msg_age,"
     " latest_end_lsn - '0/0' AS latest_end_lsn,"
     " extract(epoch FROM latest_end_time) AS latest_end_time,"
     " extract(epoch FROM current_setting('wal_receiver_timeout')::interval) AS timeout"
     " FROM pg_stat_wal_receiver w"},
    {130000,
     "SELECT pid, status, slot_name, sender_host AS upstream_host, sender_port AS upstream_port,"
     " receive_start_lsn - '0/0' AS receive_start_lsn, receive_start_tli,"
     " flushed_lsn - '0/0' AS flushed_lsn, received_tli,"
     " extract(epoch FROM last_msg_send_time) AS last_msg_send_time,"
     " extract(epoch FROM last_msg_receipt_time) AS last_msg_receipt_time,"
     " extract(epoch FROM clock_timestamp() - last_msg_receipt_time) AS last_msg_age,"
     " latest_end_lsn - '0/0' AS latest_end_lsn,"
     " extract(epoch FROM latest_end_time) AS latest_end_time,"
     " extract(epoch FROM current_setting('wal_receiver_timeout')::interval) AS timeout"
     " FROM pg_stat_wal_receiver w"},
};
constexpr Wanted kWanted{"pg_stat_wal_receiver", "GRANT pg_read_all_stats TO lagwatch"};

std::span<const Sql> wrapped() {
  static const std::string text =
      replaced(kSql[0].text, "pg_stat_wal_receiver w", "monitoring.stat_wal_receiver() w");
  static const Sql sql[] = {{kSql[0].since, text}, {100000, ""}};
  return sql;
}

Asks begin(State& state) {
  return ask_sql(state, postgres_state(state).wrappers.wal_receiver ? wrapped() : kSql);
}

Step read(State& state, std::span<Reply> replies, const Moment& now, Output& out) {
  PostgresState& postgres = postgres_state(state);
  if (auto step = without_rows(replies[0], kWanted, out)) {
    if (replies[0].ok()) postgres.wrappers.wal_receiver = false;
    return *step;
  }
  if (postgres.in_recovery != true) return Done{};
  const Rows& rows = replies[0]->sql->rows;
  if (!rows.empty() && rows.is_null(0, "status") && !rows.is_null(0, "pid")) {
    say_denied(*replies[0]->sql, kWanted, out);
    return Done{};
  }
  PostgresReceiver receiver;
  receiver.at = now.steady;
  Table& up = out.table(kUpSchema);
  up.add_row();
  if (!rows.empty()) {
    receiver.streaming = rows.text(0, "status") == "streaming";
    receiver.upstream_host = rows.text(0, "upstream_host");
    receiver.upstream_port = rows.text(0, "upstream_port");
    receiver.slot_name = rows.text(0, "slot_name");
    receiver.last_message_age = rows.number(0, "last_msg_age");
    receiver.timeout = rows.number(0, "timeout");
    receiver.latest_end = rows.integer(0, "latest_end_lsn");
    if (const auto timeline = rows.integer(0, "received_tli"))
      receiver.timeline = static_cast<uint32_t>(*timeline);
    if (receiver.last_message_age) up.set(0, 1, *receiver.last_message_age);
    write_rows(rows, kSchema, out);
    Table& info = out.table(kInfoSchema);
    const std::string_view labels[] = {receiver.upstream_host, receiver.upstream_port,
                                       receiver.slot_name, rows.text(0, "status")};
    info.set(info.add_row(labels), 0, 1);
  }
  out.tables.front().set(0, 0, receiver.streaming ? 1 : 0);
  out.fact(std::move(receiver));
  return Done{};
}

constexpr const Schema* kSchemas[] = {&kUpSchema, &kInfoSchema, &kSchema};

}  // namespace

extern const Collector postgres_wal_receiver{
    "postgres_wal_receiver", &kPostgresKind, Lane::kMain, kSchemas, begin, read};

}  // namespace lagwatch
