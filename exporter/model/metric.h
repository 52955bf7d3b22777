// SPDX-License-Identifier: Apache-2.0
// What a metric is: declared once, beside the code that fills it. The same declarations write HELP
// and TYPE, `lagwatch metrics` and the reference page, and are what rules and dashboards are
// checked against.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace lagwatch {

enum class Type { kCounter, kGauge, kHistogram };

// How one column of a row becomes samples.
enum class Expand {
  kOne,        // one cell, one sample
  kEach,       // one cell and one sample for each of `values`
  kState,      // one cell: the index in `values` that holds now; one 0/1 sample for each
  kHistogram,  // cells: the cumulative count of each of `values` (upper bounds), +Inf, then the sum
};

// One metric family as one collector fills it.
struct Column {
  std::string_view name;
  Type type = Type::kGauge;
  std::string_view source = {};  // where the target says it: column, key, field, file
  std::string_view help;         // one sentence; the unit where the name does not say it
  double scale = 1;              // value = source * scale
  std::string_view label = {};   // the label that `values` are of; empty with kOne
  std::span<const std::string_view> values = {};
  Expand expand = Expand::kOne;
};

// The columns that share one set of labels.
struct Schema {
  std::span<const std::string_view> labels;  // beside the target's own
  std::span<const Column> columns;
};

// How many cells of a row `column` takes.
constexpr size_t cell_count(const Column& column) {
  switch (column.expand) {
    case Expand::kEach:
      return column.values.size();
    case Expand::kHistogram:
      return column.values.size() + 2;
    case Expand::kOne:
    case Expand::kState:
      break;
  }
  return 1;
}

std::string_view type_name(Type type);

// Declarations of the usual sorts: name, where the target says it, help.
consteval Column counter(std::string_view name, std::string_view source, std::string_view help) {
  return Column{.name = name, .type = Type::kCounter, .source = source, .help = help};
}
consteval Column gauge(std::string_view name, std::string_view source, std::string_view help) {
  return Column{.name = name, .source = source, .help = help};
}
// Said in milliseconds, written in seconds.
consteval Column milliseconds(std::string_view name, std::string_view source,
                              std::string_view help) {
  return Column{.name = name, .source = source, .help = help, .scale = 0.001};
}

}  // namespace lagwatch
