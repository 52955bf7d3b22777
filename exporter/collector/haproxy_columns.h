// SPDX-License-Identifier: Apache-2.0
// The metrics of HAProxy's own exporter (2.4 and later): names, labels, types, and where the socket
// says the same.
#pragma once

#include <cstdint>
#include <span>

#include "collector/haproxy_stat.h"
#include "model/metric.h"

namespace lagwatch {

// The rows of one type of `show stat`, and for each column the cell it is filled from.
struct StatCell {
  uint8_t number;  // index into kStatNumbers; kStatNumberCount: filled by hand
  bool http_only;  // in tcp mode HAProxy shows 0 and means nothing by it
  bool scaled;
  uint8_t elements;
};
struct StatScope {
  Schema schema;
  std::span<const StatCell> cells;
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
