// SPDX-License-Identifier: Apache-2.0
// How long queues may get. Asked once of each core and once more when an application group comes
// into its pool: pool.json is 5 KB and 2 ms an application, config.json 147 KB and 9 ms.
// Source: pool.json (6.0.14+), config.json. Privilege: as passenger_requests. passenger_pool writes
// what is learned here.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "collector/passenger.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxBytes = 4U << 20U;

// The cores that answer and the groups they have, as one text.
std::string known_now(const PassengerState& passenger) {
  std::string out;
  for (const PassengerInstance& instance : passenger.instances) {
    if (instance.state == InstanceState::kLive)
      out += instance.id + " " + std::to_string(instance.core_pid) + "\n";
  }
  for (const std::string& group : passenger.groups) out += group + "\n";
  return out;
}

Asks begin(State& state) {
  PassengerState& passenger = passenger_state(state);
  Asks asks;
  std::string wanted = known_now(passenger);
  if (is_indirect(passenger.options) || wanted == passenger.limits.known_for) return asks;
  passenger.limits.asked_for = std::move(wanted);
  for (const PassengerInstance& instance : passenger.instances) {
    if (instance.state != InstanceState::kLive) continue;
    asks.emplace_back(core_ask(instance, passenger.options, "/pool.json", kMaxBytes));
    asks.emplace_back(core_ask(instance, passenger.options, "/config.json", kMaxBytes));
  }
  return asks;
}

bool is_answer(const Reply& reply) {
  return reply.ok() && reply->http && !reply->http->failure && reply->http->status == 200;
}

std::optional<double> number_at(const nlohmann::json& object, const char* key, const char* inner) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_object()) return std::nullopt;
  const auto value = found->find(inner);
  if (value == found->end() || !value->is_number()) return std::nullopt;
  return value->get<double>();
}

// {"GROUP": {"max_request_queue_size": [{"value": 100}, ...]}}: the first is in force.
void read_groups(const std::string& body, QueueLimits& limits) {
  const auto pool = nlohmann::json::parse(body, nullptr, /*exceptions=*/false);
  if (!pool.is_object()) return;
  for (const auto& [group, settings] : pool.items()) {
    if (!settings.is_object()) continue;
    const auto sizes = settings.find("max_request_queue_size");
    if (sizes == settings.end() || !sizes->is_array() || sizes->empty()) continue;
    const auto& first = sizes->front();
    if (!first.is_object()) continue;
    const auto value = first.find("value");
    if (value == first.end() || !value->is_number()) continue;
    limits.by_group.try_emplace(group, value->get<double>());
  }
}

Step read(State& state, std::span<Reply> replies, const Moment&, Output&) {
  PassengerState& passenger = passenger_state(state);
  if (replies.empty()) return Done{};
  QueueLimits limits;
  for (size_t i = 0; i < replies.size(); ++i) {
    // Of two instances the newest is the first. What is refused, or not there, is not known.
    if (!is_answer(replies[i])) continue;
    if (i % 2 == 0) {
      read_groups(replies[i]->body, limits);
    } else if (!limits.by_default) {
      const auto config = nlohmann::json::parse(replies[i]->body, nullptr, /*exceptions=*/false);
      if (config.is_object())
        limits.by_default = number_at(config, "default_max_request_queue_size", "effective_value");
    }
  }
  limits.known_for = std::move(passenger.limits.asked_for);
  passenger.limits = std::move(limits);
  return Done{};
}

}  // namespace

extern const Collector passenger_settings{
    "passenger_settings", &kPassengerKind, Lane::kBasics, {}, begin, read};

}  // namespace lagwatch
