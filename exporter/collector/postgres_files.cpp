// SPDX-License-Identifier: Apache-2.0
// What the server's own directory says, where it is on this host and may be looked at: space left
// for WAL, and whether the files are there that make a standby or promote it. Privilege: search of
// the data directory (it is 0700 unless initdb had -g); the space of the file system that holds the
// data directory needs none.
#include <iterator>
#include <string>

#include "base/text.h"
#include "collector/postgres_rows.h"

namespace lagwatch {
namespace {

constexpr std::string_view kMount[] = {"mountpoint"};
constexpr Column kWalColumns[] = {
    gauge("pg_wal_filesystem_avail_bytes", "statvfs of pg_wal",
          "Space left on the file system that holds pg_wal."),
    gauge("pg_wal_filesystem_size_bytes", "statvfs of pg_wal", "Its size."),
};
constexpr Schema kWalSchema{kMount, kWalColumns};
constexpr Column kDataColumns[] = {
    gauge("pg_data_filesystem_avail_bytes", "statvfs of data_directory",
          "Space left on the file system that holds the data directory; pg_wal may be elsewhere."),
    gauge("pg_data_filesystem_size_bytes", "statvfs of data_directory", "Its size."),
};
constexpr Schema kDataSchema{kMount, kDataColumns};

constexpr std::string_view kFile[] = {"file"};
constexpr Column kFileColumns[] = {
    gauge(
        "pg_recovery_file_exists", "data_directory",
        "1 if the file is there, 0 if not; absent where that cannot be seen. `trigger` is the file "
        "that recovery.conf names to promote the standby."),
};
constexpr Schema kFileSchema{kFile, kFileColumns};

// standby.signal and recovery.signal since 12, recovery.conf before; promote is pg_ctl's own
// trigger.
constexpr std::string_view kFiles[] = {"standby.signal", "recovery.signal", "recovery.conf",
                                       "promote"};
constexpr size_t kRecoveryConf = 2;
constexpr size_t kMaxFileBytes = 64U << 10U;
constexpr int kFirstWithSignals = 120000;

// Asks before those of kFiles.
constexpr size_t kBefore = 2;

Asks begin(State& state) {
  const PostgresState& postgres = postgres_state(state);
  if (!postgres.local || postgres.data_directory.empty()) return {};
  const std::string& data = postgres.data_directory;
  Asks asks;
  asks.emplace_back(FilesystemAsk{data});
  asks.emplace_back(FilesystemAsk{data + (postgres.version < 100000 ? "/pg_xlog" : "/pg_wal")});
  for (const std::string_view file : kFiles)
    asks.emplace_back(FileAsk{data + "/" + std::string(file), kMaxFileBytes});
  return asks;
}

void write_space(const Reply& reply, const Schema& schema, Output& out) {
  if (!reply.ok() || !reply->filesystem) return;
  Table& table = out.table(schema);
  const std::string_view labels[] = {reply->filesystem->mountpoint};
  table.add_row(labels);
  table.set(0, 0, static_cast<double>(reply->filesystem->avail_bytes));
  table.set(0, 1, static_cast<double>(reply->filesystem->size_bytes));
}

// The value of `trigger_file` (promote_trigger_file's name before 12): the last one counts.
std::string trigger_file(std::string_view conf) {
  std::string found;
  while (!conf.empty()) {
    const size_t end = conf.find('\n');
    std::string_view line = trim(conf.substr(0, end));
    conf = end == std::string_view::npos ? std::string_view{} : conf.substr(end + 1);
    if (!line.starts_with("trigger_file")) continue;
    const size_t open = line.find('\'');
    const size_t close = open == std::string_view::npos ? open : line.find('\'', open + 1);
    if (close != std::string_view::npos) found = line.substr(open + 1, close - open - 1);
  }
  return found;
}

// 1, 0, or nothing where that cannot be seen. Missing files fail with kRefused.
std::optional<double> exists(const Reply& reply) {
  if (reply.ok()) return 1;
  if (reply.error().reason == Reason::kRefused) return 0;
  return std::nullopt;
}

Step read(State& state, std::span<Reply> replies, const Moment&, Output& out) {
  const PostgresState& postgres = postgres_state(state);
  if (replies.empty()) return Done{};
  if (replies.size() == 1) {  // the trigger file, asked for last
    if (const auto there = exists(replies[0])) {
      const std::string_view labels[] = {"trigger"};
      Table& table = out.table(kFileSchema);
      table.set(table.add_row(labels), 0, *there);
    }
    return Done{};
  }
  write_space(replies[0], kDataSchema, out);
  write_space(replies[1], kWalSchema, out);
  const bool signals = postgres.version >= kFirstWithSignals;
  Table files(kFileSchema, out.base);
  for (size_t i = 0; i < std::size(kFiles); ++i) {
    const auto there = exists(replies[kBefore + i]);
    const bool of_version = i == kRecoveryConf ? !signals : i > kRecoveryConf || signals;
    const std::string_view labels[] = {kFiles[i]};
    if (there && of_version) files.set(files.add_row(labels), 0, *there);
  }
  out.tables.push_back(std::move(files));
  const Reply& conf = replies[kBefore + kRecoveryConf];
  const std::string trigger = conf.ok() ? trigger_file(conf->body) : "";
  if (signals || !trigger.starts_with('/')) return Done{};
  return More{{FileAsk{trigger, kMaxFileBytes}}};
}

constexpr const Schema* kSchemas[] = {&kWalSchema, &kDataSchema, &kFileSchema};

}  // namespace

extern const Collector postgres_files{"postgres_files", &kPostgresKind, Lane::kBasics,
                                      kSchemas,         begin,          read};

}  // namespace lagwatch
