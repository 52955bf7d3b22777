// SPDX-License-Identifier: Apache-2.0
// A Passenger made up for collectors: instances with what their sockets answer, and exchanges.
#pragma once

#include <gtest/gtest.h>

#include <cerrno>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "collector/passenger.h"
#include "golden.h"

namespace lagwatch {

extern const Collector passenger_pool;
extern const Collector passenger_requests;
extern const Collector passenger_settings;

namespace passenger_scene {

using Answers = std::function<Reply(const Ask&)>;

// One exchange to its end.
inline std::optional<Error> exchange(const Collector& collector, State& state,
                                     const Answers& answers, const Moment& now, Output& out) {
  Asks asks = collector.begin(state);
  for (int step = 0; step < 10; ++step) {
    std::vector<Reply> replies;
    for (const Ask& ask : asks) replies.push_back(answers(ask));
    Step next = collector.read(state, replies, now, out);
    if (Error* error = std::get_if<Error>(&next)) return std::move(*error);
    if (More* more = std::get_if<More>(&next)) {
      asks = std::move(more->asks);
      continue;
    }
    return std::nullopt;
  }
  ADD_FAILURE() << collector.name << " never ends";
  return std::nullopt;
}

// One instance, and what it answers.
struct Instance {
  std::string name;    // of its directory: "passenger.NAME"
  double created = 0;  // seconds of the monotonic clock
  int64_t core_pid = 100;
  std::string password = "ro";                // empty: may not be read
  std::string properties;                     // instead of made-up ones
  std::map<std::string, std::string> bodies;  // by path: "/pool.xml"
  int status = 200;
  std::optional<Error> failure;           // of the core
  std::optional<Error> watchdog_failure;  // of the watchdog
  bool has_watchdog_socket = true;
};

inline std::string pool_xml(const std::string& groups, int max = 6, int count = 1) {
  return "<?xml version=\"1.0\" encoding=\"iso-8859-1\" ?><info version=\"3\">"
         "<passenger_version>6.0.17</passenger_version><process_count>" +
         std::to_string(count) + "</process_count><max>" + std::to_string(max) +
         "</max><capacity_used>" + std::to_string(count) +
         "</capacity_used><get_wait_list_size>0</get_wait_list_size><supergroups>" + groups +
         "</supergroups></info>";
}

inline std::string process_xml(const std::string& gupid, int processed, int sessions = 0,
                               const std::string& enabled = "ENABLED") {
  return "<process><pid>7</pid><gupid>" + gupid + "</gupid><concurrency>1</concurrency><sessions>" +
         std::to_string(sessions) + "</sessions><processed>" + std::to_string(processed) +
         "</processed><spawn_end_time>1795351000000000</spawn_end_time>"
         "<last_used>1795351990000000</last_used><enabled>" +
         enabled + "</enabled></process>";
}

inline std::string group_xml(const std::string& name, const std::string& processes, int queue = 0) {
  return "<supergroup><name>" + name +
         "</name><get_wait_list_size>0</get_wait_list_size>"
         "<group default=\"true\"><name>" +
         name + "</name><enabled_process_count>1</enabled_process_count><get_wait_list_size>" +
         std::to_string(queue) + "</get_wait_list_size><processes>" + processes +
         "</processes></group></supergroup>";
}

// Requests as server.json tells them.
struct Request {
  std::string state = "CHECKING_OUT_SESSION";
  std::string path = "/";
  std::string host = "shop";
  double age = 1;
  std::string gupid;  // of the process; empty: none
  std::string method = "GET";
};

inline std::string server_json(const std::vector<Request>& requests, int begun = 10) {
  std::string out = "{\"threads\" : 1, \"thread1\" : {\"active_client_count\" : " +
                    std::to_string(requests.size()) + ", \"active_clients\" : {";
  for (size_t i = 0; i < requests.size(); ++i) {
    const Request& one = requests[i];
    out += (i > 0 ? ", \"1-" : "\"1-") + std::to_string(i) + "\" : {\"current_request\" : {";
    out += "\"host\" : \"" + one.host + "\", \"method\" : \"" + one.method + "\", \"path\" : \"" +
           one.path + "\", ";
    if (!one.gupid.empty())
      out += "\"session\" : {\"gupid\" : \"" + one.gupid +
             "\", \"pid\" : " + std::to_string(500 + i) + "}, ";
    out += "\"started_at\" : {\"relative_timestamp\" : " + std::to_string(-one.age) +
           ", \"timestamp\" : 1}, \"state\" : \"" + one.state + "\"}}";
  }
  return out + "}, \"disconnected_client_count\" : 0, \"total_requests_begun\" : " +
         std::to_string(begun) + "}}";
}

// A target that looks into one registry.
class Scene {
 public:
  explicit Scene(PassengerOptions options = {}) {
    if (options.registry.empty()) options.registry = "/run/reg";
    state = make_passenger_state(std::move(options));
  }

