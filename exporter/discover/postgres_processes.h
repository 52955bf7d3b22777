// SPDX-License-Identifier: Apache-2.0
// The PostgreSQL servers that run, and the sockets somebody listens on, out of /proc.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "discover/postgres_conf.h"

namespace lagwatch {

// The process that all backends of one server are children of.
struct Postmaster {
  int pid = 0;
  bool container = false;
  std::string version;         // of the executable's path; empty: not known
  std::string data_directory;  // absolute; empty: not known
  std::string config_path;     // absolute; empty: in data_directory
  PostgresSettings settings;   // of the command line: they win over any file
};

struct PostgresProcesses {
  std::vector<Postmaster> postmasters;  // by pid
  bool cut = false;                     // there were too many processes to look at each
};

PostgresProcesses find_postmasters(const std::string& proc);

// "15", "9.6": what Debian names directories of versions.
bool is_postgres_version(std::string_view text);

// Absolute and abstract ("@...") ones named .s.PGSQL.N that are listened on, as they were bound;
// nothing where that cannot be known.
std::optional<std::set<std::string>> listening_postgres_sockets(const std::string& proc);

// Nothing where that cannot be known.
std::optional<bool> tcp_port_listens(const std::string& proc, unsigned port);

// N of a path that ends in "/.s.PGSQL.N".
std::optional<unsigned> port_of_socket(std::string_view path);

}  // namespace lagwatch
