// SPDX-License-Identifier: Apache-2.0
#include "collector/haproxy_stat.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <limits>
#include <optional>
#include <unordered_map>

#include "base/text.h"
#include "collector/haproxy_states.h"

namespace lagwatch {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr std::string_view kHeader = "# pxname,";

// What a column of the header is to us.
struct Use {
  size_t number = kStatNumberCount;
  std::string_view StatRow::*text = nullptr;
};

Use use_of(std::string_view name) {
  static constexpr std::pair<std::string_view, std::string_view StatRow::*> kTexts[] = {
      {"pxname", &StatRow::proxy},
      {"svname", &StatRow::name},
      {"status", &StatRow::status},
      {"check_status", &StatRow::check_status},
      {"agent_status", &StatRow::agent_status},
      {"tracked", &StatRow::tracked},
      {"mode", &StatRow::mode},
  };
  for (const auto& [text, member] : kTexts) {
    if (text == name) return Use{kStatNumberCount, member};
  }
  static const auto kNumbers = [] {
    std::unordered_map<std::string_view, size_t> numbers;
    for (size_t i = 0; i < kStatNumberCount; ++i) numbers.emplace(kStatNumbers[i], i);
    return numbers;
  }();
  const auto number = kNumbers.find(name);
  return Use{number == kNumbers.end() ? kStatNumberCount : number->second, nullptr};
}

double to_number(std::string_view cell) {
  if (cell.empty()) return kNaN;
  if (cell.size() == 1 && cell[0] >= '0' && cell[0] <= '9') return cell[0] - '0';  // nearly all are
  uint64_t whole = 0;
  const char* end = cell.data() + cell.size();
  if (const auto [stop, error] = std::from_chars(cell.data(), end, whole);
      error == std::errc() && stop == end) {
    return static_cast<double>(whole);
  }
  return parse_number<double>(cell).value_or(kNaN);
}

// Takes cells off a CSV text as RFC 4180 has them: quotes only around cells with ',', '"', CR or
// LF, doubled inside.
class CellReader {
 public:
  explicit CellReader(std::string_view text, std::deque<std::string>& unquoted)
      : at_(text.data()), end_(text.data() + text.size()), unquoted_(unquoted) {}

  bool at_end() const { return at_ == end_; }
  bool at_line_end() const { return at_ != end_ && *at_ == '\n'; }
  void skip_line_end() { ++at_; }

  // The next cell of this line; afterwards at its ',' which is taken, at the line's end, or at the
  // text's. False if the text ends within quotes.
  bool next(std::string_view& cell) {
    if (at_ != end_ && *at_ == '"') return next_quoted(cell);
    const char* begin = at_;
    while (at_ != end_ && *at_ != ',' && *at_ != '\n') ++at_;
    cell = std::string_view(begin, static_cast<size_t>(at_ - begin));
    if (at_ != end_ && *at_ == ',') ++at_;
    return true;
  }

 private:
  bool next_quoted(std::string_view& cell) {
    const char* begin = ++at_;
    bool doubled = false;
    for (;; ++at_) {
      at_ = static_cast<const char*>(std::memchr(at_, '"', static_cast<size_t>(end_ - at_)));
      if (at_ == nullptr) {
        at_ = end_;
        return false;
      }
      if (at_ + 1 == end_ || at_[1] != '"') break;
      doubled = true;
      ++at_;
    }
    cell = std::string_view(begin, static_cast<size_t>(at_ - begin));
    ++at_;
    if (doubled) cell = undouble(cell);
    // What stands between the closing quote and the comma is no part of a cell.
    while (at_ != end_ && *at_ != ',' && *at_ != '\n') ++at_;
    if (at_ != end_ && *at_ == ',') ++at_;
    return true;
  }

  std::string_view undouble(std::string_view cell) {
    std::string& out = unquoted_.emplace_back();
    for (size_t i = 0; i < cell.size(); ++i) {
      out += cell[i];
      if (cell[i] == '"') ++i;
    }
    return out;
  }