  Instance& add(const std::string& name, double created) {
    Instance& one = instances.emplace_back();
    one.name = name;
    one.created = created;
    one.bodies["/pool.xml"] = pool_xml("");
    one.bodies["/server.json"] = server_json({});
    return one;
  }

  Reply answer(const Ask& ask) const {
    if (std::holds_alternative<DirectoryAsk>(ask)) return Answer{.listing = listing()};
    const HttpAsk& http = std::get<HttpAsk>(ask);
    asked.push_back(http);
    for (const Instance& one : instances) {
      if (http.unix_socket == directory(one) + "/agents.s/core_api") return core(one, http);
      if (http.unix_socket == directory(one) + "/agents.s/watchdog_api")
        return reply(one.watchdog_failure ? 0 : 200, "{}", one.watchdog_failure);
    }
    return reply(0, "", Error{Reason::kRefused, "there is no such socket", {}});
  }

  std::optional<Error> collect(const Collector& collector, double seconds = 0) {
    out = std::make_shared<Output>("target=\"t\"");
    return exchange(
        collector, *state, [this](const Ask& ask) { return answer(ask); }, golden::moment(seconds),
        *out);
  }

  // The lines of the exposition that begin so.
  std::vector<std::string> lines(const std::string& prefix) const {
    std::vector<std::string> found;
    for (const std::string& line :
         golden::lines(golden::samples(out, golden::moment(), kPassengerKind))) {
      if (line.starts_with(prefix)) found.push_back(line);
    }
    return found;
  }

  std::unique_ptr<State> state;
  std::vector<Instance> instances;
  std::vector<Listing::Problem> problems;
  std::shared_ptr<Output> out;
  mutable std::vector<HttpAsk> asked;

 private:
  static std::string directory(const Instance& one) { return "/run/reg/passenger." + one.name; }

  Listing listing() const {
    Listing list;
    list.problems = problems;
    for (const Instance& one : instances) {
      Listing::Directory& entry = list.directories.emplace_back();
      entry.path = directory(one);
      const std::string made_up = R"({"instance_dir":{"created_at_monotonic_usec":)" +
                                  std::to_string(static_cast<int64_t>(one.created * 1e6)) +
                                  R"(},"instance_id":")" + one.name +
                                  R"(","passenger_version":"6.0.17"})";
      entry.files = {{0, one.properties.empty() ? made_up : one.properties},
                     {0, ""},
                     {0, std::to_string(one.core_pid)},
                     {one.password.empty() ? EACCES : 0, one.password},
                     {ENXIO, ""},
                     {ENOENT, ""},
                     {ENOENT, ""},
                     {one.has_watchdog_socket ? ENXIO : ENOENT, ""}};
    }
    return list;
  }

  static Reply reply(int status, const std::string& body, const std::optional<Error>& failure) {
    Answer answer;
    answer.body = body;
    answer.http.emplace().status = status;
    answer.http->failure = failure;
    return answer;
  }

  static Reply core(const Instance& one, const HttpAsk& ask) {
    if (one.failure) return reply(0, "", one.failure);
    const std::string path = ask.url.substr(ask.url.find('/', 7));
    const auto body = one.bodies.find(path);
    if (one.status == 200 && body == one.bodies.end()) return reply(404, "Not found", {});
    return reply(one.status, one.status == 200 ? body->second : "Unauthorized", {});
  }
};

}  // namespace passenger_scene
}  // namespace lagwatch
