// SPDX-License-Identifier: Apache-2.0
#include "config/config_value.h"

#include <re2/re2.h>

#include <algorithm>
#include <limits>

#include "base/text.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxTextBytes = 4096;
constexpr std::string_view kDigits = "0123456789";
constexpr std::string_view kDurationExample = "a duration such as 500ms, 5s, 1m or 1h30m";

struct Unit {
  std::string_view name;
  Duration length;
};
// Descending, as they must stand in a duration. "ms" is told from "m" by the longest match.
constexpr Unit kUnits[] = {{"y", std::chrono::hours(24 * 365)}, {"w", std::chrono::hours(24 * 7)},
                           {"d", std::chrono::hours(24)},       {"h", std::chrono::hours(1)},
                           {"m", std::chrono::minutes(1)},      {"s", std::chrono::seconds(1)},
                           {"ms", std::chrono::milliseconds(1)}};

std::string_view type_name(YamlNode::Type type) {
  switch (type) {
    case YamlNode::Type::kNull:
      return "nothing";
    case YamlNode::Type::kScalar:
      return "a single value";
    case YamlNode::Type::kList:
      return "a list";
    case YamlNode::Type::kMapping:
      return "a mapping";
  }
  return "something else";
}

void wrong_type(const ConfigValue& value, std::string_view wanted) {
  if (value.node().type == YamlNode::Type::kNull) return value.error("has no value");
  value.error("must be " + std::string(wanted) + ", not " +
              std::string(type_name(value.node().type)));
}

const std::string* scalar(const ConfigValue& value, std::string_view wanted) {
  if (value.node().type == YamlNode::Type::kScalar) return &value.node().text;
  wrong_type(value, wanted);
  return nullptr;
}

// One past anything useful instead of overflowing.
Duration times(uint64_t count, Duration unit) {
  const auto most = static_cast<uint64_t>(std::numeric_limits<int64_t>::max() / 16 / unit.count());
  return unit * static_cast<int64_t>(std::min(count, most));
}

std::optional<Duration> parse_duration(std::string_view text) {
  Duration sum{};
  const Unit* next = std::begin(kUnits);
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    const size_t digits = std::min(text.find_first_not_of(kDigits), text.size());
    const size_t end = std::min(text.find_first_of(kDigits, digits), text.size());
    const auto count = parse_number<uint64_t>(text.substr(0, digits));
    const std::string_view name = text.substr(digits, end - digits);
    const Unit* const unit =
        std::find_if(next, std::end(kUnits), [&](const Unit& u) { return u.name == name; });
    if (!count || unit == std::end(kUnits)) return std::nullopt;
    sum += times(*count, unit->length);
    next = unit + 1;
    text.remove_prefix(end);
  }
  return sum;
}

std::string show_duration(Duration duration) {
  for (const Unit& unit : kUnits) {
    if (duration >= unit.length && duration % unit.length == Duration::zero()) {
      return std::to_string(duration / unit.length) + std::string(unit.name);
    }
  }
  return "0s";
}

// Edits (of neighbours exchanged, too) that make `b` of `a`.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, change});
      const bool exchanged = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (exchanged) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

std::string suggestion(std::string_view key, std::span<const std::string_view> known) {
  constexpr size_t kFarthest = 2;
  constexpr size_t kLongest = 40;
  if (key == "password") return ": passwords stand in files, named by password_file";
  size_t best = kFarthest + 1;
  std::string_view meant;
  for (const std::string_view candidate : known) {
    if (key.size() > kLongest) break;
    const size_t distance = edit_distance(key, candidate);
    if (distance < best && distance < candidate.size()) {
      best = distance;
      meant = candidate;
    }
  }
  if (!meant.empty()) return ", did you mean \"" + std::string(meant) + "\"?";
  std::string all;
  for (const std::string_view candidate : known) {
    all += all.empty() ? "; known here: " : ", ";
    all += candidate;
  }
  return all;
}

}  // namespace

YamlPlace ConfigValue::place() const {
  return node_->type == YamlNode::Type::kNull ? key_place_ : node_->place;
}

void ConfigValue::error(std::string_view what) const {
  scope_->errors.add(place(), printable(name_, 60) + " " + std::string(what));
}

std::optional<std::string> read_text(const ConfigValue& value) {
  const std::string* const text = scalar(value, "a text");
  if (text == nullptr) return std::nullopt;
  if (text->empty()) {
    value.error("must not be empty");
  } else if (text->size() > kMaxTextBytes) {
    value.error("is longer than " + std::to_string(kMaxTextBytes) + " bytes");
  } else if (std::any_of(text->begin(), text->end(), [](char c) {
               return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
             })) {
    value.error("must be one line without control characters");
  } else {
    return *text;
  }
  return std::nullopt;
}

