// SPDX-License-Identifier: Apache-2.0
// Joins compare targets with each other: pure functions over the facts that targets publish, to
// further tables.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "model/snapshot.h"

namespace lagwatch {

// What joins made, one list of tables per target. Every row belongs to a target, so that /probe
// includes it.
class Joined {
 public:
  explicit Joined(std::span<const std::shared_ptr<const TargetView>> targets)
      : targets_(targets), tables_(targets.size()) {}

  // A new table of `schema` that belongs to target number `target`.
  Table& table(size_t target, const Schema& schema) {
    return tables_[target].emplace_back(schema, targets_[target]->info->label_block);
  }

  std::vector<std::vector<Table>> take() { return std::move(tables_); }

 private:
  std::span<const std::shared_ptr<const TargetView>> targets_;
  std::vector<std::vector<Table>> tables_;
};

struct Join {
  std::string_view name;
  std::span<const Schema* const> schemas;
  void (*run)(std::span<const std::shared_ptr<const TargetView>> targets, Joined& out);
};

// THE list (registry.cpp), as collectors() is for collectors.
std::span<const Join* const> joins();

// All joins over `targets`; the result is parallel to it.
std::vector<std::vector<Table>> run_joins(
    std::span<const std::shared_ptr<const TargetView>> targets);

// Calls `visit(target index, fact)` for each fact of type F among `targets`.
template <typename F, typename Visit>
void each_fact(std::span<const std::shared_ptr<const TargetView>> targets, Visit visit) {
  for (size_t i = 0; i < targets.size(); ++i) {
    for (const CollectorView& collector : targets[i]->collectors) {
      if (!collector.output) continue;
      for (const Fact& fact : collector.output->facts) {
        if (const F* wanted = std::get_if<F>(&fact)) visit(i, *wanted);
      }
    }
  }
}

}  // namespace lagwatch
