// SPDX-License-Identifier: Apache-2.0
#include "model/table.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace lagwatch {
namespace {

// A guess for reserve(): two labels of an operator's usual length.
constexpr size_t kUsualRowLabelBytes = 48;

// `name="value"`, escaped.
void append_only_label(std::string& block, std::string_view name, std::string_view value) {
  block += name;
  block += "=\"";
  const auto plain = [](char c) { return c >= 0x20 && c < 0x7F && c != '"' && c != '\\'; };
  if (value.size() <= kMaxLabelBytes && std::all_of(value.begin(), value.end(), plain)) {
    block += value;
  } else {
    for (const char c : clean_utf8(value, kMaxLabelBytes)) {
      if (c == '\n') {
        block += "\\n";
      } else {
        if (c == '"' || c == '\\') block += '\\';
        block += c;
      }
    }
  }
  block += '"';
}

}  // namespace

std::string_view type_name(Type type) {
  switch (type) {
    case Type::kCounter:
      return "counter";
    case Type::kGauge:
      return "gauge";
    case Type::kHistogram:
      return "histogram";
  }
  return "unknown";
}

void append_label(std::string& block, std::string_view name, std::string_view value) {
  if (!block.empty()) block += ',';
  append_only_label(block, name, value);
}

Table::Table(const Schema& schema, std::string_view base) : schema_(&schema), base_(base) {
  offsets_.reserve(schema.columns.size());
  for (const Column& column : schema.columns) {
    offsets_.push_back(static_cast<uint32_t>(width_));
    width_ += cell_count(column);
  }
}

size_t Table::add_row(std::span<const std::string_view> values) {
  const size_t begin = blocks_.size();
  blocks_ += base_;
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i].empty()) continue;
    if (blocks_.size() > begin) blocks_ += ',';
    append_only_label(blocks_, schema_->labels[i], values[i]);
  }
  ends_.push_back(static_cast<uint32_t>(blocks_.size()));
  cells_.resize(cells_.size() + width_, kAbsent);
  return ends_.size() - 1;
}

void Table::set(size_t row, size_t column, double value, size_t element) {
  set_each(row, column, {&value, 1}, element);
}

void Table::set_each(size_t row, size_t column, std::span<const double> values, size_t first) {
  const Column& declared = schema_->columns[column];
  double* cells = &cells_[row * width_ + offsets_[column] + first];
  if (declared.scale == 1 || declared.expand == Expand::kState) {
    std::copy(values.begin(), values.end(), cells);
    return;
  }
  // 48550 ms are 48.55 s, where a product would be 48.550000000000004.
  const bool divides = declared.scale < 1;
  const double factor = divides ? std::round(1 / declared.scale) : declared.scale;
  for (const double value : values) *cells++ = divides ? value / factor : value * factor;
}

std::string_view Table::labels(size_t row) const {
  const uint32_t begin = row == 0 ? 0 : ends_[row - 1];
  return std::string_view(blocks_).substr(begin, ends_[row] - begin);
}

void Table::reserve(size_t rows) {
  ends_.reserve(rows);
  blocks_.reserve(rows * (base_.size() + kUsualRowLabelBytes));
  cells_.reserve(rows * width_);
}

void Table::shrink_to_fit() {
  blocks_.shrink_to_fit();
  ends_.shrink_to_fit();
  cells_.shrink_to_fit();
}

}  // namespace lagwatch
