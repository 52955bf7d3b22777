// SPDX-License-Identifier: Apache-2.0
// The answer to one question in SQL, as text: what a collector sees of a database. Untrusted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lagwatch {

class Rows {
 public:
  Rows() = default;
  explicit Rows(std::vector<std::string> columns) : columns_(std::move(columns)) {}

  // Adds one cell; a row is complete when it has as many cells as there are columns.
  void add(std::string_view text);
  void add_null();

  size_t size() const { return columns_.empty() ? 0 : cells_.size() / columns_.size(); }
  bool empty() const { return size() == 0; }
  const std::vector<std::string>& columns() const { return columns_; }
  std::optional<size_t> column(std::string_view name) const;

  bool is_null(size_t row, size_t column) const { return !cell(row, column).valid; }
  // Empty for NULL.
  std::string_view text(size_t row, size_t column) const;
  // Nothing for NULL and for what is no number; true and false are 1 and 0.
  std::optional<double> number(size_t row, size_t column) const;
  std::optional<uint64_t> integer(size_t row, size_t column) const;

  // The same by name; a column that is not there is NULL.
  std::string_view text(size_t row, std::string_view name) const;
  std::optional<double> number(size_t row, std::string_view name) const;
  std::optional<uint64_t> integer(size_t row, std::string_view name) const;
  bool is_null(size_t row, std::string_view name) const;

 private:
  struct Cell {
    uint32_t begin = 0;
    uint32_t size = 0;
    bool valid = false;
  };
  const Cell& cell(size_t row, size_t column) const {
    return cells_[row * columns_.size() + column];
  }

  std::vector<std::string> columns_;
  std::vector<Cell> cells_;
  std::string text_;  // of all cells, one behind the other
};

}  // namespace lagwatch