  const char* at_;
  const char* end_;
  std::deque<std::string>& unquoted_;
};

std::vector<Use> read_header(std::string_view header) {
  std::vector<Use> uses;
  std::array<bool, kStatNumberCount + 1> taken{};
  std::vector<std::string_view StatRow::*> texts;
  size_t begin = 2;  // behind "# "
  while (begin <= header.size()) {
    const size_t comma = std::min(header.find(',', begin), header.size());
    Use use = use_of(header.substr(begin, comma - begin));
    // 2.6.0 with QUIC names a column twice: the first one counts.
    if (use.text != nullptr) {
      if (std::find(texts.begin(), texts.end(), use.text) != texts.end())
        use = Use{};
      else
        texts.push_back(use.text);
    } else if (use.number < kStatNumberCount && std::exchange(taken[use.number], true)) {
      use = Use{};
    }
    uses.push_back(use);
    begin = comma + 1;
  }
  return uses;
}

// Reads one line into `row` and its numbers. False if its cells do not match the header.
bool read_row(CellReader& reader, const std::vector<Use>& uses, StatRow& row, double* numbers) {
  size_t column = 0;
  bool whole = true;
  // A line ends in ',' like the header, so both have an empty last cell, which is not read.
  while (!reader.at_end() && !reader.at_line_end()) {
    std::string_view cell;
    whole = reader.next(cell) && whole;
    if (column < uses.size()) {
      const Use& use = uses[column];
      if (use.text != nullptr) {
        row.*use.text = cell;
      } else if (use.number < kStatNumberCount) {
        numbers[use.number] = to_number(cell);
      }
    }
    ++column;
  }
  const double type = numbers[stat_number("type")];
  if (!whole || column + 1 != uses.size() || !(type >= 0 && type <= 3)) return false;
  row.type = static_cast<RowType>(static_cast<int>(type));
  if (row.check_status.starts_with("* ")) {
    row.check_under_way = true;
    row.check_status.remove_prefix(2);
  }
  return true;
}

Error refused(std::string_view text) {
  const std::string_view first = trim(text.substr(0, text.find('\n')));
  if (first.empty()) return Error{Reason::kProtocol, "show stat: an empty answer", {}};
  const std::string words = "show stat: HAProxy answered \"" + printable(first) + "\"";
  if (first.starts_with("Permission denied")) {
    return Error{Reason::kPermission, words, "give the stats socket at least `level user`"};
  }
  return Error{Reason::kProtocol, words, {}};
}

}  // namespace

Result<StatDump> parse_stat(std::string_view csv, StatEnd end) {
  if (!csv.starts_with(kHeader)) return refused(csv);
  const Error truncated{Reason::kProtocol, "show stat: the answer is truncated", {}};
  const size_t header_end = csv.find('\n');
  if (header_end == std::string_view::npos) return truncated;
  const std::vector<Use> uses = read_header(csv.substr(0, header_end));
  if (uses.empty() || !csv.ends_with(end == StatEnd::kEmptyLine ? "\n\n" : "\n")) return truncated;

  StatDump dump;
  const std::string_view body = csv.substr(header_end + 1);
  const size_t guess = body.size() / 200 + 1;
  dump.rows.reserve(guess);
  dump.numbers.reserve(guess * kStatNumberCount);
  CellReader reader(body, dump.unquoted);
  while (!reader.at_end()) {
    if (reader.at_line_end()) {  // an empty line: the end of the block
      reader.skip_line_end();
      continue;
    }
    StatRow row;
    dump.numbers.resize(dump.numbers.size() + kStatNumberCount, kNaN);
    if (read_row(reader, uses, row, dump.numbers.data() + dump.numbers.size() - kStatNumberCount)) {
      dump.rows.push_back(row);
    } else {
      ++dump.rejected;
      dump.numbers.resize(dump.numbers.size() - kStatNumberCount);
    }
    if (reader.at_line_end()) reader.skip_line_end();
  }
  if (dump.rows.empty() && dump.rejected > 0) {
    return Error{Reason::kProtocol, "show stat: no row matches the header", {}};
  }
  return dump;
}

