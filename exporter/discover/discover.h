// SPDX-License-Identifier: Apache-2.0
// What runs on this host, seen with the rights of the user it runs as.
#pragma once

#include <set>
#include <string>
#include <vector>

namespace lagwatch {

// One HAProxy found, as a target for the configuration.
struct DiscoveredHaproxy {
  std::string name;                  // "haproxy", "haproxy-2", ...
  std::vector<std::string> sockets;  // as HaproxyOptions::sockets; several = nbproc
  std::vector<std::string> notes;    // why this one, and what would be better, a sentence each
};

// One PostgreSQL cluster found, as a target for the configuration.
struct DiscoveredPostgres {
  std::string name;  // Debian's, "main" or "15-main"; else "postgres", "postgres-5433"
  std::string dsn;   // as libpq takes it
  std::vector<std::string> notes;  // what lets lagwatch in, and what would be better
};

// The instances of Passenger on this host, as one target for the configuration.
struct DiscoveredPassenger {
  std::string name;      // "passenger"
  std::string registry;  // where its instances are; empty: where they are looked for anyway
  std::vector<std::string> notes;  // what lets lagwatch in, and what would be better
};

// One Apache httpd found, as a target for the configuration.
struct DiscoveredApache {
  std::string name;  // "apache", "apache-8080"
  std::string url;   // of mod_status, on loopback
  std::vector<std::string> notes;
};

// One node of Elasticsearch or OpenSearch found, as a target for the configuration.
struct DiscoveredElasticsearch {
  std::string name;  // "elasticsearch", "elasticsearch-2", ...
  std::string url;
  std::vector<std::string> notes;  // what it needs to let lagwatch in
};

struct Discovery {
  std::vector<DiscoveredHaproxy> haproxy;
  std::vector<DiscoveredPostgres> postgres;
  std::vector<DiscoveredPassenger> passenger;
  std::vector<DiscoveredApache> apache;
  std::vector<DiscoveredElasticsearch> elasticsearch;
  std::vector<std::string> notes;  // what was seen and is as it should be, but no target
  // What was seen and may not be read or used, each with the line or command that allows it.
  std::vector<std::string> problems;
};

struct DiscoverOptions {
  std::string proc = "/proc";
  std::string root;  // put before absolute paths that are opened; for tests
};

// Names of targets must differ over all kinds. Those that are taken: the host's and what was found.
std::set<std::string> taken_names(const Discovery& found);
// `wanted`, or where that is taken with a number behind it; takes it.
std::string take_name(std::set<std::string>& taken, const std::string& wanted);

Discovery discover(const DiscoverOptions& options);

// The findings as a configuration to keep, notes and problems as comments.
std::string to_yaml(const Discovery& discovery);

}  // namespace lagwatch
