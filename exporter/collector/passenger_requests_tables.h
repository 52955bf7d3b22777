// SPDX-License-Identifier: Apache-2.0
// What the requests in flight become: counts by route, ages, and the requests themselves.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "collector/passenger.h"
#include "collector/passenger_server_json.h"

namespace lagwatch {

std::vector<const Schema*> requests_schemas();

// Takes in the requests of all cores, one by one, and writes what they come to.
class RequestTally {
 public:
  RequestTally(PassengerState& state, const Moment& now) : state_(state), now_(now) {}

  void add(const PassengerRequest& request);
  void add(const ServerCounts& counts);

  // Where some cores did not tell, sums are left out.
  void write(Output& out);

 private:
  static constexpr size_t kStates = 3;
  static constexpr std::array<double, 6> kThresholds = {1, 5, 10, 30, 60, 300};

  struct Route {
    std::array<double, kStates> count{};
    std::array<double, kStates> short_queries{};
    std::array<double, kStates> oldest{};
    std::map<int64_t, bool> pids;  // of processes that work for it
  };
  struct Queue {
    double oldest = 0;
    bool waits = false;
  };

  std::string group_of(const PassengerRequest& request);
  void keep(const PassengerRequest& request, RouteTable::Place place, std::string group);
  void write_routes(Output& out);
  void write_ages(Output& out) const;
  void write_queues(Output& out);
  void write_clients(Output& out) const;

  PassengerState& state_;
  const Moment now_;
  std::map<std::string, Route> routes_;
  std::array<std::array<double, kThresholds.size()>, kStates> older_{};
  std::map<std::string, Queue> queues_;  // by group
  bool queued_elsewhere_ = false;        // of a group that is not known
  double abandoned_ = 0;
  bool tells_begun_ = false;
  std::optional<double> active_;
  std::optional<double> disconnected_;
  Inflight inflight_;
};

}  // namespace lagwatch
