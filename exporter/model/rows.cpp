// SPDX-License-Identifier: Apache-2.0
#include "model/rows.h"

#include <algorithm>

#include "base/text.h"

namespace lagwatch {

void Rows::add(std::string_view text) {
  cells_.push_back({static_cast<uint32_t>(text_.size()), static_cast<uint32_t>(text.size()), true});
  text_ += text;
}

void Rows::add_null() { cells_.emplace_back(); }

std::optional<size_t> Rows::column(std::string_view name) const {
  const auto found = std::find(columns_.begin(), columns_.end(), name);
  if (found == columns_.end()) return std::nullopt;
  return static_cast<size_t>(found - columns_.begin());
}

std::string_view Rows::text(size_t row, size_t column) const {
  const Cell& found = cell(row, column);
  return std::string_view(text_).substr(found.begin, found.size);
}

std::optional<double> Rows::number(size_t row, size_t column) const {
  const std::string_view value = text(row, column);
  if (value == "t") return 1;
  if (value == "f") return 0;
  return parse_number<double>(value);
}

std::optional<uint64_t> Rows::integer(size_t row, size_t column) const {
  return parse_number<uint64_t>(text(row, column));
}

std::string_view Rows::text(size_t row, std::string_view name) const {
  const auto found = column(name);
  return found ? text(row, *found) : std::string_view{};
}

std::optional<double> Rows::number(size_t row, std::string_view name) const {
  const auto found = column(name);
  return found ? number(row, *found) : std::nullopt;
}

std::optional<uint64_t> Rows::integer(size_t row, std::string_view name) const {
  const auto found = column(name);
  return found ? integer(row, *found) : std::nullopt;
}

bool Rows::is_null(size_t row, std::string_view name) const {
  const auto found = column(name);
  return !found || is_null(row, *found);
}

}  // namespace lagwatch
