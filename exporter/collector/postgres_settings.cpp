// SPDX-License-Identifier: Apache-2.0
// The settings that say what other numbers mean, and the version. Source: pg_settings, version().
// Privilege: none; data_directory wants pg_read_all_settings (part of pg_monitor). Asked every five
// minutes: pg_settings is the dearest of the views.
#include <algorithm>
#include <string>

#include "base/text.h"
#include "collector/postgres_rows.h"

namespace lagwatch {
namespace {

// Names and units as postgres_exporter makes them: `_seconds`, `_bytes`, none. Settings of other
// types it leaves out; those of ours that are texts are in pg_settings_info. None that we set
// ourselves at connect (statement_timeout, synchronous_commit): of those our session sees its own.
constexpr Column kColumns[] = {
    gauge("pg_settings_max_connections", "max_connections", "Server Parameter: max_connections."),
    gauge("pg_settings_superuser_reserved_connections", "superuser_reserved_connections",
          "Server Parameter: superuser_reserved_connections."),
    gauge("pg_settings_reserved_connections", "reserved_connections",
          "Server Parameter: reserved_connections (16+)."),
    gauge("pg_settings_max_wal_senders", "max_wal_senders", "Server Parameter: max_wal_senders."),
    gauge("pg_settings_max_replication_slots", "max_replication_slots",
          "Server Parameter: max_replication_slots."),
    gauge("pg_settings_max_locks_per_transaction", "max_locks_per_transaction",
          "Server Parameter: max_locks_per_transaction."),
    gauge("pg_settings_archive_timeout_seconds", "archive_timeout",
          "Server Parameter: archive_timeout."),
    gauge("pg_settings_checkpoint_timeout_seconds", "checkpoint_timeout",
          "Server Parameter: checkpoint_timeout."),
    gauge("pg_settings_wal_sender_timeout_seconds", "wal_sender_timeout",
          "Server Parameter: wal_sender_timeout."),
    gauge("pg_settings_wal_receiver_timeout_seconds", "wal_receiver_timeout",
          "Server Parameter: wal_receiver_timeout."),
    gauge("pg_settings_wal_receiver_status_interval_seconds", "wal_receiver_status_interval",
          "Server Parameter: wal_receiver_status_interval."),
    gauge("pg_settings_recovery_min_apply_delay_seconds", "recovery_min_apply_delay",
          "Server Parameter: recovery_min_apply_delay (12+)."),
    gauge("pg_settings_wal_segment_size_bytes", "wal_segment_size",
          "Server Parameter: wal_segment_size."),
    gauge("pg_settings_wal_keep_size_bytes", "wal_keep_size",
          "Server Parameter: wal_keep_size (13+)."),
    gauge("pg_settings_wal_keep_segments", "wal_keep_segments",
          "Server Parameter: wal_keep_segments (before 13)."),
    gauge("pg_settings_max_slot_wal_keep_size_bytes", "max_slot_wal_keep_size",
          "Server Parameter: max_slot_wal_keep_size (13+); -1 is no limit."),
    gauge("pg_settings_max_wal_size_bytes", "max_wal_size",
          "Server Parameter: max_wal_size (9.5+)."),
    gauge("pg_settings_shared_buffers_bytes", "shared_buffers",
          "Server Parameter: shared_buffers."),
    gauge("pg_settings_hot_standby", "hot_standby", "Server Parameter: hot_standby."),
    gauge("pg_settings_hot_standby_feedback", "hot_standby_feedback",
          "Server Parameter: hot_standby_feedback."),
    gauge("pg_settings_fsync", "fsync", "Server Parameter: fsync."),
    gauge("pg_settings_full_page_writes", "full_page_writes",
          "Server Parameter: full_page_writes."),
    gauge("pg_settings_port", "port", "Server Parameter: port."),
};
constexpr Schema kSchema{{}, kColumns};

constexpr std::string_view kInfoLabels[] = {"archive_mode", "wal_level", "cluster_name"};
constexpr Column kInfoColumns[] = {
    gauge("pg_settings_info", "pg_settings", "1; settings that are words."),
};
constexpr Schema kInfoSchema{kInfoLabels, kInfoColumns};

constexpr std::string_view kStaticLabels[] = {"version", "short_version"};
constexpr Column kStaticColumns[] = {
    gauge("pg_static", "version()", "1; the server's version, long and short."),
};
constexpr Schema kStaticSchema{kStaticLabels, kStaticColumns};

constexpr Sql kSql[] = {
    {90300,
     "SELECT name, setting, unit FROM pg_settings WHERE name IN ("
     "'max_connections', 'superuser_reserved_connections', 'reserved_connections',"
     " 'max_wal_senders', 'max_replication_slots', 'max_locks_per_transaction', 'archive_timeout',"
     " 'checkpoint_timeout', 'wal_sender_timeout', 'wal_receiver_timeout',"
     " 'wal_receiver_status_interval', 'recovery_min_apply_delay', 'wal_segment_size',"
     " 'wal_keep_size', 'wal_keep_segments', 'max_slot_wal_keep_size', 'max_wal_size',"
     " 'shared_buffers', 'hot_standby', 'hot_standby_feedback', 'fsync', 'full_page_writes', "
     "'port',"
     " 'archive_mode', 'wal_level', 'cluster_name', 'data_directory')"},
};
constexpr Sql kVersion[] = {{90300, "SELECT version()"}};
constexpr Wanted kWanted{"pg_settings", "GRANT SELECT ON pg_settings TO lagwatch"};

struct Unit {
  std::string_view name;
  double factor;
};
constexpr Unit kUnits[] = {
    {"ms", 0.001},        {"s", 1},
    {"min", 60},          {"h", 3600},
    {"d", 86400},         {"B", 1},
    {"kB", 1024},         {"8kB", 8192},
    {"16kB", 16384},      {"32kB", 32768},
    {"MB", 1U << 20U},    {"16MB", 16U << 20U},
    {"32MB", 32U << 20U}, {"64MB", 64U << 20U},
    {"GB", 1U << 30U},
};

// In seconds or bytes; -1 stays what it is.
std::optional<double> value_of(std::string_view setting, std::string_view unit) {
  if (setting == "on") return 1;
  if (setting == "off") return 0;
  const auto number = parse_number<double>(setting);
  if (!number || unit.empty() || *number < 0) return number;
  for (const Unit& one : kUnits) {
    if (one.name == unit) return one.factor < 1 ? *number / 1000 : *number * one.factor;
  }
  return std::nullopt;
}

// 150018 is "15.18.0", 90305 is "9.3.5".
std::string short_version(int version) {
  if (version >= 100000)
    return std::to_string(version / 10000) + "." + std::to_string(version % 10000) + ".0";
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

Asks begin(State& state) {
  Asks asks = ask_sql(state, kSql);
  asks.push_back(ask_sql(state, kVersion).front());
  return asks;
}

void take(const Rows& rows, PostgresState& postgres, Output& out) {
  Table& table = out.table(kSchema);
  table.add_row();
  std::string_view words[std::size(kInfoLabels)];
  for (size_t row = 0; row < rows.size(); ++row) {
    const std::string_view name = rows.text(row, "name");
    const std::string_view setting = rows.text(row, "setting");
    const auto value = value_of(setting, rows.text(row, "unit"));
    const auto* const column = std::find_if(std::begin(kColumns), std::end(kColumns),
                                            [&](const Column& one) { return one.source == name; });
    if (column != std::end(kColumns) && value)
      table.set(0, static_cast<size_t>(column - std::begin(kColumns)), *value);
    for (size_t i = 0; i < std::size(kInfoLabels); ++i) {
      if (kInfoLabels[i] == name) words[i] = setting;
    }
    if (name == "wal_segment_size" && value && *value > 0)
      postgres.segment_bytes = static_cast<uint64_t>(*value);
    if (name == "data_directory" && postgres.options.data_directory.empty())
      postgres.data_directory = setting;
  }
  Table& info = out.table(kInfoSchema);
  info.set(info.add_row(words), 0, 1);
}

Step read(State& state, std::span<Reply> replies, const Moment&, Output& out) {
  PostgresState& postgres = postgres_state(state);
  if (auto step = without_rows(replies[0], kWanted, out)) return *step;
  take(replies[0]->sql->rows, postgres, out);
  if (auto step = without_rows(replies[1], kWanted, out)) return *step;
  const std::string version = short_version(replies[1]->sql->server_version);
  const std::string_view labels[] = {replies[1]->sql->rows.text(0, "version"), version};
  Table& table = out.table(kStaticSchema);
  table.set(table.add_row(labels), 0, 1);
  return Done{};
}

constexpr const Schema* kSchemas[] = {&kSchema, &kInfoSchema, &kStaticSchema};

}  // namespace

extern const Collector postgres_settings{
    "postgres_settings", &kPostgresKind, Lane::kSettings, kSchemas, begin, read};

}  // namespace lagwatch
