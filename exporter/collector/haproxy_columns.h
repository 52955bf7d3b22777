// SPDX-License-Identifier: Apache-2.0
// The metrics of HAProxy's own exporter (2.4 and later): names, labels, types, and where the socket
// says the same.
#pragma once

#include <cstdint>
#include <span>

#include "collector/haproxy_stat.h"
#include "model/metric.h"

namespace lagwatch {

// The rows of one type of `show stat`, and for each column the number it is filled from.
struct StatScope {
  Schema schema;
  std::span<const uint8_t> numbers;  // indexes into kStatNumbers; kStatNumberCount: filled by hand
};

// Frontends {proxy}, listeners {proxy,listener}, backends {proxy}, servers {proxy,server}.
const StatScope& stat_scope(RowType type);

// The process, no labels; source is the key of `show info`.
extern const Schema kProcessSchema;

// The column of `schema` that is called `name`; there must be one.
constexpr size_t column_index(const Schema& schema, std::string_view name) {
  size_t i = 0;
  while (schema.columns[i].name != name) ++i;
  return i;
}

}  // namespace lagwatch
