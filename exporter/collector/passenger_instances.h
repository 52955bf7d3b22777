// SPDX-License-Identifier: Apache-2.0
// Instances of Passenger: one a start or reload of its web server, each a directory with sockets.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "client/ask.h"
#include "client/reply.h"

namespace lagwatch {

struct PassengerOptions;

enum class InstanceState {
  kLive,      // answers
  kDraining,  // its watchdog has gone; the core finishes its requests, 30 s at most
  kHung,      // accepts and does not answer, its watchdog is well
  kStale,     // a directory that nobody serves
  kDenied,    // does not answer us
};
inline constexpr size_t kInstanceStates = 5;

struct PassengerInstance {
  std::string id;         // of properties.json: random, one a start
  std::string directory;  // its path
  std::string socket;     // of the API
  std::string watchdog_socket;
  bool has_watchdog_socket = false;  // versions before 5.0.14 may name it otherwise
  bool newest = false;               // of those in the registry
  std::string version;
  double created = 0;    // seconds since 1970
  int64_t core_pid = 0;  // 0: not known
  std::string password;  // of ro_admin; empty: may not be read
  InstanceState state = InstanceState::kStale;
};

// Directories of the registry and in them what tells of an instance.
DirectoryAsk instances_ask(const PassengerOptions& options);

// The instances in `listing`, the newest first; an Error with what to do where there is none.
Result<std::vector<PassengerInstance>> read_instances(const Listing& listing,
                                                      const PassengerOptions& options);

// GET `path` from the API. Whatever happens is an answer.
HttpAsk core_ask(const PassengerInstance& instance, const PassengerOptions& options,
                 const std::string& path, size_t max_bytes);
// Whether the watchdog lives.
HttpAsk watchdog_ask(const PassengerInstance& instance);

// What the replies to core_ask() and watchdog_ask() say of the instance.
struct InstanceVerdict {
  InstanceState state = InstanceState::kLive;
  std::optional<Error> error;  // why it is not live
};
InstanceVerdict judge(const PassengerInstance& instance, const HttpDetail& core,
                      const HttpDetail& watchdog);

// Whether a failure is that no answer came in time.
bool is_silent(Reason reason);

// Why there is no answer, where no instance is live. Not empty.
Error worst_of(std::span<const InstanceVerdict> verdicts);

// How somebody without root's rights may ask.
Error denied_error(const std::string& what);

}  // namespace lagwatch
