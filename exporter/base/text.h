// SPDX-License-Identifier: Apache-2.0
// Small pieces of text handling without locale: trimming, numbers both ways, hostile text made
// safe.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lagwatch {

inline std::string_view trim(std::string_view s) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t begin = s.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return s.substr(begin, s.find_last_not_of(kBlank) - begin + 1);
}

// Words separated by blanks; no empty ones.
std::vector<std::string_view> split_words(std::string_view s);

// The whole of `s` as a number, or nothing.
template <typename Number>
std::optional<Number> parse_number(std::string_view s) {
  Number value{};
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), value);
  if (error != std::errc() || end != s.data() + s.size()) return std::nullopt;
  return value;
}

// Shortest form that reads back as the same double; NaN, +Inf, -Inf as Prometheus writes them.
void append_double(std::string& out, double value);

// For messages: control characters and invalid UTF-8 become '?', cut at `max_bytes` with "...".
std::string printable(std::string_view s, size_t max_bytes = 200);

// Valid UTF-8 for labels: invalid bytes become U+FFFD, cut at `max_bytes` on a character boundary.
std::string clean_utf8(std::string_view s, size_t max_bytes);

// `s` as a JSON string, quotes included; invalid UTF-8 becomes U+FFFD.
void append_json_string(std::string& out, std::string_view s);

}  // namespace lagwatch
