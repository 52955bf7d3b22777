// SPDX-License-Identifier: Apache-2.0
#include "collector/passenger_requests_tables.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/text.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxKept = 1000;
constexpr size_t kMaxPathBytes = 200;
constexpr size_t kMaxMethodBytes = 20;

// In the order of RequestState.
constexpr std::string_view kStateNames[] = {"receiving", "queued", "running"};
constexpr std::string_view kThresholdNames[] = {"1", "5", "10", "30", "60", "300"};

enum RouteColumn : size_t { kInFlight, kOldest, kShare, kShort };
constexpr std::string_view kRouteLabels[] = {"route"};
constexpr Column kRouteColumns[] = {
    {.name = "passenger_requests_in_flight",
     .source = "active_clients/current_request",
     .help = "Requests that are not answered yet: queued wait for a process, running are worked "
             "on, receiving are still coming in.",
     .label = "state",
     .values = kStateNames,
     .expand = Expand::kEach},
    {.name = "passenger_oldest_request_age_seconds",
     .source = "started_at",
     .help = "Age of the oldest of them since its head was read; 0 where there is none.",
     .label = "state",
     .values = kStateNames,
     .expand = Expand::kEach},
    gauge("passenger_route_pool_share", "session",
          "Processes that work for this route, of passenger_max_processes, 0 to 1."),
    {.name = "passenger_short_query_requests",
     .source = "path",
     .help = "Of the requests in flight, those with a search term shorter than the route wants.",
     .label = "state",
     .values = kStateNames,
     .expand = Expand::kEach},
};
constexpr Schema kRouteSchema{kRouteLabels, kRouteColumns};

constexpr std::string_view kStateLabels[] = {"state"};
constexpr Column kOlderColumns[] = {
    {.name = "passenger_requests_older_than",
     .source = "started_at",
     .help = "Requests in flight that are older than `threshold` seconds.",
     .label = "threshold",
     .values = kThresholdNames,
     .expand = Expand::kEach},
};
constexpr Schema kOlderSchema{kStateLabels, kOlderColumns};

constexpr std::string_view kGroupLabels[] = {"group"};
constexpr Column kQueueColumns[] = {
    gauge("passenger_app_group_oldest_queued_seconds", "started_at, host",
          "Age of the request that has waited longest for a process of this application group; 0 "
          "where none waits. Whose a waiting request is, is learned from its host."),
};
constexpr Schema kQueueSchema{kGroupLabels, kQueueColumns};

enum ClientColumn : size_t { kAbandoned, kBegun, kActive, kDisconnected };
constexpr Column kClientColumns[] = {
    gauge("passenger_requests_abandoned", "next_request_early_read_error",
          "Requests in flight whose client is known to have gone; Apache does not tell."),
    counter("passenger_requests_begun_total", "total_requests_begun",
            "Requests that cores have begun, refused ones included."),
    gauge("passenger_clients_active", "active_client_count", "Connections of clients."),
    gauge("passenger_clients_disconnected", "disconnected_client_count",
          "Connections that have ended and are not tidied up yet."),
};
constexpr Schema kClientSchema{{}, kClientColumns};

void add_to(std::optional<double>& sum, const std::optional<double>& value) {
  if (value) sum = sum.value_or(0) + *value;
}

}  // namespace

std::vector<const Schema*> requests_schemas() {
  return {&kRouteSchema, &kOlderSchema, &kQueueSchema, &kClientSchema};
}

void RequestTally::add(const PassengerRequest& request) {
  RouteTable::Place place = state_.routes.place(request.method, request.target, now_.steady);
  std::string group = group_of(request);
  const auto index = static_cast<size_t>(request.state);
  Route& route = routes_[place.route];
  ++route.count[index];
  route.short_queries[index] += place.short_query ? 1 : 0;
  if (request.state == RequestState::kRunning && request.pid != 0) route.pids[request.pid] = true;
  const double age = request.age.value_or(0);
  route.oldest[index] = std::max(route.oldest[index], age);
  for (size_t i = 0; i < kThresholds.size(); ++i) older_[index][i] += age > kThresholds[i] ? 1 : 0;
  if (request.state == RequestState::kQueued) {
    if (group.empty()) {
      queued_elsewhere_ = true;
    } else {
      Queue& queue = queues_[group];
      queue.waits = true;
      queue.oldest = std::max(queue.oldest, age);
    }
  }
  abandoned_ += request.abandoned ? 1 : 0;
  keep(request, std::move(place), std::move(group));
}

