// SPDX-License-Identifier: Apache-2.0
// The join over PostgreSQL targets: looks at the servers once, remembers what they say, then lets
// its parts write. It runs at every snapshot.
#include <vector>

#include "join/postgres_nodes.h"

namespace lagwatch {

extern const PostgresPart postgres_lag;
extern const PostgresPart postgres_clusters;
extern const PostgresPart postgres_standbys;

namespace {

constexpr const PostgresPart* kParts[] = {&postgres_lag, &postgres_clusters, &postgres_standbys};

std::vector<const Schema*> all_schemas() {
  std::vector<const Schema*> all;
  for (const PostgresPart* part : kParts)
    all.insert(all.end(), part->schemas.begin(), part->schemas.end());
  return all;
}
const std::vector<const Schema*> kSchemas = all_schemas();

void run(Targets targets, const Moment& now, JoinMemory& all, Joined& out) {
  PostgresMemory& memory = all.postgres;
  const std::vector<PostgresServerView> servers = postgres_servers(targets, now, out);
  if (servers.empty() && memory.primaries.empty()) return;
  remember(servers, now, memory);
  for (const PostgresPart* part : kParts) part->run(servers, now, memory, out);
}

}  // namespace

extern const Join postgres{"postgres", kSchemas, run};

}  // namespace lagwatch
