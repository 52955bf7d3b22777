// SPDX-License-Identifier: Apache-2.0
// JSON as Elasticsearch writes it, read once from front to back by simdjson: what is not wanted is
// skipped, what is of another type than expected costs itself only.
#pragma once

#include <simdjson.h>

#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/table.h"

namespace lagwatch {

// A body and its parser, whose memory goes with it. `text` gets room behind its end; strings that
// are read out live as long as this.
class JsonDocument {
 public:
  explicit JsonDocument(std::string& text) {
    text.reserve(text.size() + simdjson::SIMDJSON_PADDING);
    document_ = parser_.iterate(text.data(), text.size(), text.capacity());
  }
  JsonDocument(const JsonDocument&) = delete;
  JsonDocument& operator=(const JsonDocument&) = delete;

  simdjson::simdjson_result<simdjson::ondemand::object> object() {
    if (document_.error() != simdjson::SUCCESS) return document_.error();
    return document_.get_object();
  }

 private:
  simdjson::ondemand::parser parser_;
  simdjson::simdjson_result<simdjson::ondemand::document> document_;
};

// kAbsent where it is no number or one below 0, which is how Elasticsearch says "not known".
inline double json_number(simdjson::ondemand::value value) {
  simdjson::ondemand::json_type type{};
  if (value.type().get(type) != simdjson::SUCCESS) return kAbsent;
  if (type == simdjson::ondemand::json_type::boolean) {
    bool is = false;
    return value.get_bool().get(is) == simdjson::SUCCESS ? (is ? 1 : 0) : kAbsent;
  }
  double number = kAbsent;
  if (type != simdjson::ondemand::json_type::number ||
      value.get_double().get(number) != simdjson::SUCCESS || !(number >= 0) ||
      !std::isfinite(number))
    return kAbsent;
  return number;
}

// Empty where it is no text.
inline std::string_view json_text(simdjson::ondemand::value value) {
  std::string_view text;
  return value.get_string().get(text) == simdjson::SUCCESS ? text : std::string_view();
}

// Calls visit(key, value) for each field, whatever of a value it reads; whether the object was
// whole. After false nothing more may be read of the document: simdjson has abandoned it.
template <typename Visit>
bool json_fields(simdjson::ondemand::object object, Visit visit) {
  for (auto field : object) {
    simdjson::ondemand::value value;
    std::string_view key;
    if (field.unescaped_key().get(key) != simdjson::SUCCESS ||
        field.value().get(value) != simdjson::SUCCESS)
      return false;
    if (!visit(key, value)) return false;
  }
  return true;
}
template <typename Visit>
bool json_fields(simdjson::ondemand::value value, Visit visit) {
  simdjson::ondemand::object object;
  // Another type than an object is nobody's failure: it has no fields.
  const auto error = value.get_object().get(object);
  if (error == simdjson::INCORRECT_TYPE) return true;
  return error == simdjson::SUCCESS && json_fields(object, visit);
}

// Likewise the elements of an array.
template <typename Visit>
bool json_elements(simdjson::ondemand::value value, Visit visit) {
  simdjson::ondemand::array array;
  const auto error = value.get_array().get(array);
  if (error == simdjson::INCORRECT_TYPE) return true;
  if (error != simdjson::SUCCESS) return false;
  for (auto element : array) {
    simdjson::ondemand::value one;
    if (element.get(one) != simdjson::SUCCESS || !visit(one)) return false;
  }
  return true;
}

}  // namespace lagwatch
