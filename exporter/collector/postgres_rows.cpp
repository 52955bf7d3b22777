// SPDX-License-Identifier: Apache-2.0
#include "collector/postgres_rows.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace lagwatch {
namespace {

// PostgreSQL, appendix A.
Reason reason_of(std::string_view sqlstate) {
  if (sqlstate == "42501") return Reason::kPermission;
  if (sqlstate == "57014" || sqlstate == "55P03") return Reason::kStalled;
  return Reason::kProtocol;
}

// As SQL writes it: quoted unless it is plain lower case.
std::string identifier(std::string_view name) {
  const bool plain = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || c == '_' || (c >= '0' && c <= '9');
  });
  if (plain && name[0] > '9') return std::string(name);
  std::string quoted = "\"";
  for (const char c : name) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + "\"";
}

// The command as it must be given here: the texts say lagwatch where the role's name belongs.
std::string fix_of(const SqlAnswer& answer, const Wanted& wanted) {
  constexpr std::string_view kTo = " TO lagwatch";
  std::string fix(answer.server_version >= kRolesSince ? wanted.grant : wanted.old_grant);
  if (answer.role.empty()) return fix;
  const std::string by = " TO " + identifier(answer.role);
  for (size_t at = fix.find(kTo); at != std::string::npos; at = fix.find(kTo, at + by.size()))
    fix.replace(at, kTo.size(), by);
  return fix;
}

}  // namespace

Asks ask_sql(State& state, std::span<const Sql> texts) {
  return {SqlAsk{.server = postgres_state(state).server, .texts = texts}};
}

std::optional<Step> without_rows(const Reply& reply, const Wanted& wanted, Output& out) {
  if (!reply.ok()) return reply.error();
  const SqlAnswer& answer = *reply->sql;
  if (!answer.supported) return Done{};
  if (!answer.error) return std::nullopt;
  const Reason reason = reason_of(answer.error->sqlstate);
  const std::string what(wanted.what);
  switch (reason) {
    case Reason::kPermission:
      out.limit({reason, what + ": " + answer.error->message, fix_of(answer, wanted)});
      break;
    case Reason::kStalled:
      out.limit({reason, what + ": gave up after statement_timeout or lock_timeout", {}});
      break;
    default:
      out.limit({reason, what + ": " + answer.error->sqlstate + " " + answer.error->message, {}});
  }
  return Done{};
}

void say_denied(const SqlAnswer& answer, const Wanted& wanted, Output& out) {
  out.limit({Reason::kPermission, std::string(wanted.what) + " is hidden from this role",
             fix_of(answer, wanted)});
}

Table& write_rows(const Rows& rows, const Schema& schema, Output& out, size_t most,
                  std::vector<size_t>* kept) {
  Table& table = out.table(schema);
  std::vector<std::optional<size_t>> labels;
  for (const std::string_view label : schema.labels) labels.push_back(rows.column(label));
  std::vector<std::optional<size_t>> cells;
  for (const Column& column : schema.columns) cells.push_back(rows.column(column.source));
  std::set<std::string> known;
  std::vector<std::string_view> values(labels.size());
  for (size_t row = 0; row < rows.size(); ++row) {
    std::string key;  // as written: values are cut and made valid UTF-8
    for (size_t i = 0; i < labels.size(); ++i) {
      values[i] = labels[i] ? rows.text(row, *labels[i]) : std::string_view{};
      append_label(key, schema.labels[i], values[i]);
    }
    if (table.rows() >= most || !known.insert(std::move(key)).second) {
      ++out.series_dropped;
      continue;
    }
    const size_t to = table.add_row(values);
    if (kept != nullptr) kept->push_back(row);
    for (size_t i = 0; i < cells.size(); ++i) {
      const auto value = cells[i] ? rows.number(row, *cells[i]) : std::nullopt;
      if (value) table.set(to, i, *value);
    }
  }
  return table;
}

std::optional<WalSegment> parse_wal_name(std::string_view name, uint64_t segment_bytes) {
  if (name.size() != 24 || segment_bytes == 0) return std::nullopt;
  uint32_t parts[3] = {};
  for (size_t i = 0; i < std::size(parts); ++i) {
    const std::string_view digits = name.substr(i * 8, 8);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), parts[i], 16);
    if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  }
  if (parts[2] >= (uint64_t{1} << 32U) / segment_bytes) return std::nullopt;
  return WalSegment{parts[0], (uint64_t{parts[1]} << 32U) + parts[2] * segment_bytes,
                    segment_bytes};
}

std::string replaced(std::string_view text, std::string_view what, std::string_view by) {
  std::string out(text);
  const size_t at = out.find(what);
  if (at != std::string::npos) out.replace(at, what.size(), by);
  return out;
}

void write_single(const Rows& rows, const Schema& schema, Output& out) {
  if (!rows.empty()) write_rows(rows, schema, out);
}

}  // namespace lagwatch
