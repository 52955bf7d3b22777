// SPDX-License-Identifier: Apache-2.0
// Replication slots: what WAL they keep, who uses them, which are lost. Source:
// pg_replication_slots (9.4+; confirmed_flush_lsn 9.6+; wal_status 13+; inactive_since,
// invalidation_reason 17+). Privilege: none. A lost slot has no restart_lsn: watch its status, not
// only its bytes.
#include "collector/postgres_rows.h"

namespace lagwatch {
namespace {

constexpr std::string_view kDatabaseLabels[] = {"slot_name", "database"};
constexpr Column kDatabaseColumns[] = {
    gauge("pg_replication_slots_active", "active", "1 while somebody streams from the slot."),
    gauge("pg_replication_slots_pg_wal_lsn_diff", "retained",
          "WAL that the slot keeps, bytes; absent where it keeps none or is lost."),
    gauge("pg_replication_slots_pg_xlog_location_diff", "xlog_retained",
          "Before 10: WAL that the slot keeps, bytes."),
};
constexpr Schema kDatabaseSchema{kDatabaseLabels, kDatabaseColumns};

constexpr std::string_view kTypeLabels[] = {"slot_name", "slot_type"};
constexpr Column kTypeColumns[] = {
    gauge("pg_replication_slots_slot_is_active", "active",
          "1 while somebody streams from the slot."),
    gauge("pg_replication_slots_slot_current_wal_lsn", "current_lsn",
          "Position of the server's own WAL, bytes."),
    gauge("pg_replication_slots_slot_confirmed_flush_lsn", "confirmed_flush_lsn",
          "Logical slots: what the consumer has confirmed, bytes."),
    gauge("pg_replication_slots_restart_lsn", "restart_lsn",
          "Oldest WAL that the slot keeps, bytes."),
    gauge("pg_replication_slots_confirmed_flush_diff", "unconfirmed",
          "Logical slots: WAL that the consumer has not confirmed, bytes."),
    gauge("pg_replication_slots_safe_wal_size_bytes", "safe_wal_size",
          "WAL that may be written before the slot is in danger of being lost, bytes (13+)."),
    gauge("pg_replication_slots_xmin_age", "xmin_age",
          "Transactions since the oldest one that the slot keeps rows for."),
    gauge("pg_replication_slots_catalog_xmin_age", "catalog_xmin_age",
          "The same for rows of the system catalogues: they hold back vacuum."),
    gauge("pg_replication_slots_inactive_since_timestamp_seconds", "inactive_since",
          "When the slot was last used, by the server's clock, in seconds since 1970 (17+)."),
};
constexpr Schema kTypeSchema{kTypeLabels, kTypeColumns};

constexpr std::string_view kStatusLabels[] = {"slot_name", "slot_type", "wal_status"};
constexpr Column kStatusColumns[] = {
    {.name = "pg_replication_slots_wal_status",
     .source = "wal_status",
     .help = "1; reserved, extended, unreserved (about to be lost) or lost (13+)."},
};
constexpr Schema kStatusSchema{kStatusLabels, kStatusColumns};

constexpr std::string_view kReasonLabels[] = {"slot_name", "slot_type", "invalidation_reason"};
constexpr Column kReasonColumns[] = {
    {.name = "pg_replication_slots_invalidated",
     .source = "invalidation_reason",
     .help = "1; why the slot cannot be used any more (17+)."},
};
constexpr Schema kReasonSchema{kReasonLabels, kReasonColumns};

constexpr Sql kSql[] = {
    {90400,
     "SELECT slot_name, slot_type, database, active, restart_lsn - '0/0' AS restart_lsn,"
     " c.lsn - '0/0' AS current_lsn, c.lsn - restart_lsn AS retained,"
     " c.lsn - restart_lsn AS xlog_retained, age(xmin) AS xmin_age,"
     " age(catalog_xmin) AS catalog_xmin_age FROM pg_replication_slots,"
     " (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_xlog_receive_location()"
     " ELSE pg_current_xlog_location() END AS lsn) c"},
    {90600,
     "SELECT slot_name, slot_type, database, active, restart_lsn - '0/0' AS restart_lsn,"
     " confirmed_flush_lsn - '0/0' AS confirmed_flush_lsn,"
     " c.lsn - confirmed_flush_lsn AS unconfirmed,"
     " c.lsn - '0/0' AS current_lsn, c.lsn - restart_lsn AS retained,"
     " c.lsn - restart_lsn AS xlog_retained, age(xmin) AS xmin_age,"
     " age(catalog_xmin) AS catalog_xmin_age FROM pg_replication_slots,"
     " (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_xlog_receive_location()"
     " ELSE pg_current_xlog_location() END AS lsn) c"},
    {100000,
     "SELECT slot_name, slot_type, database, active, restart_lsn - '0/0' AS restart_lsn,"
     " confirmed_flush_lsn - '0/0' AS confirmed_flush_lsn,"
     " c.lsn - confirmed_flush_lsn AS unconfirmed,"
     " c.lsn - '0/0' AS current_lsn, c.lsn - restart_lsn AS retained,"
     " age(xmin) AS xmin_age, age(catalog_xmin) AS catalog_xmin_age FROM pg_replication_slots,"
     " (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()"
     " ELSE pg_current_wal_lsn() END AS lsn) c"},
    {130000,
     "SELECT slot_name, slot_type, database, active, restart_lsn - '0/0' AS restart_lsn,"
     " confirmed_flush_lsn - '0/0' AS confirmed_flush_lsn,"
     " c.lsn - confirmed_flush_lsn AS unconfirmed,"
     " c.lsn - '0/0' AS current_lsn, c.lsn - restart_lsn AS retained,"
     " age(xmin) AS xmin_age, age(catalog_xmin) AS catalog_xmin_age, wal_status, safe_wal_size"
     " FROM pg_replication_slots,"
     " (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()"
     " ELSE pg_current_wal_lsn() END AS lsn) c"},
    {170000,
     "SELECT slot_name, slot_type, database, active, restart_lsn - '0/0' AS restart_lsn,"
     " confirmed_flush_lsn - '0/0' AS confirmed_flush_lsn,"
     " c.lsn - confirmed_flush_lsn AS unconfirmed,"
     " c.lsn - '0/0' AS current_lsn, c.lsn - restart_lsn AS retained,"
     " age(xmin) AS xmin_age, age(catalog_xmin) AS catalog_xmin_age, wal_status, safe_wal_size,"
     " extract(epoch FROM inactive_since) AS inactive_since, invalidation_reason"
     " FROM pg_replication_slots,"
     " (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()"
     " ELSE pg_current_wal_lsn() END AS lsn) c"},
};
constexpr Wanted kWanted{"pg_replication_slots",
                         "GRANT SELECT ON pg_replication_slots TO lagwatch"};

Asks begin(State& state) { return ask_sql(state, kSql); }

Step read(State&, std::span<Reply> replies, const Moment& now, Output& out) {
  if (auto step = without_rows(replies[0], kWanted, out)) return *step;
  const Rows& rows = replies[0]->sql->rows;
  if (rows.empty()) return Done{};
  write_rows(rows, kDatabaseSchema, out);
  write_rows(rows, kTypeSchema, out);
  Table status(kStatusSchema, out.base);
  Table reasons(kReasonSchema, out.base);
  for (size_t row = 0; row < rows.size(); ++row) {
    PostgresSlot slot;
    slot.at = now.steady;
    slot.name = rows.text(row, "slot_name");
    slot.type = rows.text(row, "slot_type");
    slot.active = rows.number(row, "active") == 1;
    const std::string_view wal_status = rows.text(row, "wal_status");
    const std::string_view reason = rows.text(row, "invalidation_reason");
    slot.lost = wal_status == "lost" || !reason.empty();
    slot.restart = rows.integer(row, "restart_lsn");
    slot.confirmed_flush = rows.integer(row, "confirmed_flush_lsn");
    const std::string_view status_labels[] = {slot.name, slot.type, wal_status};
    if (!wal_status.empty()) status.set(status.add_row(status_labels), 0, 1);
    const std::string_view reason_labels[] = {slot.name, slot.type, reason};
    if (!reason.empty()) reasons.set(reasons.add_row(reason_labels), 0, 1);
    out.fact(std::move(slot));
  }
  out.tables.push_back(std::move(status));
  out.tables.push_back(std::move(reasons));
  return Done{};
}

constexpr const Schema* kSchemas[] = {&kDatabaseSchema, &kTypeSchema, &kStatusSchema,
                                      &kReasonSchema};

}  // namespace

extern const Collector postgres_slots{"postgres_slots", &kPostgresKind, Lane::kMain,
                                      kSchemas,         begin,          read};

}  // namespace lagwatch
