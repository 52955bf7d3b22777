// SPDX-License-Identifier: Apache-2.0
#include "model/table.h"

#include "base/text.h"

namespace lagwatch {

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
  block += name;
  block += "=\"";
  const auto plain = [](char c) { return c >= 0x20 && c < 0x7F && c != '"' && c != '\\'; };
  bool simple = value.size() <= kMaxLabelBytes;
  for (size_t i = 0; simple && i < value.size(); ++i) simple = plain(value[i]);
  if (simple) {
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

Table::Table(const Schema& schema, std::string_view base) : schema_(&schema), base_(base) {
  offsets_.reserve(schema.columns.size());
  for (const Column& column : schema.columns) {
    offsets_.push_back(static_cast<uint32_t>(width_));
    width_ += cell_count(column);
  }
}

size_t Table::add_row(std::span<const std::string_view> values) {
  std::string block = base_;
  for (size_t i = 0; i < values.size(); ++i) {
    if (!values[i].empty()) append_label(block, schema_->labels[i], values[i]);
  }
  blocks_ += block;
  ends_.push_back(static_cast<uint32_t>(blocks_.size()));
  cells_.resize(cells_.size() + width_, kAbsent);
  return ends_.size() - 1;
}

void Table::set(size_t row, size_t column, double value, size_t element) {
  const Column& declared = schema_->columns[column];
  const double scaled = declared.expand == Expand::kState ? value : value * declared.scale;
  cells_[row * width_ + offsets_[column] + element] = scaled;
}

std::string_view Table::labels(size_t row) const {
  const uint32_t begin = row == 0 ? 0 : ends_[row - 1];
  return std::string_view(blocks_).substr(begin, ends_[row] - begin);
}

void Table::reserve(size_t rows) {
  ends_.reserve(rows);
  cells_.reserve(rows * width_);
}

void Table::shrink_to_fit() {
  blocks_.shrink_to_fit();
  ends_.shrink_to_fit();
  cells_.shrink_to_fit();
}

}  // namespace lagwatch
