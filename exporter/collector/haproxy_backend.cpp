// SPDX-License-Identifier: Apache-2.0
#include "collector/haproxy_backend.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/text.h"
#include "collector/haproxy_states.h"

namespace lagwatch {
namespace {

constexpr Column kBackendColumns[] = {
    {.name = "haproxy_backend_servers_lost",
     .source = "status, lastchg",
     .help = "Servers that went DOWN within the last 60 s and still are. MAINT is not DOWN; a "
             "server that was "
             "DOWN before a reload is not lost again."},
    {.name = "haproxy_backend_servers_lost_spread_seconds",
     .source = "lastchg",
     .help = "Time between the first and the last of these losses; absent without any. About one "
             "check interval "
             "or less when one cause took them all."},
    {.name = "haproxy_backend_servers_unverified",
     .source = "check_status INI, UNK",
     .help = "Servers whose check has no result yet: UP by configuration (after a start or a "
             "reload), not by "
             "observation."},
    {.name = "haproxy_backend_own_5xx_total",
     .type = Type::kCounter,
     .source = "hrsp_5xx of the backend less those of its servers",
     .help = "5xx that HAProxy made itself: no server left, queue timeout, refused connections."},
};
constexpr Column kReasonColumns[] = {
    {.name = "haproxy_backend_servers_lost_reason",
     .source =
         "check_status, check_code; of tracked servers the tracked one's, of agents the agent's",
     .help = "How many of the lost servers share the reason that most of them have."},
};
constexpr Column kInfoColumns[] = {
    {.name = "haproxy_backend_info",
     .source = "mode",
     .help =
         "1; `mode` tells http from tcp, where times to the response and HTTP codes mean nothing."},
};
constexpr std::string_view kProxy[] = {"proxy"};
constexpr std::string_view kReasonLabels[] = {"proxy", "check_status", "check_code"};
constexpr std::string_view kInfoLabels[] = {"proxy", "mode"};
constexpr Schema kBackendSchema{kProxy, kBackendColumns};
constexpr Schema kReasonSchema{kReasonLabels, kReasonColumns};
constexpr Schema kInfoSchema{kInfoLabels, kInfoColumns};
constexpr const Schema* kSchemas[] = {&kBackendSchema, &kReasonSchema, &kInfoSchema};

constexpr size_t kLastchg = stat_number("lastchg");
constexpr size_t kCheckCode = stat_number("check_code");
constexpr size_t kAgentCode = stat_number("agent_code");
constexpr size_t kHrsp5xx = stat_number("hrsp_5xx");
constexpr size_t kSid = stat_number("sid");
constexpr int kMaxTrackDepth = 8;

std::string server_key(const StatDump& dump, size_t row) {
  std::string key(dump.rows[row].proxy);
  key += '/';
  key += dump.rows[row].name;
  key += '#';
  append_double(key, dump.number(row, kSid));
  return key;
}

bool is_down(const StatRow& row) { return server_state(row.status) == ServerState::kDown; }

}  // namespace

void BackendMemory::begin(const StatDump& dump, const Moment& now, bool reloaded) {
  ++collect_;
  down_since_.assign(dump.rows.size(), now.steady);
  codes_.clear();
  if (reloaded) {
    own_5xx_.clear();
    for (auto& [key, server] : servers_) server.from_before_reload = true;
  }
  for (size_t i = 0; i < dump.rows.size(); ++i) {
    const StatRow& row = dump.rows[i];
    if (row.type != RowType::kServer) continue;
    // Those that are well and were well take no space; INI says nothing, so what is remembered
    // stays.
    if (is_down(row) || row.check_status == "L7STS" || !servers_.empty()) remember(dump, i, now);
  }
  std::erase_if(servers_, [&](const auto& entry) { return entry.second.seen != collect_; });
}

void BackendMemory::remember(const StatDump& dump, size_t index, const Moment& now) {
  const StatRow& row = dump.rows[index];
  const std::string key = server_key(dump, index);
  const auto known = servers_.find(key);
  const bool down = is_down(row);
  const bool fails = row.check_status == "L7STS";
  const bool unverified = is_unverified(row.check_status);
  if (known == servers_.end() && !down && !fails) return;
  if (known != servers_.end() && !down && !fails && !unverified)
    return;  // well again: forgotten by begin()
  Server& server = servers_[key];
  server.seen = collect_;

  const double code = dump.number(index, kCheckCode);
  if (fails && code > 0) server.failed_code = code;
  if (fails && row.check_under_way && !(code > 0))
    codes_[index] = server.failed_code > 0 ? server.failed_code : kAbsent;

  if (!down) {
    if (!unverified) server.down = server.from_before_reload = false;
    return;
  }
  const double age = dump.number(index, kLastchg);
  const Instant said = std::isnan(age) ? now.steady : now.steady - from_seconds(age);
  const bool keep_older = server.from_before_reload && server.down_since <= said;
  // lastchg counts whole seconds: a difference of one or two is no other loss.
  const bool same = server.down && said - server.down_since < std::chrono::seconds(2);
  if (!server.down || (!keep_older && !same)) {
    server.down_since = said;
    server.from_before_reload = false;
  }
  server.down = true;
  down_since_[index] = server.down_since;
}

double BackendMemory::check_code(const StatDump& dump, size_t row) const {
  const auto known = codes_.find(row);
  return known == codes_.end() ? dump.number(row, kCheckCode) : known->second;
}

double BackendMemory::monotonic_5xx(std::string_view proxy, double value) {
  auto known = own_5xx_.find(proxy);
  if (known == own_5xx_.end()) known = own_5xx_.emplace(proxy, 0.0).first;
  known->second = std::max(known->second, value);
  return known->second;
}

std::vector<BackendRows> group_backends(const StatDump& dump) {
  std::vector<BackendRows> groups;
  std::unordered_map<std::string_view, size_t> by_proxy;
  for (size_t i = 0; i < dump.rows.size(); ++i) {
    if (dump.rows[i].type != RowType::kBackend) continue;
    by_proxy.emplace(dump.rows[i].proxy, groups.size());
    groups.push_back(BackendRows{i, {}});
  }
  for (size_t i = 0; i < dump.rows.size(); ++i) {
    if (dump.rows[i].type != RowType::kServer) continue;
    const auto found = by_proxy.find(dump.rows[i].proxy);
    if (found != by_proxy.end()) groups[found->second].servers.push_back(i);
  }
  return groups;
}

std::span<const Schema* const> backend_schemas() { return kSchemas; }

BackendTables::BackendTables(Output& out, const StatDump& dump, BackendMemory& memory,
                             const Moment& now)
    : dump_(dump),
      memory_(memory),
      now_(now),
      backend_(kBackendSchema, out.base),
      reason_(kReasonSchema, out.base),
      info_(kInfoSchema, out.base),
      out_(out) {}

void BackendTables::write(const BackendRows& rows) {
  const StatRow& backend = dump_.rows[rows.backend];
  std::vector<size_t> lost;
  size_t unverified = 0;
  size_t up = 0;
  size_t down = 0;
  double servers_5xx = 0;
  for (const size_t server : rows.servers) {
    const StatRow& row = dump_.rows[server];
    const std::optional<ServerState> state = server_state(row.status);
    if (state == ServerState::kUp) ++up;
    if (is_unverified(row.check_status)) ++unverified;
    if (state == ServerState::kDown) {
      ++down;
      if (now_.steady - memory_.down_since(server) < kRecentLoss) lost.push_back(server);
    }
    const double count = dump_.number(server, kHrsp5xx);
    if (!std::isnan(count)) servers_5xx += count;
  }
  const std::string_view labels[] = {backend.proxy};
  const size_t row = backend_.add_row(labels);
  backend_.set(row, 0, static_cast<double>(lost.size()));
  backend_.set(row, 2, static_cast<double>(unverified));
  const double all_5xx = dump_.number(rows.backend, kHrsp5xx);
  if (!std::isnan(all_5xx))
    backend_.set(row, 3, memory_.monotonic_5xx(backend.proxy, all_5xx - servers_5xx));
  if (!lost.empty()) write_losses(backend.proxy, lost, row);
  if (!backend.mode.empty()) {
    const std::string_view info_labels[] = {backend.proxy, backend.mode};
    info_.set(info_.add_row(info_labels), 0, 1);
  }
  out_.fact(HaproxyBackend{std::string(backend.proxy), proxy_state(backend.status) == 1, up, down});
}

void BackendTables::write_losses(std::string_view proxy, std::span<const size_t> lost, size_t row) {
  if (by_name_.empty()) {
    for (size_t i = 0; i < dump_.rows.size(); ++i) {
      if (dump_.rows[i].type != RowType::kServer) continue;
      by_name_.emplace(std::string(dump_.rows[i].proxy) + '/' + std::string(dump_.rows[i].name), i);
    }
  }
  Instant first = Instant::max();
  Instant last = Instant::min();
  std::map<std::pair<std::string_view, double>, size_t> reasons;
  for (size_t server : lost) {
    first = std::min(first, memory_.down_since(server));
    last = std::max(last, memory_.down_since(server));
    // A tracking server has no check of its own; chains are followed a few steps, they may be a
    // circle.
    for (int depth = 0; depth < kMaxTrackDepth && !dump_.rows[server].tracked.empty(); ++depth) {
      const auto tracked = by_name_.find(std::string(dump_.rows[server].tracked));
      if (tracked == by_name_.end()) break;
      server = tracked->second;
    }
    const StatRow& cause = dump_.rows[server];
    const bool by_agent = cause.status.ends_with("(agent)");
    const double code =
        by_agent ? dump_.number(server, kAgentCode) : memory_.check_code(dump_, server);
    ++reasons[{by_agent ? cause.agent_status : cause.check_status, std::isnan(code) ? -1 : code}];
  }
  backend_.set(row, 1, seconds(last - first));
  const auto most =
      std::max_element(reasons.begin(), reasons.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  const auto& [status, code] = most->first;
  std::string code_text;
  if (code > 0) append_double(code_text, code);
  const std::string_view labels[] = {proxy, status, code_text};
  reason_.set(reason_.add_row(labels), 0, static_cast<double>(most->second));
}

void BackendTables::finish() {
  for (Table* table : {&backend_, &reason_, &info_}) {
    if (table->rows() > 0) out_.tables.push_back(std::move(*table));
  }
}

}  // namespace lagwatch