namespace {

enum class Merge { kSum, kMax, kMin, kMean };

std::array<Merge, kStatNumberCount> make_merge_rules() {
  std::array<Merge, kStatNumberCount> rules{};
  rules.fill(Merge::kSum);
  for (const std::string_view name :
       {"check_code",    "agent_code", "check_duration", "chkdown",      "chkfail", "downtime",
        "conn_rate_max", "qmax",       "rate_max",       "req_rate_max", "smax",    "ctime_max",
        "qtime_max",     "rtime_max",  "ttime_max",      "weight",       "uweight", "throttle",
        "type",          "sid",        "lastsess"}) {
    rules[stat_number(name)] = Merge::kMax;
  }
  for (const std::string_view name : {"act", "bck", "lastchg"})
    rules[stat_number(name)] = Merge::kMin;
  for (const std::string_view name : {"ctime", "qtime", "rtime", "ttime"})
    rules[stat_number(name)] = Merge::kMean;
  return rules;
}

// `count`: how many values `a` already holds.
double merge_value(Merge rule, double a, double b, size_t count) {
  if (a != a) return b;
  if (b != b) return a;
  switch (rule) {
    case Merge::kSum:
      return a + b;
    case Merge::kMax:
      return std::max(a, b);
    case Merge::kMin:
      return std::min(a, b);
    case Merge::kMean:
      return a + (b - a) / static_cast<double>(count + 1);
  }
  return a;
}

}  // namespace

StatDump merge_stat(std::vector<StatDump>& parts) {
  static const std::array<Merge, kStatNumberCount> kRules = make_merge_rules();
  StatDump all = std::move(parts.front());
  std::unordered_map<std::string, std::pair<size_t, size_t>>
      known;  // key -> row, processes that had it
  const auto key_of = [](const StatDump& dump, size_t i) {
    const StatRow& row = dump.rows[i];
    return std::to_string(static_cast<int>(row.type)) + '/' + std::string(row.proxy) + '/' +
           std::string(row.name) + '/' + std::to_string(dump.number(i, stat_number("sid")));
  };
  for (size_t i = 0; i < all.rows.size(); ++i)
    known.emplace(key_of(all, i), std::pair(i, size_t{1}));
  for (size_t p = 1; p < parts.size(); ++p) {
    StatDump& part = parts[p];
    all.rejected += part.rejected;
    for (size_t i = 0; i < part.rows.size(); ++i) {
      const double* from = part.numbers.data() + i * kStatNumberCount;
      const auto [found, fresh] =
          known.emplace(key_of(part, i), std::pair(all.rows.size(), size_t{1}));
      if (fresh) {
        all.rows.push_back(part.rows[i]);
        all.numbers.insert(all.numbers.end(), from, from + kStatNumberCount);
        continue;
      }
      auto& [row, count] = found->second;
      double* into = all.numbers.data() + row * kStatNumberCount;
      for (size_t n = 0; n < kStatNumberCount; ++n)
        into[n] = merge_value(kRules[n], into[n], from[n], count);
      if (worse_status(part.rows[i].status, all.rows[row].status)) {
        const StatRow& worst = part.rows[i];
        all.rows[row].status = worst.status;
        all.rows[row].check_status = worst.check_status;
        all.rows[row].agent_status = worst.agent_status;
      }
      ++count;
    }
  }
  return all;
}

InfoDump::InfoDump(std::string_view text) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t colon = line.find(": ");
    if (colon != std::string_view::npos) {
      pairs_.emplace_back(line.substr(0, colon), trim(line.substr(colon + 2)));
    }
  }
}

std::string_view InfoDump::find(std::string_view key) const {
  for (const auto& [name, value] : pairs_) {
    if (name == key) return value;
  }
  return {};
}

Result<HaproxyAnswer> split_answer(std::string_view body) {
  const size_t end = body.find("\n\n");
  if (!body.starts_with("Name: ")) {
    const std::string_view first = trim(body.substr(0, body.find('\n')));
    const std::string words = "show info: HAProxy answered \"" + printable(first) + "\"";
    if (first.starts_with("Permission denied")) {
      return Error{Reason::kPermission, words, "give the stats socket at least `level user`"};
    }
    return Error{Reason::kProtocol, words, {}};
  }
  if (end == std::string_view::npos)
    return Error{Reason::kProtocol, "show info: the answer is truncated", {}};
  return HaproxyAnswer{body.substr(0, end + 1), body.substr(end + 2)};
}

}  // namespace lagwatch
