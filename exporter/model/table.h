// SPDX-License-Identifier: Apache-2.0
// The samples of one schema of one target: rows that share columns. Eight bytes a cell, one label
// block a row.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/metric.h"

namespace lagwatch {

// No sample. NULL, an empty cell, a thing not known: never 0.
inline constexpr double kAbsent = std::numeric_limits<double>::quiet_NaN();
// For kState cells: the state is known to be none of the listed ones; every sample is 0.
inline constexpr double kNoState = -1;

// Labels as text, `a="x",b="y"`, escaped for the exposition formats. Values are made valid UTF-8
// and bounded.
void append_label(std::string& block, std::string_view name, std::string_view value);
// One past the longest label value that append_label keeps, bytes.
inline constexpr size_t kMaxLabelBytes = 512;

class Table {
 public:
  // `base` is the label block of the target; `schema` must outlive the table (schemas are
  // constants).
  Table(const Schema& schema, std::string_view base);

  // Adds a row of absent cells and returns its index. `values` are those of schema().labels, in
  // order; an empty value leaves its label out, which Prometheus takes for the same.
  size_t add_row(std::span<const std::string_view> values = {});

  // `value` is as the source has it; the column's scale is applied. A NaN leaves the cell absent.
  void set(size_t row, size_t column, double value, size_t element = 0);
  // Several elements of a column at once, from element `first` on.
  void set_each(size_t row, size_t column, std::span<const double> values, size_t first = 0);

  // All cells of a row, scaled already, offset(column) by column.
  std::span<double> cells(size_t row) { return {cells_.data() + row * width_, width_}; }

  // Only the active state of kState columns is written, not its zeros.
  void set_sparse_states(bool sparse) { sparse_states_ = sparse; }
  bool sparse_states() const { return sparse_states_; }

  const Schema& schema() const { return *schema_; }
  size_t rows() const { return ends_.size(); }
  std::string_view labels(size_t row) const;
  // Cell `offset` of a row; offset(column) is where a column's cells begin.
  double cell(size_t row, size_t offset) const { return cells_[row * width_ + offset]; }
  size_t offset(size_t column) const { return offsets_[column]; }
  // For tests: the value at (row, column, element), scaled.
  double value(size_t row, size_t column, size_t element = 0) const {
    return cell(row, offset(column) + element);
  }

  void reserve(size_t rows);
  void shrink_to_fit();

 private:
  const Schema* schema_;
  std::string base_;
  std::vector<uint32_t> offsets_;
  size_t width_ = 0;
  std::string blocks_;          // label blocks of all rows, one behind the other
  std::vector<uint32_t> ends_;  // where each row's block ends
  std::vector<double> cells_;
  bool sparse_states_ = false;
};

}  // namespace lagwatch