void RequestTally::add(const ServerCounts& counts) {
  tells_begun_ = tells_begun_ || counts.begun.has_value();
  add_to(active_, counts.active);
  add_to(disconnected_, counts.disconnected);
}

// That of the process that has it, else what is known of its host.
std::string RequestTally::group_of(const PassengerRequest& request) {
  std::string group(request.group);
  if (group.empty() && !request.gupid.empty()) {
    const auto known = state_.group_of.find(std::string(request.gupid));
    if (known != state_.group_of.end()) group = known->second;
  }
  if (!group.empty()) {
    state_.hosts.learn(request.host, group, now_.steady);
    return group;
  }
  if (state_.groups.size() == 1 && !state_.queued_without_group) return state_.groups.front();
  return state_.hosts.find(request.host).value_or("");
}

void RequestTally::keep(const PassengerRequest& request, RouteTable::Place place,
                        std::string group) {
  const auto older = [](const InflightRequest& a, const InflightRequest& b) {
    return a.age.value_or(0) > b.age.value_or(0);
  };
  // A heap whose first is the youngest of the oldest.
  auto& kept = inflight_.requests;
  if (kept.size() == kMaxKept) {
    ++inflight_.left_out;
    if (request.age.value_or(0) <= kept.front().age.value_or(0)) return;
    std::pop_heap(kept.begin(), kept.end(), older);
    kept.pop_back();
  }
  kept.push_back({.state = request.state,
                  .age = request.age,
                  .route = std::move(place.route),
                  .method = printable(request.method, kMaxMethodBytes),
                  .path = printable(path_of(request.target, kMaxPathBytes), kMaxPathBytes),
                  .group = std::move(group),
                  .pid = request.pid,
                  .abandoned = request.abandoned,
                  .short_query = place.short_query});
  std::push_heap(kept.begin(), kept.end(), older);
}

void RequestTally::write(Output& out) {
  state_.active = active_.value_or(0);
  state_.routes.expire(now_.steady);
  write_routes(out);
  write_ages(out);
  write_queues(out);
  write_clients(out);
  auto& kept = inflight_.requests;
  std::stable_sort(kept.begin(), kept.end(), [](const auto& a, const auto& b) {
    return a.age.value_or(0) > b.age.value_or(0);
  });
  out.inflight = std::move(inflight_);
}

void RequestTally::write_routes(Output& out) {
  Table& table = out.table(kRouteSchema);
  for (const std::string& name : state_.routes.names()) {
    const std::string_view labels[] = {name};
    const size_t row = table.add_row(labels);
    const Route& route = routes_[name];
    table.set_each(row, kInFlight, route.count);
    table.set_each(row, kOldest, route.oldest);
    if (state_.max_processes && *state_.max_processes > 0)
      table.set(row, kShare, static_cast<double>(route.pids.size()) / *state_.max_processes);
    if (state_.routes.counts_short(name)) table.set_each(row, kShort, route.short_queries);
  }
}

void RequestTally::write_ages(Output& out) const {
  Table& table = out.table(kOlderSchema);
  for (size_t i = 0; i < kStates; ++i) {
    const std::string_view labels[] = {kStateNames[i]};
    table.set_each(table.add_row(labels), 0, older_[i]);
  }
}

void RequestTally::write_queues(Output& out) {
  Table& table = out.table(kQueueSchema);
  for (const std::string& group : state_.groups) {
    const Queue queue = queues_[group];
    // One that waits for nobody knows whom may wait here.
    if (!queue.waits && queued_elsewhere_) continue;
    const std::string_view labels[] = {group};
    table.set(table.add_row(labels), 0, queue.oldest);
  }
}

void RequestTally::write_clients(Output& out) const {
  Table& table = out.table(kClientSchema);
  table.add_row();
  // Passenger 4 tells the requests only.
  if (tells_begun_) {
    table.set(0, kAbandoned, abandoned_);
    table.set(0, kBegun, state_.begun.total());
  }
  if (active_) table.set(0, kActive, *active_);
  if (disconnected_) table.set(0, kDisconnected, *disconnected_);
}

}  // namespace lagwatch
