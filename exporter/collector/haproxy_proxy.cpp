// SPDX-License-Identifier: Apache-2.0
#include "collector/haproxy_proxy.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "base/text.h"
#include "collector/haproxy_columns.h"
#include "collector/haproxy_states.h"

namespace lagwatch {
namespace {

constexpr size_t kSid = stat_number("sid");

size_t column_of(RowType type, std::string_view name) {
  return column_index(stat_scope(type).schema, name);
}

// Where the columns stand that are filled by hand.
const size_t kFrontendStatus = column_of(RowType::kFrontend, "haproxy_frontend_status");
const size_t kListenerStatus = column_of(RowType::kListener, "haproxy_listener_status");
const size_t kBackendStatus = column_of(RowType::kBackend, "haproxy_backend_status");
const size_t kAggServerStatus = column_of(RowType::kBackend, "haproxy_backend_agg_server_status");
const size_t kAggServerStatusOld =
    column_of(RowType::kBackend, "haproxy_backend_agg_server_check_status");
const size_t kAggCheckStatus = column_of(RowType::kBackend, "haproxy_backend_agg_check_status");
const size_t kServerStatus = column_of(RowType::kServer, "haproxy_server_status");
const size_t kCheckStatus = column_of(RowType::kServer, "haproxy_server_check_status");
const size_t kCheckCode = column_of(RowType::kServer, "haproxy_server_check_code");

void set_state(Table& table, size_t row, size_t column, std::optional<size_t> state) {
  if (state) table.set(row, column, static_cast<double>(*state));
}

}  // namespace

ProxyTables::ProxyTables(Output& out, const StatDump& dump, const BackendMemory& memory,
                         const HaproxyOptions& options)
    : out_(out), dump_(dump), memory_(memory), options_(options) {
  for (const RowType type :
       {RowType::kFrontend, RowType::kBackend, RowType::kServer, RowType::kListener}) {
    tables_.emplace_back(stat_scope(type).schema, out.base)
        .set_sparse_states(options.sparse_states);
  }
  std::array<size_t, 4> counts{};
  for (const StatRow& row : dump.rows) ++counts[static_cast<size_t>(row.type)];
  for (size_t type = 0; type < counts.size(); ++type) {
    tables_[type].reserve(counts[type]);
    names_[type].reserve(counts[type]);
  }
}

void ProxyTables::write(size_t row) {
  const StatRow& stat = dump_.rows[row];
  switch (stat.type) {
    case RowType::kFrontend:
      set_state(table(stat.type), add(row), kFrontendStatus, proxy_state(stat.status));
      break;
    case RowType::kListener:
      set_state(table(stat.type), add(row), kListenerStatus, listener_state(stat.status));
      break;
    case RowType::kServer:
      write_server(row);
      break;
    case RowType::kBackend:
      break;
  }
}

void ProxyTables::write_server(size_t row) {
  Table& servers = table(RowType::kServer);
  if (servers.rows() >= options_.max_servers) {
    ++out_.series_dropped;
    return;
  }
  const StatRow& stat = dump_.rows[row];
  const size_t at = add(row);
  if (const auto state = server_state(stat.status))
    servers.set(at, kServerStatus, static_cast<double>(*state));
  if (!stat.check_status.empty()) {
    const auto check = check_state(stat.check_status);
    servers.set(at, kCheckStatus, check ? static_cast<double>(*check) : kNoState);
  }
  servers.set(at, kCheckCode, memory_.check_code(dump_, row));
}

void ProxyTables::write_backend(const BackendRows& rows) {
  const size_t at = add(rows.backend);
  Table& backends = table(RowType::kBackend);
  set_state(backends, at, kBackendStatus, proxy_state(dump_.rows[rows.backend].status));
  if (rows.servers.empty()) return;  // as HAProxy's exporter: no server, nothing to add up
  std::array<double, std::size(kServerStates)> states{};
  std::array<double, std::size(kCheckStates)> checks{};
  for (const size_t server : rows.servers) {
    if (const auto state = server_state(dump_.rows[server].status))
      ++states[static_cast<size_t>(*state)];
    if (const auto check = check_state(dump_.rows[server].check_status)) ++checks[*check];
  }
  for (size_t i = 0; i < states.size(); ++i) {
    backends.set(at, kAggServerStatus, states[i], i);
    backends.set(at, kAggServerStatusOld, states[i], i);
  }
  for (size_t i = 0; i < checks.size(); ++i) backends.set(at, kAggCheckStatus, checks[i], i);
}

// A new row with its labels and the cells that HAProxy gives as numbers.
size_t ProxyTables::add(size_t row) {
  const StatRow& stat = dump_.rows[row];
  const std::string name = unique_name(row);
  const std::string_view labels[] = {stat.proxy, name};
  const bool named = stat.type == RowType::kServer || stat.type == RowType::kListener;
  const size_t at = table(stat.type).add_row(std::span(labels).first(named ? 2 : 1));
  set_numbers(at, row);
  return at;
}

// A configuration may repeat the name of a server or listener: the later ones carry their id, so
// that no series stands twice.
std::string ProxyTables::unique_name(size_t row) {
  const StatRow& stat = dump_.rows[row];
  std::string name(stat.name);
  if (!names_[static_cast<size_t>(stat.type)].insert({stat.proxy, stat.name}).second) {
    name += '#';
    append_double(name, dump_.number(row, kSid));
  }
  return name;
}

void ProxyTables::set_numbers(size_t at, size_t row) {
  const RowType type = dump_.rows[row].type;
  const StatScope& scope = stat_scope(type);
  Table& into = table(type);
  const double* numbers = dump_.numbers.data() + row * kStatNumberCount;
  const bool tcp = dump_.rows[row].mode == "tcp";
  const std::span<double> cells = into.cells(at);
  for (size_t c = 0; c < scope.cells.size(); ++c) {
    const StatCell& cell = scope.cells[c];
    if (cell.number == kStatNumberCount || (tcp && cell.http_only)) continue;
    if (cell.scaled) {
      into.set_each(at, c, {numbers + cell.number, cell.elements});
    } else {
      std::copy_n(numbers + cell.number, cell.elements, &cells[into.offset(c)]);
    }
  }
}

void ProxyTables::finish() {
  for (Table& table : tables_) {
    if (table.rows() > 0) out_.tables.push_back(std::move(table));
  }
}

}  // namespace lagwatch
