// SPDX-License-Identifier: Apache-2.0
// The configuration file as plain values. Strict: every mistake is reported, each as
// `file:line:column: message`.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "collector/agent.h"
#include "collector/apache.h"
#include "collector/elasticsearch.h"
#include "collector/haproxy.h"
#include "collector/host.h"
#include "collector/passenger.h"
#include "collector/postgres.h"
#include "collector/probe.h"
#include "scrape/options.h"

namespace lagwatch {

struct HaproxyTarget {
  TargetOptions target;
  HaproxyOptions haproxy;
};

struct ApacheTarget {
  TargetOptions target;
  ApacheOptions apache;
};

struct ProbeTarget {
  TargetOptions target;
  ProbeOptions probe;
};

struct AgentTarget {
  TargetOptions target;
  AgentOptions agent;
};

struct PostgresTarget {
  TargetOptions target;
  PostgresOptions postgres;
};

struct PassengerTarget {
  TargetOptions target;
  PassengerOptions passenger;  // without routes: those are Config::routes
};

struct ElasticsearchTarget {
  TargetOptions target;
  ElasticsearchOptions elasticsearch;
};

// The DSN and what of it others must know.
void set_dsn(PostgresOptions& options, const std::string& dsn);

struct Config {
  std::string site;  // constant label on every target; empty: none
  std::optional<Duration> interval;
  Duration timeout = std::chrono::seconds(3);

  // Absent: not named in the file, so discovery fills it. Empty: turned off.
  std::optional<std::vector<HaproxyTarget>> haproxy;
  std::optional<std::vector<PostgresTarget>> postgres;
  std::optional<std::vector<PassengerTarget>> passenger;
  std::optional<std::vector<ElasticsearchTarget>> elasticsearch;

  std::vector<RouteRule> routes;  // how all targets group request paths, first match wins

  std::optional<std::vector<ApacheTarget>> apache;

  // Never discovered.
  std::optional<std::vector<AgentTarget>> agents;
  std::optional<std::vector<ProbeTarget>> probes;

  TargetOptions host_target;  // name "host" unless the configuration says otherwise
  HostOptions host;
};

// What any target has unless it says otherwise: also for targets that discovery finds.
TargetOptions target_defaults(const Config& config, std::string name);

struct ConfigResult {
  Config config;                    // meaningful only without errors
  std::vector<std::string> errors;  // `file:line:column: message`, in file order
};

// Whether metrics of `kind` have a label of this name, so that a constant one would stand there
// twice (Prometheus refuses the whole scrape for that).
using LabelTaken = std::function<bool(std::string_view kind, std::string_view label)>;

// Reads `path` and conf.d/*.yml beside it (in name order). A missing main file is an error.
ConfigResult load_config(const std::string& path, const LabelTaken& taken = {});

// One text, named `name` in messages: for discovery's output and tests.
ConfigResult parse_config(const std::string& name, const std::string& text,
                          const LabelTaken& taken = {});

}  // namespace lagwatch
