// SPDX-License-Identifier: Apache-2.0
// Reads just enough of RFC 9110's lists to tell the few things that lagwatch can answer with apart.
#include "expose/negotiate.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "base/text.h"

namespace lagwatch {
namespace {

constexpr int kFullWeight = 1000;  // q=1, in thousandths
constexpr int kRefused = 0;        // q=0
constexpr int kUnnamed = -1;       // the client did not mention it

// One element of such a list: a media range or a coding, in lower case, and its parameters.
struct Element {
  std::string name;
  int weight = kFullWeight;
  std::optional<std::string> version;
};

std::string lower(std::string_view s) {
  std::string out(s);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// Splits at `separator` outside of quoted strings; the pieces are trimmed.
std::vector<std::string_view> split(std::string_view s, char separator) {
  std::vector<std::string_view> out;
  bool quoted = false;
  size_t begin = 0;
  for (size_t i = 0; i < s.size(); ++i) {
    if (quoted && s[i] == '\\') {
      ++i;
    } else if (s[i] == '"') {
      quoted = !quoted;
    } else if (s[i] == separator && !quoted) {
      out.push_back(trim(s.substr(begin, i - begin)));
      begin = i + 1;
    }
  }
  out.push_back(trim(s.substr(std::min(begin, s.size()))));
  return out;
}

std::string_view unquoted(std::string_view s) {
  if (s.size() >= 2 && s.front() == '"' && s.back() == '"') return s.substr(1, s.size() - 2);
  return s;
}

// A qvalue: "0" or "1" with up to three decimals, at most 1.
std::optional<int> parse_weight(std::string_view s) {
  if (s.empty() || s.size() > 5 || (s[0] != '0' && s[0] != '1')) return std::nullopt;
  if (s.size() > 1 && s[1] != '.') return std::nullopt;
  int weight = (s[0] - '0') * kFullWeight;
  int unit = kFullWeight / 10;
  for (const char c : s.substr(std::min<size_t>(s.size(), 2))) {
    if (c < '0' || c > '9') return std::nullopt;
    weight += (c - '0') * unit;
    unit /= 10;
  }
  if (weight > kFullWeight) return std::nullopt;
  return weight;
}

// Nothing where the element is malformed: it then counts as not sent.
std::optional<Element> parse_element(std::string_view s) {
  const std::vector<std::string_view> parts = split(s, ';');
  Element element;
  element.name = lower(parts[0]);
  if (element.name.empty()) return std::nullopt;
  for (size_t i = 1; i < parts.size(); ++i) {
    const size_t equals = parts[i].find('=');
    if (equals == std::string_view::npos) continue;
    const std::string key = lower(trim(parts[i].substr(0, equals)));
    const std::string_view value = unquoted(trim(parts[i].substr(equals + 1)));
    if (key == "version") element.version = std::string(value);
    if (key != "q") continue;
    const std::optional<int> weight = parse_weight(value);
    if (!weight) return std::nullopt;
    element.weight = *weight;
  }
  return element;
}

template <typename OnElement>
void for_each_element(std::string_view list, OnElement on_element) {
  for (const std::string_view piece : split(list, ',')) {
    if (const std::optional<Element> element = parse_element(piece)) on_element(*element);
  }
}

bool is_open_metrics(const Element& e) {
  return e.name == "application/openmetrics-text" &&
         (!e.version || *e.version == "1.0.0" || *e.version == "0.0.1");
}

// text/plain;version=1.0.0 is Prometheus 3's text with UTF-8 names: not ours to answer.
bool is_text(const Element& e) {
  if (e.name == "text/plain") return !e.version || *e.version == "0.0.4";
  return e.name == "text/*" || e.name == "*/*";
}

}  // namespace

Exposition choose_exposition(std::string_view accept) {
  int open_metrics = kUnnamed;
  int text = kUnnamed;
  for_each_element(accept, [&](const Element& e) {
    if (is_open_metrics(e)) open_metrics = std::max(open_metrics, e.weight);
    if (is_text(e)) text = std::max(text, e.weight);
  });
  if (open_metrics > kRefused && open_metrics >= text) return Exposition::kOpenMetrics100;
  return Exposition::kText004;
}

std::string_view content_type(Exposition exposition) {
  if (exposition == Exposition::kOpenMetrics100) {
    return "application/openmetrics-text; version=1.0.0; charset=utf-8";
  }
  return "text/plain; version=0.0.4; charset=utf-8";
}

bool accepts_gzip(std::string_view accept_encoding) {
  int gzip = kUnnamed;
  int any = kUnnamed;
  for_each_element(accept_encoding, [&](const Element& e) {
    // x-gzip is the same coding (RFC 9110, section 8.4.1.3).
    if (e.name == "gzip" || e.name == "x-gzip") gzip = std::max(gzip, e.weight);
    if (e.name == "*") any = std::max(any, e.weight);
  });
  return gzip == kUnnamed ? any > kRefused : gzip > kRefused;
}

}  // namespace lagwatch
