// SPDX-License-Identifier: Apache-2.0
// Joins compare targets with each other: pure functions over the facts that targets publish, to
// further tables.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "join/postgres_memory.h"
#include "model/snapshot.h"

namespace lagwatch {

using Targets = std::span<const std::shared_ptr<const TargetView>>;

// Whose a fact is: a target, or one of the targets that another agent told of.
struct FactSource {
  size_t target = 0;                     // index; of the agent where `remote` is set
  const RemoteTarget* remote = nullptr;  // valid as long as the targets
  bool operator==(const FactSource&) const = default;
};

// What joins made, one list of tables per target. Every row belongs to a target, so that /probe
// includes it.
class Joined {
 public:
  explicit Joined(Targets targets) : targets_(targets), tables_(targets.size()) {}

  // A new table of `schema` for whom `source` is. Valid until the next one is made.
  Table& table(const FactSource& source, const Schema& schema) {
    return tables_[source.target].emplace_back(schema, label_block(source));
  }

  std::string_view label_block(const FactSource& source) const {
    return source.remote != nullptr ? source.remote->label_block
                                    : targets_[source.target]->info->label_block;
  }
  std::string_view name(const FactSource& source) const {
    return source.remote != nullptr ? source.remote->name : targets_[source.target]->info->name;
  }

  std::vector<std::vector<Table>> take() { return std::move(tables_); }

 private:
  Targets targets_;
  std::vector<std::vector<Table>> tables_;
};

// What joins remember from one run to the next. Owned by the scheduler, used on its thread.
struct JoinMemory {
  PostgresMemory postgres;
};

struct Join {
  std::string_view name;
  std::span<const Schema* const> schemas;
  void (*run)(Targets targets, const Moment& now, JoinMemory& memory, Joined& out);
};

// THE list (registry.cpp), as collectors() is for collectors.
std::span<const Join* const> joins();

// All joins over `targets`; the result is parallel to it.
std::vector<std::vector<Table>> run_joins(Targets targets, const Moment& now, JoinMemory& memory);

// Calls `visit(FactSource, fact)` for each fact of type F among `targets`, those that other agents
// told of included.
template <typename F, typename Visit>
void each_fact(Targets targets, Visit visit) {
  const auto visit_all = [&](const FactSource& source, const Facts& facts) {
    for (const Fact& fact : facts) {
      if (const F* wanted = std::get_if<F>(&fact)) visit(source, *wanted);
    }
  };
  for (size_t i = 0; i < targets.size(); ++i) {
    for (const CollectorView& collector : targets[i]->collectors) {
      if (!collector.output) continue;
      visit_all({i, nullptr}, collector.output->facts);
      for (const RemoteTarget& remote : collector.output->remote)
        visit_all({i, &remote}, remote.facts);
    }
  }
}

}  // namespace lagwatch
