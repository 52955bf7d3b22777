// SPDX-License-Identifier: Apache-2.0
// The requests that Passenger has, one by one: who waits for a process, and what the processes work
// on. Costs the core some 0.5 ms and 3 KB a request, in the loops that serve them: the more there
// are, the less often it is asked.
// Source: server.json of 5.0 and later; before, passenger-status --show=requests. Privilege: as
// passenger_pool, but an application's user may not.
#include <algorithm>
#include <utility>

#include "collector/passenger.h"
#include "collector/passenger_requests_tables.h"
#include "collector/passenger_server_json.h"
#include "collector/passenger_status.h"
#include "collector/passenger_text.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxBytes = 16U << 20U;  // some 5000 requests
// Seconds for each request, which costs the core 0.5 ms: with 0.3 % of its time fewer than one of a
// hundred other requests meets a question of ours (at 100 queued, every 10 s, it was one).
constexpr double kWaitPerRequest = 0.15;

// The living instances as passenger_pool, which looks every interval, saw them last.
Asks ask_living(PassengerState& passenger) {
  Asks asks;
  passenger.asked_cores.clear();
  for (const PassengerInstance& instance : passenger.instances) {
    if (instance.state != InstanceState::kLive) continue;
    asks.emplace_back(core_ask(instance, passenger.options, "/server.json", kMaxBytes));
    passenger.asked_cores.push_back(instance.id + " " + std::to_string(instance.core_pid));
  }
  return asks;
}

Asks begin(State& state) {
  PassengerState& passenger = passenger_state(state);
  const PassengerOptions& options = passenger.options;
  if (!is_indirect(options)) return ask_living(passenger);
  if (options.status_command.empty() && options.requests_file.empty()) return {};
  return {status_ask(options, StatusPart::kRequests)};
}

Duration least_wait(const State& state) {
  const PassengerState& passenger = passenger_state(state);
  return from_seconds(kWaitPerRequest * std::max(passenger.in_pool, passenger.active));
}

// So many may take longer than the time there is: then it is their number, not a core that hangs.
constexpr double kMany = 200;

Error too_slow(double requests) {
  return {Reason::kStalled,
          "server.json of some " + std::to_string(static_cast<int64_t>(requests)) +
              " requests did not come in time: they are not told one by one",
          "set a longer timeout for this target; each request takes the core about 1 ms to tell"};
}

// Once may be a core that has begun to drain, which passenger_pool will say.
Step silent(PassengerState& passenger, Error error, Output& out) {
  ++passenger.silences;
  if (passenger.in_pool >= kMany) {
    out.limit(too_slow(passenger.in_pool));
    return Done{};
  }
  error.message = "server.json: connected, and no answer in time";
  error.fix = "the core's API answers, what serves requests does not: see its log";
  if (passenger.silences > 1) return error;
  return Done{};
}

Error too_large() {
  return {Reason::kTooLarge,
          "server.json: more than " + std::to_string(kMaxBytes >> 20U) +
              " MiB, some 5000 requests: they are not told one by one",
          "lower PassengerMaxRequestQueueSize, or the web server's number of connections"};
}

// Whether the instance has gone since passenger_pool saw it.
bool has_gone(const HttpDetail& http) {
  return http.failure &&
         (http.failure->reason == Reason::kRefused || http.failure->reason == Reason::kReset);
}

Step read_answers(PassengerState& passenger, std::span<Reply> replies, const Moment& now,
                  Output& out) {
  RequestTally tally(passenger, now);
  size_t told = 0;
  for (size_t i = 0; i < replies.size(); ++i) {
    Reply& reply = replies[i];
    if (!reply.ok()) return reply.error();
    const HttpDetail& http = *reply->http;
    if (has_gone(http)) continue;
    if (http.failure && is_silent(http.failure->reason))
      return silent(passenger, *http.failure, out);
    if (http.failure && http.failure->reason == Reason::kTooLarge) {
      out.limit(too_large());
      return Done{};
    }
    if (http.failure) return *http.failure;
    if (http.status == 401 || http.status == 403) {
      out.limit(denied_error("the requests in flight (server.json)"));
      return Done{};
    }
    if (http.status != 200)
      return Error{Reason::kHttpStatus, "server.json: status " + std::to_string(http.status), {}};
    const auto counts = parse_server(reply->body, now.wall,
                                     [&](const PassengerRequest& request) { tally.add(request); });
    if (!counts.ok()) return counts.error();
    tally.add(*counts);
    if (counts->begun)
      passenger.begun.observe(passenger.asked_cores[i], *counts->begun, now.steady);
    ++told;
  }
  passenger.silences = 0;
  if (told > 0) tally.write(out);
  return Done{};
}

Step read_status(PassengerState& passenger, Reply& reply, const Moment& now, Output& out) {
  const Result<std::string_view> text =
      status_text(passenger.options, StatusPart::kRequests, reply, now);
  if (!text.ok()) return text.error();
  RequestTally tally(passenger, now);
  const auto add = [&](const PassengerRequest& request) { tally.add(request); };
  // passenger-status of 5.0 and later prints server.json.
  const size_t begin = text->find_first_not_of(" \t\r\n");
  const bool is_json = begin != std::string_view::npos && (*text)[begin] == '{';
  const auto counts =
      is_json ? parse_server(reply->body, now.wall, add) : parse_requests_text(*text, add);
  if (!counts.ok()) return counts.error();
  tally.add(*counts);
  tally.write(out);
  return Done{};
}

Step read(State& state, std::span<Reply> replies, const Moment& now, Output& out) {
  PassengerState& passenger = passenger_state(state);
  if (replies.empty()) return Done{};
  if (is_indirect(passenger.options)) return read_status(passenger, replies[0], now, out);
  return read_answers(passenger, replies, now, out);
}

const std::vector<const Schema*> kSchemas = requests_schemas();

}  // namespace

extern const Collector passenger_requests{
    "passenger_requests", &kPassengerKind, Lane::kRequests, kSchemas, begin, read, least_wait};

}  // namespace lagwatch
