// SPDX-License-Identifier: Apache-2.0
#include "collector/agent_text.h"

#include <algorithm>
#include <optional>

#include "base/text.h"
#include "model/table.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxLineBytes = 32U << 10U;
constexpr size_t kMaxLabels = 64;

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_blank(char c) { return c == ' ' || c == '\t'; }

void skip_blanks(std::string_view& line) {
  const size_t blanks = std::min(line.find_first_not_of(" \t"), line.size());
  line.remove_prefix(blanks);
}

bool skip(std::string_view& line, char wanted) {
  if (!line.starts_with(wanted)) return false;
  line.remove_prefix(1);
  return true;
}

// A name at the beginning of `line`, which is taken off; empty if there is none.
std::string_view take_name(std::string_view& line, bool colons) {
  size_t end = 0;
  while (end < line.size() &&
         (is_letter(line[end]) || (end > 0 && is_digit(line[end])) || (colons && line[end] == ':')))
    ++end;
  const std::string_view name = line.substr(0, end);
  line.remove_prefix(end);
  return name;
}

std::string_view take_word(std::string_view& line) {
  const size_t end =
      static_cast<size_t>(std::find_if(line.begin(), line.end(), is_blank) - line.begin());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end);
  return word;
}

// As Go's ParseFloat reads them, without hexadecimal numbers and underscores.
std::optional<double> read_number(std::string_view word) {
  const bool plus = word.starts_with('+');
  if (plus) word.remove_prefix(1);
  if (plus && word.starts_with('-')) return std::nullopt;
  // from_chars would take nan(anything).
  if (word.find('(') != std::string_view::npos) return std::nullopt;
  return parse_number<double>(word);
}

}  // namespace

bool AgentText::next(RemoteSample& sample) {
  while (!rest_.empty()) {
    const size_t end = rest_.find('\n');
    if (end == std::string_view::npos) {  // cut off: a number may have lost digits
      rest_ = {};
      ++rejected_;
      return false;
    }
    std::string_view line = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    skip_blanks(line);
    if (line.empty() || line.starts_with('#')) continue;
    if (line.size() <= kMaxLineBytes && read_line(line, sample)) return true;
    ++rejected_;
  }
  return false;
}

bool AgentText::read_line(std::string_view line, RemoteSample& sample) {
  sample.labels.clear();
  sample.name = take_name(line, true);
  if (sample.name.empty()) return false;
  const bool blank = !line.empty() && is_blank(line.front());
  skip_blanks(line);
  if (line.starts_with('{')) {
    if (!read_labels(line, sample)) return false;
  } else if (!blank) {
    return false;
  }
  skip_blanks(line);
  const auto value = read_number(take_word(line));
  if (!value) return false;
  sample.value = *value;
  skip_blanks(line);
  if (line.empty()) return true;
  const bool timestamp = parse_number<int64_t>(take_word(line)).has_value();
  skip_blanks(line);
  return timestamp && line.empty();
}

// `{name="value",...}`, a comma after the last one allowed.
bool AgentText::read_labels(std::string_view& line, RemoteSample& sample) {
  unescaped_.clear();
  unescaped_.reserve(line.size());
  line.remove_prefix(1);
  std::vector<std::string_view> empty;  // names whose value says nothing
  for (size_t count = 0;; ++count) {
    skip_blanks(line);
    if (skip(line, '}')) return true;
    const std::string_view name = take_name(line, false);
    skip_blanks(line);
    if (name.empty() || count == kMaxLabels || !skip(line, '=')) return false;
    skip_blanks(line);
    std::string_view value;
    if (!read_label_value(line, value)) return false;
    const bool known = std::find(empty.begin(), empty.end(), name) != empty.end() ||
                       std::any_of(sample.labels.begin(), sample.labels.end(),
                                   [&](const auto& label) { return label.first == name; });
    if (known || value.size() > kMaxLabelBytes) return false;
    if (value.empty()) {
      empty.push_back(name);
    } else {
      sample.labels.emplace_back(name, value);
    }
    skip_blanks(line);
    if (!skip(line, ',') && !line.starts_with('}')) return false;
  }
}

// A quoted value at the beginning of `line`, which is taken off.
bool AgentText::read_label_value(std::string_view& line, std::string_view& value) {
  if (!skip(line, '"')) return false;
  const size_t plain = line.find_first_of("\"\\");
  if (plain == std::string_view::npos) return false;
  if (line[plain] == '"') {
    value = line.substr(0, plain);
    line.remove_prefix(plain + 1);
    return true;
  }
  const size_t begin = unescaped_.size();
  for (size_t at = 0; at < line.size(); ++at) {
    char c = line[at];
    if (c == '"') {
      value = std::string_view(unescaped_).substr(begin);
      line.remove_prefix(at + 1);
      return true;
    }
    if (c == '\\') {
      if (++at == line.size()) return false;
      if (line[at] != '\\' && line[at] != '"' && line[at] != 'n') return false;
      c = line[at] == 'n' ? '\n' : line[at];
    }
    unescaped_ += c;
  }
  return false;
}

}  // namespace lagwatch
