// SPDX-License-Identifier: Apache-2.0
// HAProxy's answers as rows: `show stat` (CSV) and `show info`, of every version from 1.4 on.
// Columns are found by header name: none of the static ones ever moved, but module columns differ
// by build.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace lagwatch {

// The numeric cells that are read. hrsp_* stand in the order of the label `code`.
inline constexpr std::string_view kStatNumbers[] = {
    "hrsp_1xx",      "hrsp_2xx",      "hrsp_3xx",      "hrsp_4xx",   "hrsp_5xx",
    "hrsp_other",    "act",           "bck",           "bin",        "bout",
    "cache_hits",    "cache_lookups", "check_code",    "agent_code", "check_duration",
    "chkdown",       "chkfail",       "cli_abrt",      "comp_byp",   "comp_in",
    "comp_out",      "comp_rsp",      "conn_rate_max", "conn_tot",   "connect",
    "ctime",         "ctime_max",     "dcon",          "downtime",   "dreq",
    "dresp",         "dses",          "econ",          "eint",       "ereq",
    "eresp",         "idle_conn_cur", "intercepted",   "lastchg",    "lastsess",
    "lbtot",         "need_conn_est", "priv_idle_cur", "qcur",       "qlimit",
    "qmax",          "qtime",         "qtime_max",     "rate",       "rate_lim",
    "rate_max",      "req_rate_max",  "req_tot",       "reqbin",     "reqbout",
    "resbin",        "resbout",       "reuse",         "rtime",      "rtime_max",
    "safe_conn_cur", "scur",          "slim",          "smax",       "src_ilim",
    "srv_abrt",      "srv_icur",      "stot",          "throttle",   "ttime",
    "ttime_max",     "used_conn_cur", "uweight",       "weight",     "wredis",
    "wretr",         "wrew",          "type",          "sid",
};
inline constexpr size_t kStatNumberCount = std::size(kStatNumbers);

// The index of `name` in kStatNumbers; kStatNumberCount for a stranger.
constexpr size_t stat_number(std::string_view name) {
  for (size_t i = 0; i < kStatNumberCount; ++i) {
    if (kStatNumbers[i] == name) return i;
  }
  return kStatNumberCount;
}

// The column `type`.
enum class RowType { kFrontend = 0, kBackend = 1, kServer = 2, kListener = 3 };

// Cells as views into the answer, or into StatDump::unquoted.
struct StatRow {
  RowType type = RowType::kFrontend;
  std::string_view proxy;         // pxname
  std::string_view name;          // svname
  std::string_view status;        // "UP", "DOWN 1/2", "MAINT (via be/srv)", "no check", ...
  std::string_view check_status;  // without the "* " of a check under way
  std::string_view agent_status;
  std::string_view tracked;      // "proxy/server" whose check this server follows
  std::string_view mode;         // 1.7 and later
  bool check_under_way = false;  // check_status began with "* ": with L7STS the code then reads 0
};

struct StatDump {
  std::vector<StatRow> rows;
  std::vector<double>
      numbers;  // rows.size() * kStatNumberCount; NaN: empty cell, or no such column
  std::deque<std::string> unquoted;  // owns the cells that held doubled quotes
  size_t rejected = 0;               // rows whose cells did not match the header

  double number(size_t row, size_t id) const { return numbers[row * kStatNumberCount + id]; }
};

// How the answer ends when it is whole: on a socket with an empty line.
enum class StatEnd { kEmptyLine, kNewline };

// `csv` must outlive the dump. An error text, a truncated answer or no usable row at all is an
// Error.
Result<StatDump> parse_stat(std::string_view csv, StatEnd end);

// The rows of several processes of one HAProxy (nbproc) as one: counters and current values are
// summed, of states the worst is kept, of times the mean or the maximum. `parts` must outlive the
// result: views stay theirs.
StatDump merge_stat(std::vector<StatDump>& parts);

// `Key: value` lines, in order.
class InfoDump {
 public:
  explicit InfoDump(std::string_view text);
  // Empty where there is no such key.
  std::string_view find(std::string_view key) const;
  bool empty() const { return pairs_.empty(); }

 private:
  std::vector<std::pair<std::string_view, std::string_view>> pairs_;
};

struct HaproxyAnswer {
  std::string_view info;
  std::string_view stat;
};

// The answer to "show info;show stat" as its two blocks.
Result<HaproxyAnswer> split_answer(std::string_view body);

}  // namespace lagwatch