std::optional<std::string> read_absolute_path(const ConfigValue& value) {
  std::optional<std::string> path = read_text(value);
  if (!path || path->starts_with('/')) return path;
  value.error("must be an absolute path");
  return std::nullopt;
}

std::optional<bool> read_boolean(const ConfigValue& value) {
  const std::string* const text = scalar(value, "true or false");
  if (text == nullptr) return std::nullopt;
  if (!value.node().quoted && *text == "true") return true;
  if (!value.node().quoted && *text == "false") return false;
  value.error("must be true or false, without quotes");
  return std::nullopt;
}

std::optional<uint64_t> read_integer(const ConfigValue& value, uint64_t min, uint64_t max) {
  const std::string wanted =
      "a whole number from " + std::to_string(min) + " to " + std::to_string(max);
  const std::string* const text = scalar(value, wanted);
  if (text == nullptr) return std::nullopt;
  const bool digits = text->find_first_not_of(kDigits) == std::string::npos && !text->empty();
  if (value.node().quoted || !digits) {
    value.error("must be " + wanted + ", in decimal digits only");
  } else if (text->size() > 1 && text->starts_with('0')) {
    value.error("must be " + wanted + ", without leading zeros");
  } else if (const auto number = parse_number<uint64_t>(*text);
             !number || *number < min || *number > max) {
    value.error("must be " + wanted);
  } else {
    return number;
  }
  return std::nullopt;
}

std::optional<Duration> read_duration(const ConfigValue& value, Duration min, Duration max) {
  const std::string* const text = scalar(value, kDurationExample);
  if (text == nullptr) return std::nullopt;
  const std::optional<Duration> duration = parse_duration(*text);
  const bool number = !text->empty() && text->find_first_not_of(kDigits) == std::string::npos;
  if (number && text->size() <= 9) {
    value.error("must have a unit: did you mean " + *text + "s?");
  } else if (!duration) {
    value.error("must be " + std::string(kDurationExample));
  } else if (*duration < min || *duration > max) {
    value.error("must be from " + show_duration(min) + " to " + show_duration(max));
  } else {
    return duration;
  }
  return std::nullopt;
}

std::optional<std::string> read_pattern(const ConfigValue& value) {
  std::optional<std::string> pattern = read_text(value);
  if (!pattern) return std::nullopt;
  RE2::Options options;
  options.set_log_errors(false);
  const RE2 compiled(*pattern, options);
  if (compiled.ok()) return pattern;
  value.error("is not a regular expression as RE2 takes them: " + printable(compiled.error()));
  return std::nullopt;
}

std::optional<std::vector<ConfigValue>> read_list(const ConfigValue& value) {
  if (value.node().type != YamlNode::Type::kList) {
    wrong_type(value, "a list");
    return std::nullopt;
  }
  std::vector<ConfigValue> items;
  for (const YamlNode* node : value.node().items) {
    if (node->type == YamlNode::Type::kNull) {
      value.error("has an empty item");
    } else {
      items.push_back(value.item(*node));
    }
  }
  return items;
}

std::optional<std::vector<ConfigValue>> read_one_or_more(const ConfigValue& value) {
  if (value.node().type == YamlNode::Type::kScalar) return std::vector<ConfigValue>{value};
  if (value.node().type != YamlNode::Type::kList) {
    wrong_type(value, "a text or a list of texts");
    return std::nullopt;
  }
  if (!value.node().items.empty()) return read_list(value);
  value.error("must name at least one");
  return std::nullopt;
}

std::optional<std::vector<std::string>> read_each(
    const ConfigValue& value, std::optional<std::string> (*read)(const ConfigValue& item)) {
  const auto items = read_one_or_more(value);
  if (!items) return std::nullopt;
  std::vector<std::string> texts;
  for (const ConfigValue& item : *items) {
    if (std::optional<std::string> text = read(item)) texts.push_back(std::move(*text));
  }
  if (texts.size() != items->size()) return std::nullopt;
  return texts;
}

bool check_mapping(const ConfigValue& value) {
  if (value.node().type == YamlNode::Type::kMapping) return true;
  wrong_type(value, "a mapping");
  return false;
}

void check_keys(const ConfigValue& value, std::span<const std::string_view> known) {
  for (const YamlEntry& entry : value.node().entries) {
    if (std::find(known.begin(), known.end(), entry.key) != known.end()) continue;
    value.scope().errors.add(entry.place, "unknown key \"" + printable(entry.key, 60) + "\"" +
                                              suggestion(entry.key, known));
  }
}

}  // namespace lagwatch
