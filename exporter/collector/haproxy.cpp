// SPDX-License-Identifier: Apache-2.0
// HAProxy, from its stats socket (`show info;show stat` in one connection) or its HTTP statistics
// page (`;csv`). Source: management guide, 9.1 (CSV format) and 9.3 (Unix socket commands).
// Privilege: a socket of level user.
#include "collector/haproxy.h"

#include <re2/re2.h>

#include <limits>
#include <utility>

#include "base/text.h"
#include "collector/haproxy_backend.h"
#include "collector/haproxy_columns.h"
#include "collector/haproxy_process.h"
#include "collector/haproxy_proxy.h"
#include "collector/haproxy_stat.h"

namespace lagwatch {
namespace {

constexpr Column kUpColumns[] = {
    {.name = "haproxy_up",
     .help = "1 if the last answer of every stats socket was complete, 0 if one of them failed."},
};
constexpr Schema kUpSchema{{}, kUpColumns};

constexpr Column kAgentColumns[] = {
    {.name = "haproxy_reloads_total",
     .type = Type::kCounter,
     .source = "Pid, Start_time_sec; over HTTP counters and lastchg",
     .help = "Reloads and restarts seen since lagwatch began to watch; HAProxy's counters begin "
             "anew at each."},
    {.name = "haproxy_stat_rows_rejected_total",
     .type = Type::kCounter,
     .source = "show stat",
     .help = "Rows whose cells did not match the header, left out."},
};
constexpr Schema kAgentSchema{{}, kAgentColumns};

constexpr std::string_view kVersion[] = {"version"};
constexpr Column kBuildColumns[] = {
    {.name = "haproxy_process_build_info",
     .source = "Build info, before 2.4 Version",
     .help = "1; the version of HAProxy, `unknown` over HTTP, where it does not say."},
};
constexpr Schema kBuildSchema{kVersion, kBuildColumns};

constexpr std::string_view kNode[] = {"node"};
constexpr Column kNodeColumns[] = {
    {.name = "haproxy_process_node",
     .source = "node",
     .help = "1; the name HAProxy gives its host."},
};
constexpr Schema kNodeSchema{kNode, kNodeColumns};

// Rows above which an answer is read slowly, and up to which HAProxy is asked every second.
constexpr size_t kPacedRows = 1000;
constexpr size_t kQuickRows = 500;
// About a thousand rows: where pacing begins while the size is not known yet.
constexpr size_t kUnknownFastBytes = 256U << 10U;

struct HaproxyState : State {
  HaproxyOptions options;
  std::unique_ptr<RE2> include;
  std::unique_ptr<RE2> exclude;
  size_t rows = 0;  // of the last answer; 0: none yet
  BackendMemory backends;
  UptimeTracker uptime;
  uint64_t rows_rejected = 0;
};

HaproxyState& mine(State& state) { return static_cast<HaproxyState&>(state); }

bool is_http(std::string_view socket) {
  return socket.starts_with("http://") || socket.starts_with("https://");
}

// "http://user@host/path" as an ask without the user in its URL.
HttpAsk http_ask(std::string_view url, const HaproxyOptions& options) {
  HttpAsk ask{
      .url = std::string(url), .password_file = options.password_file, .ca_file = options.ca_file};
  const size_t host = url.find("://") + 3;
  const size_t at = url.substr(0, url.find('/', host)).find('@', host);
  if (at != std::string_view::npos) {
    ask.user = url.substr(host, at - host);
    ask.url = std::string(url.substr(0, host)) + std::string(url.substr(at + 1));
  }
  return ask;
}

Asks begin(State& state) {
  const HaproxyState& haproxy = mine(state);
  const size_t fast_bytes = haproxy.rows > kPacedRows ? 0
                            : haproxy.rows == 0       ? kUnknownFastBytes
                                                      : std::numeric_limits<size_t>::max();
  Asks asks;
  for (const std::string& socket : haproxy.options.sockets) {
    if (is_http(socket)) {
      HttpAsk ask = http_ask(socket, haproxy.options);
      ask.fast_bytes = fast_bytes;
      asks.emplace_back(std::move(ask));
    } else {
      asks.emplace_back(
          SocketAsk{.address = socket, .send = "show info;show stat\n", .fast_bytes = fast_bytes});
    }
  }
  return asks;
}

// Everything one collect needs, read from all sockets.
struct Collected {
  std::vector<InfoDump> infos;  // one a socket; none over HTTP
  std::vector<StatDump> parts;  // own what `stat` views
  StatDump stat;
};

Result<Collected> parse(std::span<Reply> replies, const HaproxyOptions& options) {
  Collected all;
  for (size_t i = 0; i < replies.size(); ++i) {
    if (!replies[i].ok()) return replies[i].error();
    const std::string_view body = replies[i]->body;
    const auto named = [&](Error error) {
      error.message = options.sockets[i] + ": " + error.message;
      return error;
    };
    if (is_http(options.sockets[i])) {
      Result<StatDump> stat = parse_stat(body, StatEnd::kNewline);
      if (!stat.ok()) return named(stat.error());
      all.parts.push_back(std::move(*stat));
      continue;
    }
    const Result<HaproxyAnswer> blocks = split_answer(body);
    if (!blocks.ok()) return named(blocks.error());
    Result<StatDump> stat = parse_stat(blocks->stat, StatEnd::kEmptyLine);
    if (!stat.ok()) return named(stat.error());
    all.infos.emplace_back(blocks->info);
    all.parts.push_back(std::move(*stat));
  }
  all.stat = all.parts.size() == 1 ? std::move(all.parts.front()) : merge_stat(all.parts);
  return all;
}

bool wanted(const HaproxyState& haproxy, std::string_view proxy) {
  const re2::StringPiece name(proxy.data(), proxy.size());
  if (haproxy.exclude && RE2::FullMatch(name, *haproxy.exclude)) return false;
  return !haproxy.include || RE2::FullMatch(name, *haproxy.include);
}

void write_process(HaproxyState& haproxy, const Collected& all, Output& out) {
  Table& process = out.table(kProcessSchema);
  process.add_row();
  write_info(process, all.infos, haproxy.options.sockets.size());
  const size_t start = column_index(kProcessSchema, "haproxy_process_start_time_seconds");
  process.set(0, start, unix_seconds(haproxy.uptime.start_time()));

  std::string_view version = "unknown";
  if (!all.infos.empty()) {
    const InfoDump& info = all.infos.front();
    version = info.find("Build info").empty() ? info.find("Version") : info.find("Build info");
    const std::string_view node[] = {info.find("node")};
    if (!node[0].empty()) {
      Table& table = out.table(kNodeSchema);
      table.set(table.add_row(node), 0, 1);
    }
  }
  Table& build = out.table(kBuildSchema);
  const std::string_view labels[] = {version};
  build.set(build.add_row(labels), 0, 1);

  Table& agent = out.table(kAgentSchema);
  agent.add_row();
  agent.set(0, 0, static_cast<double>(haproxy.uptime.reloads()));
  agent.set(0, 1, static_cast<double>(haproxy.rows_rejected));
}

Step read(State& state, std::span<Reply> replies, const Moment& now, Output& out) {
  HaproxyState& haproxy = mine(state);
  Result<Collected> parsed = parse(replies, haproxy.options);
  if (!parsed.ok()) return parsed.error();
  const StatDump& dump = parsed->stat;
  haproxy.rows = dump.rows.size();
  haproxy.rows_rejected += dump.rejected;
  const bool reloaded = haproxy.uptime.observe(parsed->infos, dump, now);
  haproxy.backends.begin(dump, now, reloaded);

  write_process(haproxy, *parsed, out);
  ProxyTables tables(out, dump, haproxy.backends, haproxy.options);
  for (size_t i = 0; i < dump.rows.size(); ++i) {
    if (wanted(haproxy, dump.rows[i].proxy)) tables.write(i);
  }
  BackendTables backends(out, dump, haproxy.backends, now);
  for (const BackendRows& rows : group_backends(dump)) {
    if (!wanted(haproxy, dump.rows[rows.backend].proxy)) continue;
    tables.write_backend(rows);
    backends.write(rows);
  }
  tables.finish();
  backends.finish();
  out.suggested_interval = std::chrono::seconds(dump.rows.size() <= kQuickRows ? 1 : 5);
  return Done{};
}

}  // namespace

std::unique_ptr<State> make_haproxy_state(HaproxyOptions options) {
  auto state = std::make_unique<HaproxyState>();
  if (!options.include_proxies.empty())
    state->include = std::make_unique<RE2>(options.include_proxies);
  if (!options.exclude_proxies.empty())
    state->exclude = std::make_unique<RE2>(options.exclude_proxies);
  state->options = std::move(options);
  return state;
}

namespace {
constexpr const Schema* kOwnSchemas[] = {&kBuildSchema, &kNodeSchema, &kAgentSchema};

// Those of the parts behind each other, in the order of the exposition.
std::vector<const Schema*> all_schemas() {
  std::vector<const Schema*> all{&kProcessSchema};
  all.insert(all.end(), std::begin(kOwnSchemas), std::end(kOwnSchemas));
  for (const RowType type :
       {RowType::kFrontend, RowType::kListener, RowType::kBackend, RowType::kServer}) {
    all.push_back(&stat_scope(type).schema);
  }
  const auto derived = backend_schemas();
  all.insert(all.end(), derived.begin(), derived.end());
  return all;
}
const std::vector<const Schema*> kSchemas = all_schemas();
}  // namespace

const Kind kHaproxyKind{"haproxy", "haproxy_up", &kUpSchema};

extern const Collector haproxy{"haproxy", &kHaproxyKind, Lane::kMain, kSchemas, begin, read};

}  // namespace lagwatch
