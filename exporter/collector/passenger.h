// SPDX-License-Identifier: Apache-2.0
// Passenger's options, and the State that its collectors share.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "collector/collector.h"
#include "collector/passenger_instances.h"
#include "collector/passenger_memory.h"
#include "collector/passenger_routes.h"

namespace lagwatch {

struct PassengerOptions {
  // PassengerInstanceRegistryDir. Empty: wherever passenger-status would look.
  std::string registry;

  // A read-only account of core_api_server_authorizations. Empty: the password that each instance
  // keeps, where it can be read; else nobody, which root and the core's own user may be.
  std::string username;
  std::string password_file;

  // Passenger 4 has no API to ask: its passenger-status, with the words before it (sudo, rvmsudo);
  // --show=xml and --show=requests are put behind.
  std::vector<std::string> status_command;
  // Or what a timer with root's rights keeps writing: `passenger-status --show=xml` to one file,
  // and, where the second is set, `passenger-status --show=requests` to another.
  std::string status_file;
  std::string requests_file;
  // A file older than this is not an answer.
  Duration status_max_age = std::chrono::seconds(15);

  std::vector<RouteRule> routes;

  // Per-process metrics are written while there are no more processes than this.
  size_t max_processes = 64;
};

std::unique_ptr<State> make_passenger_state(PassengerOptions options);

extern const Kind kPassengerKind;

// How long queues may get, as the cores are configured.
struct QueueLimits {
  std::map<std::string, double> by_group;  // 0: unlimited
  std::optional<double> by_default;
  std::string known_for;  // the cores and groups they were asked for
  std::string asked_for;
};

// What the collectors of one target know of it and of each other.
struct PassengerState : State {
  explicit PassengerState(PassengerOptions wanted)
      : options(std::move(wanted)), routes(options.routes) {}

  PassengerOptions options;
  std::vector<PassengerInstance> instances;  // all, as the last collect found them

  RequestCounters processed;
  ProcessSlots slots;
  CoreRestarts restarts;
  BegunCounter begun;
  RouteTable routes;
  HostGroups hosts;

  // Of the last pool.xml of each living instance.
  std::map<std::string, std::string> group_of;  // by gupid
  std::vector<std::string> groups;
  std::optional<double> max_processes;  // of all instances; absent if one did not say
  double in_pool = 0;                   // requests that run or wait
  bool queued_without_group = false;    // some wait that belong to none of the groups

  std::vector<std::string> asked_cores;  // whose server.json is awaited, in the order of the asks
  unsigned silences = 0;                 // of server.json, one after the other
  double active = 0;                     // clients of the last server.json
  QueueLimits limits;
};

inline PassengerState& passenger_state(State& state) { return static_cast<PassengerState&>(state); }
inline const PassengerState& passenger_state(const State& state) {
  return static_cast<const PassengerState&>(state);
}

// Whether it is asked through passenger-status or files instead of the API.
inline bool is_indirect(const PassengerOptions& options) {
  return !options.status_command.empty() || !options.status_file.empty();
}

}  // namespace lagwatch
