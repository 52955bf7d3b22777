// SPDX-License-Identifier: Apache-2.0
#include "cli/session.h"

#include <algorithm>
#include <set>
#include <utility>

#include "expose/self.h"
#include "join/join.h"

namespace lagwatch {
namespace {

const Kind* const kKinds[] = {&kHaproxyKind, &kPostgresKind,      &kPassengerKind, &kApacheKind,
                              &kProbeKind,   &kElasticsearchKind, &kHostKind,      &kAgentKind};

std::vector<const Collector*> collectors_of(const Kind& kind) {
  std::vector<const Collector*> out;
  for (const Collector* collector : collectors()) {
    if (collector->kind == &kind) out.push_back(collector);
  }
  return out;
}

TargetSpec spec_of(const Kind& kind, TargetOptions options, std::unique_ptr<State> state) {
  return TargetSpec{std::move(options), &kind, collectors_of(kind), std::move(state)};
}

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

// What may be taken over from another agent: what its targets say. Not what joins make: that is
// made here, of the facts of all.
std::shared_ptr<const AgentFamilies> agent_families() {
  AgentFamilies families;
  const auto each = [](std::span<const Schema* const> schemas, auto visit) {
    for (const Schema* schema : schemas) {
      for (const Column& column : schema->columns) visit(column);
    }
  };
  const auto add = [&](const Column& column) { families.emplace(column.name, column.type); };
  for (const Kind* kind : kKinds) {
    if (kind->up_schema != nullptr) each({&kind->up_schema, 1}, add);
  }
  for (const Collector* collector : collectors()) each(collector->schemas, add);
  each(self_schemas(), add);
  for (const Join* join : joins())
    each(join->schemas, [&](const Column& column) { families.erase(column.name); });
  return std::make_shared<const AgentFamilies>(std::move(families));
}

void add_agents(const Config& config, std::vector<TargetSpec>& specs) {
  if (!config.agents || config.agents->empty()) return;
  const auto families = agent_families();
  for (const AgentTarget& target : *config.agents) {
    AgentOptions agent = target.agent;
    agent.own_labels = target.target.labels;
    agent.own_labels.emplace_back("agent", target.target.name);
    agent.families = families;
    specs.push_back(spec_of(kAgentKind, target.target, make_agent_state(std::move(agent))));
  }
}

// What discovery found, with the settings that the configuration gives to all.
HaproxyTarget discovered(const DiscoveredHaproxy& found, const Config& config) {
  HaproxyTarget out;
  out.target = target_defaults(config, found.name);
  out.haproxy.sockets = found.sockets;
  return out;
}

PostgresTarget discovered(const DiscoveredPostgres& found, const Config& config) {
  PostgresTarget out;
  out.target = target_defaults(config, found.name);
  set_dsn(out.postgres, found.dsn);
  return out;
}

ApacheTarget discovered(const DiscoveredApache& found, const Config& config) {
  ApacheTarget out;
  out.target = target_defaults(config, found.name);
  out.apache.url = found.url;
  return out;
}

PassengerTarget discovered(const DiscoveredPassenger& found, const Config& config) {
  PassengerTarget out;
  out.target = target_defaults(config, found.name);
  out.passenger.registry = found.registry;
  return out;
}

std::unique_ptr<State> passenger_state_of(PassengerTarget& target, const Config& config) {
  PassengerOptions& options = target.passenger;
  options.routes = config.routes;
  // Three of the intervals at which its timer should write it.
  options.status_max_age = std::max<Duration>(
      options.status_max_age, 3 * target.target.interval.value_or(kDefaultInterval));
  return make_passenger_state(std::move(options));
}

ElasticsearchTarget discovered(const DiscoveredElasticsearch& found, const Config& config) {
  ElasticsearchTarget out;
  out.target = target_defaults(config, found.name);
  out.elasticsearch.url = found.url;
  out.elasticsearch.local_node = true;
  return out;
}

// What the configuration names of a kind, else what discovery found of it.
template <typename Target, typename Found>
std::vector<Target> wanted(const std::optional<std::vector<Target>>& configured,
                           const Discovery* discovery, std::vector<Found> Discovery::*kind,
                           const Config& config) {
  if (configured) return *configured;
  std::vector<Target> out;
  if (discovery == nullptr) return out;
  for (const Found& one : discovery->*kind) out.push_back(discovered(one, config));
  return out;
}

}  // namespace

std::vector<const Schema*> all_schemas() {
  std::vector<const Schema*> all;
  for (const Kind* kind : kKinds) {
    if (kind->up_schema != nullptr) all.push_back(kind->up_schema);
  }
  const auto add = [&](std::span<const Schema* const> schemas) {
    all.insert(all.end(), schemas.begin(), schemas.end());
  };
  for (const Collector* collector : collectors()) add(collector->schemas);
  for (const Join* join : joins()) add(join->schemas);
  add(self_schemas());
  return all;
}

bool label_taken(std::string_view kind, std::string_view label) {
  const auto has = [&](std::span<const Schema* const> schemas) {
    return std::any_of(schemas.begin(), schemas.end(), [&](const Schema* schema) {
      return std::count(schema->labels.begin(), schema->labels.end(), label) > 0 ||
             std::any_of(schema->columns.begin(), schema->columns.end(),
                         [&](const Column& column) { return column.label == label; });
    });
  };
  const auto collectors_have =
      std::any_of(collectors().begin(), collectors().end(), [&](const Collector* collector) {
        return collector->kind->name == kind && has(collector->schemas);
      });
  // Joins are named after the kind whose rows they make.
  const auto joins_have = std::any_of(joins().begin(), joins().end(), [&](const Join* join) {
    return join->name.starts_with(kind) && has(join->schemas);
  });
  return collectors_have || joins_have || has(self_schemas());
}

std::vector<TargetSpec> make_targets(const Config& config, const Discovery* found,
                                     const std::string& storage_path) {
  HostOptions host = config.host;
  if (!storage_path.empty()) host.paths.push_back(storage_path);
  std::set<std::string> names{config.host_target.name};
  if (config.agents) {
    for (const AgentTarget& agent : *config.agents) names.insert(agent.target.name);
  }
  std::vector<TargetSpec> specs;
  const auto add = [&](const Kind& kind, TargetOptions& target, std::unique_ptr<State> state) {
    target.name = take_name(names, target.name);
    specs.push_back(spec_of(kind, std::move(target), std::move(state)));
  };
  for (HaproxyTarget& one : wanted(config.haproxy, found, &Discovery::haproxy, config)) {
    for (const std::string& socket : one.haproxy.sockets) {
      if (socket.starts_with('/')) host.paths.push_back(directory_of(socket));
    }
    add(kHaproxyKind, one.target, make_haproxy_state(std::move(one.haproxy)));
  }
  for (PostgresTarget& one : wanted(config.postgres, found, &Discovery::postgres, config))
    add(kPostgresKind, one.target, make_postgres_state(std::move(one.postgres)));
  for (ApacheTarget& one : wanted(config.apache, found, &Discovery::apache, config))
    add(kApacheKind, one.target, make_apache_state(std::move(one.apache)));
  for (ProbeTarget one : config.probes.value_or(std::vector<ProbeTarget>{}))
    add(kProbeKind, one.target, make_probe_state(std::move(one.probe)));
  for (PassengerTarget& one : wanted(config.passenger, found, &Discovery::passenger, config)) {
    auto state = passenger_state_of(one, config);
    add(kPassengerKind, one.target, std::move(state));
  }
  for (ElasticsearchTarget& one :
       wanted(config.elasticsearch, found, &Discovery::elasticsearch, config)) {
    one.elasticsearch.timeout = one.target.timeout;
    add(kElasticsearchKind, one.target, make_elasticsearch_state(std::move(one.elasticsearch)));
  }
  add_agents(config, specs);
  if (host.enabled)
    specs.push_back(spec_of(kHostKind, config.host_target, make_host_state(std::move(host))));
  return specs;
}

Session::Session()
    : client_(loop_), scheduler_(client_, board_, {&now, [this](Instant when) { wake(when); }}) {}

Session::~Session() = default;

bool Session::watches(const std::string& name) const {
  const auto snapshot = board_.read();
  return std::any_of(snapshot->targets.begin(), snapshot->targets.end(),
                     [&](const auto& target) { return target->info->name == name; });
}

void Session::wake(Instant when) {
  if (when >= timer_at_) return;
  if (timer_ != 0) loop_.cancel(timer_);
  timer_at_ = when;
  timer_ = loop_.at(when, [this] {
    timer_ = 0;
    timer_at_ = Instant::max();
    scheduler_.run_due();
  });
}

void Session::run_until_tried() {
  const auto all_tried = [this] {
    const auto snapshot = board_.read();
    return std::all_of(snapshot->targets.begin(), snapshot->targets.end(), [](const auto& target) {
      // Lanes beside the main one are not asked while it fails.
      return target->tried &&
             (target->error || std::all_of(target->collectors.begin(), target->collectors.end(),
                                           [](const CollectorView& one) { return one.tried; }));
    });
  };
  loop_.run_once(now().steady);  // publishes the targets, and asks them for the first time
  while (!all_tried()) loop_.run_once(now().steady + std::chrono::seconds(1));
}

}  // namespace lagwatch
