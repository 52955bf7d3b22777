// SPDX-License-Identifier: Apache-2.0
// What all PostgreSQL collectors do with an answer: told from a failure, told from a refusal, and
// written into tables by the names of its columns.
#pragma once

#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "collector/postgres.h"

namespace lagwatch {

Asks ask_sql(State& state, std::span<const Sql> texts);

// pg_monitor and its parts. Before, functions of the operator's lend rights.
inline constexpr int kRolesSince = 100000;

// What is asked, and the command that allows it.
struct Wanted {
  std::string_view what;
  std::string_view grant;  // for 10 and later
  std::string_view old_grant =
      "install the functions of README.md, section \"PostgreSQL before 10\"";
};

// What a collector returns when `reply` has no rows to read: the error of a connection; Done where
// this version has nothing of the kind, or where the statement failed, which `out` is told. Nothing
// when there are rows.
std::optional<Step> without_rows(const Reply& reply, const Wanted& wanted, Output& out);

// Says that the server hides what it was asked for: rows full of NULL instead of an error.
void say_denied(const SqlAnswer& answer, const Wanted& wanted, Output& out);

// A table of `schema` with a row for each of `rows`: labels and cells are the columns of the answer
// that are named as the schema's labels and as its columns' sources. NULL is no sample. A second
// row with the same labels is left out and counted, as are those beyond `most`. `kept`: where
// not null, which of `rows` became which row of the table.
Table& write_rows(const Rows& rows, const Schema& schema, Output& out,
                  size_t most = std::numeric_limits<size_t>::max(),
                  std::vector<size_t>* kept = nullptr);

// Segments are 16 MiB unless the server was built or set up otherwise.
inline constexpr uint64_t kDefaultSegmentBytes = 16U << 20U;

// A WAL segment by the name of its file: 24 hexadecimal digits, timeline and number in two parts.
struct WalSegment {
  uint32_t timeline = 0;
  Lsn begin = 0;
  uint64_t bytes = 0;
};
// Nothing for .history, .backup and .partial files, and for numbers that do not fit
// `segment_bytes`.
std::optional<WalSegment> parse_wal_name(std::string_view name, uint64_t segment_bytes);

// `text` with its first `what` replaced.
std::string replaced(std::string_view text, std::string_view what, std::string_view by);

// One row without labels, where there is one.
void write_single(const Rows& rows, const Schema& schema, Output& out);

}  // namespace lagwatch
