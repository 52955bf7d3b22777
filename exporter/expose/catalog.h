// SPDX-License-Identifier: Apache-2.0
// Every metric family once, in the order it is exposed, with the columns that fill it.
#pragma once

#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/metric.h"

namespace lagwatch {

class Catalog {
 public:
  // One column that fills a family.
  struct Part {
    size_t schema;  // index into schemas()
    size_t column;
  };
  struct Family {
    const Column* column;  // name, type and help: those of the first part
    std::vector<Part> parts;
  };

  // Schemas are constants and outlive the catalog. The first to name a family fixes its place.
  explicit Catalog(std::vector<const Schema*> schemas);

  std::span<const Family> families() const { return families_; }
  std::span<const Schema* const> schemas() const { return schemas_; }
  // The index of a schema; schemas().size() for a stranger.
  size_t index(const Schema* schema) const;
  // The place of a family in families(); families().size() for a stranger.
  size_t family(std::string_view name) const;

 private:
  std::vector<const Schema*> schemas_;
  std::unordered_map<const Schema*, size_t> indexes_;
  std::vector<Family> families_;
  std::unordered_map<std::string_view, size_t> by_name_;  // places in families_
};

}  // namespace lagwatch
