// SPDX-License-Identifier: Apache-2.0
// The PostgreSQL clusters of this host: what is configured, what runs, and what is listened on,
// put together so that each is there once.
#pragma once

#include <string>
#include <vector>

#include "discover/postgres_conf.h"

namespace lagwatch {

struct PostgresCluster {
  std::string version;      // "15", "9.6"; empty: not known
  std::string debian_name;  // "main" of /etc/postgresql/15/main; empty: not of Debian's layout
  std::string config_path;  // empty: not known
  std::string data_directory;
  int pid = 0;             // 0: no process of it is seen
  bool container = false;  // its paths are not ours
  bool running = false;
  unsigned port = 0;                 // 0: not known
  std::vector<std::string> sockets;  // that are listened on, in the order they are configured
  std::string listen_addresses;
  std::vector<UnreadableFile> unreadable;  // of its configuration
};

struct PostgresClusters {
  std::vector<PostgresCluster> clusters;  // Debian's by version and name, then others by port
  bool cut = false;                       // there were too many processes to look at each
};

PostgresClusters find_postgres_clusters(const std::string& proc, const std::string& root);

// Debian's order of versions: by number.
bool older_postgres(const std::string& a, const std::string& b);

}  // namespace lagwatch
