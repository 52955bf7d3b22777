// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <cmath>
#include <cstring>

namespace lagwatch {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// Length of the valid UTF-8 character at the start of `s` (1 to 4), or 0.
size_t utf8_length(std::string_view s) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(s[i]); };
  const auto tail = [&](size_t i) { return i < s.size() && (byte(i) & 0xC0) == 0x80; };
  const unsigned char c = byte(0);
  if (c < 0x80) return 1;
  if (c >= 0xC2 && c <= 0xDF) return tail(1) ? 2 : 0;
  if (c >= 0xE0 && c <= 0xEF) {
    if (!tail(1) || !tail(2)) return 0;
    if (c == 0xE0 && byte(1) < 0xA0) return 0;  // overlong
    if (c == 0xED && byte(1) > 0x9F) return 0;  // surrogate
    return 3;
  }
  if (c >= 0xF0 && c <= 0xF4) {
    if (!tail(1) || !tail(2) || !tail(3)) return 0;
    if (c == 0xF0 && byte(1) < 0x90) return 0;
    if (c == 0xF4 && byte(1) > 0x8F) return 0;
    return 4;
  }
  return 0;
}

}  // namespace

std::vector<std::string_view> split_words(std::string_view s) {
  std::vector<std::string_view> words;
  while (!(s = trim(s)).empty()) {
    const size_t end = std::min(s.find_first_of(" \t\r\n"), s.size());
    words.push_back(s.substr(0, end));
    s.remove_prefix(end);
  }
  return words;
}

void append_double(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else {
    char buffer[32];
    // Whole numbers the long way (1000000, not 1e+06): what other exporters print, and what people
    // read.
    const bool whole = std::fabs(value) < 9007199254740992.0 && value == std::trunc(value);
    const auto end =
        whole ? std::to_chars(buffer, buffer + sizeof buffer, static_cast<int64_t>(value))
              : std::to_chars(buffer, buffer + sizeof buffer, value);
    out.append(buffer, end.ptr);
  }
}

std::string printable(std::string_view s, size_t max_bytes) {
  std::string out;
  while (!s.empty()) {
    const size_t length = utf8_length(s);
    const auto c = static_cast<unsigned char>(s[0]);
    const bool plain = length > 1 || (length == 1 && c >= 0x20 && c != 0x7F);
    if (out.size() + std::max<size_t>(length, 1) > max_bytes) return out + "...";
    if (plain) {
      out.append(s.substr(0, length));
    } else {
      out += c == '\n' ? ' ' : '?';
    }
    s.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

std::string clean_utf8(std::string_view s, size_t max_bytes) {
  std::string out;
  while (!s.empty()) {
    const size_t length = utf8_length(s);
    const std::string_view piece = length == 0 ? kReplacement : s.substr(0, length);
    if (out.size() + piece.size() > max_bytes) break;
    out += piece;
    s.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

void append_json_string(std::string& out, std::string_view s) {
  constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  while (!s.empty()) {
    const size_t length = utf8_length(s);
    const auto c = static_cast<unsigned char>(s[0]);
    if (length == 0) {
      out += kReplacement;
    } else if (length == 1 && (c < 0x20 || c == '"' || c == '\\')) {
      if (c == '"' || c == '\\') {
        out += '\\';
        out += s[0];
      } else if (c == '\n') {
        out += "\\n";
      } else {
        out += "\\u00";
        out += kHex[c >> 4];
        out += kHex[c & 15];
      }
    } else {
      out.append(s.substr(0, length));
    }
    s.remove_prefix(std::max<size_t>(length, 1));
  }
  out += '"';
}

}  // namespace lagwatch
