// SPDX-License-Identifier: Apache-2.0
#include "discover/discover.h"

#include <string_view>

#include "base/text.h"
#include "discover/apache_discovery.h"
#include "discover/elasticsearch_discovery.h"
#include "discover/haproxy_discovery.h"
#include "discover/passenger_discovery.h"
#include "discover/postgres_discovery.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxNoteBytes = 4000;

void append_comment(std::string& out, std::string_view indent, const std::string& text) {
  out += indent;
  out += "# " + printable(text, kMaxNoteBytes) + "\n";
}

void append_haproxy(std::string& out, const DiscoveredHaproxy& haproxy) {
  for (const std::string& note : haproxy.notes) append_comment(out, "  ", note);
  out += "  - name: ";
  append_json_string(out, haproxy.name);
  out += "\n    sockets: [";
  for (size_t i = 0; i < haproxy.sockets.size(); ++i) {
    if (i > 0) out += ", ";
    append_json_string(out, haproxy.sockets[i]);
  }
  out += "]\n";
}

void append_haproxys(std::string& out, const Discovery& discovery) {
  if (!discovery.haproxy.empty()) {
    out += "haproxy:\n";
    for (const DiscoveredHaproxy& haproxy : discovery.haproxy) append_haproxy(out, haproxy);
    return;
  }
  append_comment(out, "",
                 "No HAProxy that can be asked. Looked for processes named haproxy, and for " +
                     haproxy_places() + ".");
  append_comment(
      out, "",
      "Without a haproxy setting lagwatch goes on looking; \"haproxy: []\" turns that off.");
}

void append_postgres(std::string& out, const Discovery& discovery) {
  for (const DiscoveredPostgres& postgres : discovery.postgres) {
    out += &postgres == &discovery.postgres.front() ? "postgres:\n" : "";
    for (const std::string& note : postgres.notes) append_comment(out, "  ", note);
    out += "  - name: ";
    append_json_string(out, postgres.name);
    out += "\n    dsn: ";
    append_json_string(out, postgres.dsn);
    out += "\n";
  }
  if (!discovery.postgres.empty()) return;
  append_comment(out, "",
                 "No PostgreSQL that can be asked. Looked for processes named postgres, in " +
                     postgres_places() + ".");
  append_comment(
      out, "",
      "Without a postgres setting lagwatch goes on looking; \"postgres: []\" turns that off.");
}

// Most hosts have none: nothing is said then.
void append_passenger(std::string& out, const Discovery& discovery) {
  for (const DiscoveredPassenger& passenger : discovery.passenger) {
    out += &passenger == &discovery.passenger.front() ? "passenger:\n" : "";
    for (const std::string& note : passenger.notes) append_comment(out, "  ", note);
    out += "  - name: ";
    append_json_string(out, passenger.name);
    out += "\n";
    if (passenger.registry.empty()) continue;
    out += "    registry: ";
    append_json_string(out, passenger.registry);
    out += "\n";
  }
}

void append_apaches(std::string& out, const Discovery& discovery) {
  if (!discovery.apache.empty()) out += "apache:\n";
  for (const DiscoveredApache& apache : discovery.apache) {
    for (const std::string& note : apache.notes) append_comment(out, "  ", note);
    out += "  - name: ";
    append_json_string(out, apache.name);
    out += "\n    url: ";
    append_json_string(out, apache.url);
    out += "\n";
  }
}

void append_elasticsearch(std::string& out, const Discovery& discovery) {
  if (!discovery.elasticsearch.empty()) out += "elasticsearch:\n";
  for (const DiscoveredElasticsearch& one : discovery.elasticsearch) {
    for (const std::string& note : one.notes) append_comment(out, "  ", note);
    out += "  - name: ";
    append_json_string(out, one.name);
    out += "\n    url: ";
    append_json_string(out, one.url);
    out += "\n    nodes: local\n";
  }
}

}  // namespace

std::set<std::string> taken_names(const Discovery& found) {
  std::set<std::string> taken{"host"};
  const auto add = [&](const auto& targets) {
    for (const auto& target : targets) taken.insert(target.name);
  };
  add(found.haproxy);
  add(found.postgres);
  add(found.passenger);
  add(found.apache);
  add(found.elasticsearch);
  return taken;
}

std::string take_name(std::set<std::string>& taken, const std::string& wanted) {
  std::string name = wanted;
  for (int number = 2; !taken.insert(name).second; ++number)
    name = wanted + "-" + std::to_string(number);
  return name;
}

Discovery discover(const DiscoverOptions& options) {
  Discovery found;
  discover_haproxys(options, found);
  discover_postgres(options, found);
  discover_passenger(options, found);
  discover_apaches(options, found);
  discover_elasticsearch(options, found);
  return found;
}

std::string to_yaml(const Discovery& discovery) {
  std::string out;
  append_comment(
      out, "",
      "What lagwatch discover found on this host. To keep it: /etc/lagwatch/lagwatch.yml.");
  append_haproxys(out, discovery);
  append_postgres(out, discovery);
  append_passenger(out, discovery);
  append_apaches(out, discovery);
  append_elasticsearch(out, discovery);
  for (const std::string& note : discovery.notes) append_comment(out, "", note);
  for (const std::string& problem : discovery.problems)
    append_comment(out, "", "Problem: " + problem);
  return out;
}

}  // namespace lagwatch
