// SPDX-License-Identifier: Apache-2.0
#include "expose/catalog.h"

#include <utility>

namespace lagwatch {

Catalog::Catalog(std::vector<const Schema*> schemas) : schemas_(std::move(schemas)) {
  for (size_t s = 0; s < schemas_.size(); ++s) {
    indexes_.emplace(schemas_[s], s);
    const std::span<const Column> columns = schemas_[s]->columns;
    for (size_t c = 0; c < columns.size(); ++c) {
      const auto [found, fresh] = by_name_.emplace(columns[c].name, families_.size());
      if (fresh) families_.push_back(Family{&columns[c], {}});
      families_[found->second].parts.push_back(Part{s, c});
    }
  }
}

size_t Catalog::index(const Schema* schema) const {
  const auto found = indexes_.find(schema);
  return found == indexes_.end() ? schemas_.size() : found->second;
}

size_t Catalog::family(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? families_.size() : found->second;
}

}  // namespace lagwatch
