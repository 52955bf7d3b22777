// SPDX-License-Identifier: Apache-2.0
// Percent-decoding of paths and queries.
#include "expose/request_target.h"

#include <string>
#include <utility>

namespace lagwatch {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The byte behind the '%' at `at`, or -1.
int escaped_byte(std::string_view s, size_t at) {
  if (at + 2 >= s.size()) return -1;
  const int high = hex_digit(s[at + 1]);
  const int low = hex_digit(s[at + 2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

std::string decode(std::string_view s) {
  std::string out;
  out.reserve(s.size());
  for (size_t i = 0; i < s.size(); ++i) {
    const int byte = s[i] == '%' ? escaped_byte(s, i) : -1;
    out += byte < 0 ? s[i] : static_cast<char>(byte);
    if (byte >= 0) i += 2;
  }
  return out;
}

std::string decode_form(std::string_view s) {
  std::string blanks(s);
  for (char& c : blanks) {
    if (c == '+') c = ' ';
  }
  return decode(blanks);
}

// RFC 9112, section 3.2.2: a server takes the absolute form too.
std::string_view without_authority(std::string_view target) {
  if (target.empty() || target[0] == '/') return target;
  const size_t authority = target.find("://");
  if (authority == std::string_view::npos) return target;
  const size_t end = target.find_first_of("/?", authority + 3);
  return end == std::string_view::npos ? "/" : target.substr(end);
}

}  // namespace

void parse_target(std::string_view target, HttpRequest& request) {
  target = without_authority(target);
  const size_t mark = target.find('?');
  request.path = decode(target.substr(0, mark));
  if (mark == std::string_view::npos) return;
  std::string_view rest = target.substr(mark + 1);
  while (!rest.empty()) {
    const size_t end = rest.find('&');
    const std::string_view pair = rest.substr(0, end);
    const size_t equals = pair.find('=');
    const bool has_value = equals != std::string_view::npos;
    if (!pair.empty()) {
      request.query.emplace_back(decode_form(pair.substr(0, equals)),
                                 has_value ? decode_form(pair.substr(equals + 1)) : std::string());
    }
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  }
}

}  // namespace lagwatch
