// SPDX-License-Identifier: Apache-2.0
// The pool of Passenger's processes, from pool.xml of each instance's API. Instances are looked for
// anew each time: a reload of the web server makes another, with another password.
// Source: 5.0 and later, <instance>/agents.s/core_api; before, passenger-status. Privilege: root,
// the core's user, or a read-only account (core_api_server_authorizations).
#include <algorithm>
#include <utility>

#include "base/text.h"
#include "collector/passenger.h"
#include "collector/passenger_pool_tables.h"
#include "collector/passenger_status.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxBytes = 4U << 20U;  // some 4000 processes

Asks begin(State& state) {
  const PassengerOptions& options = passenger_state(state).options;
  if (is_indirect(options)) return {status_ask(options, StatusPart::kPool)};
  return {instances_ask(options)};
}

// What of replies to core_ask() and watchdog_ask(), in turn, is to be shown.
Step read_answers(PassengerState& passenger, std::span<Reply> replies, const Moment& now,
                  Output& out) {
  std::array<size_t, kInstanceStates> counts{};
  std::vector<InstanceVerdict> verdicts;
  std::vector<Pool> pools;
  bool complete = true;
  for (size_t i = 0; i < passenger.instances.size(); ++i) {
    PassengerInstance& instance = passenger.instances[i];
    const Reply& core = replies[2 * i];
    const Reply& watchdog = replies[2 * i + 1];
    if (!core.ok()) return core.error();
    if (!watchdog.ok()) return watchdog.error();
    InstanceVerdict verdict = judge(instance, *core->http, *watchdog->http);
    if (!verdict.error) {
      Result<Pool> pool = parse_pool(core->body);
      if (!pool.ok()) return pool.error();
      passenger.restarts.observe(instance.id, instance.core_pid, now.steady);
      pools.push_back(std::move(*pool));
    }
    instance.state = verdict.state;
    ++counts[static_cast<size_t>(verdict.state)];
    const bool missing =
        verdict.state == InstanceState::kHung || verdict.state == InstanceState::kDenied;
    complete = complete && !missing;
    verdicts.push_back(std::move(verdict));
  }
  if (pools.empty()) return worst_of(verdicts);
  write_instances(counts, out);
  write_pools(passenger, pools, complete, now, out);
  if (!complete) out.limit(worst_of(verdicts));
  return Done{};
}

Step read_listing(PassengerState& passenger, const Listing& listing) {
  auto instances = read_instances(listing, passenger.options);
  if (!instances.ok()) return instances.error();
  // Until they have answered they are what they were: other lanes ask those that live.
  for (PassengerInstance& instance : *instances) {
    for (const PassengerInstance& before : passenger.instances) {
      if (before.id == instance.id) instance.state = before.state;
    }
  }
  passenger.instances = std::move(*instances);
  More more;
  for (const PassengerInstance& instance : passenger.instances) {
    more.asks.emplace_back(core_ask(instance, passenger.options, "/pool.xml", kMaxBytes));
    more.asks.emplace_back(watchdog_ask(instance));
  }
  return more;
}

Step read_status(PassengerState& passenger, const Reply& reply, const Moment& now, Output& out) {
  const Result<std::string_view> text =
      status_text(passenger.options, StatusPart::kPool, reply, now);
  if (!text.ok()) return text.error();
  const Result<Pool> pool = parse_pool(*text);
  if (!pool.ok()) return pool.error();
  write_instances({1}, out);
  write_pools(passenger, {&*pool, 1}, true, now, out);
  // passenger-status costs 0.1 s of CPU time.
  if (!passenger.options.status_command.empty()) out.suggested_interval = std::chrono::seconds(15);
  return Done{};
}

Step read(State& state, std::span<Reply> replies, const Moment& now, Output& out) {
  PassengerState& passenger = passenger_state(state);
  if (is_indirect(passenger.options)) return read_status(passenger, replies[0], now, out);
  if (!replies[0].ok()) return replies[0].error();
  if (replies[0]->listing) return read_listing(passenger, *replies[0]->listing);
  return read_answers(passenger, replies, now, out);
}

const std::vector<const Schema*> kSchemas = pool_schemas();

}  // namespace

extern const Collector passenger_pool{"passenger_pool", &kPassengerKind, Lane::kMain,
                                      kSchemas,         begin,           read};

}  // namespace lagwatch
