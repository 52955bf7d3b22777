// SPDX-License-Identifier: Apache-2.0
#include "collector/passenger_routes.h"

#include <re2/re2.h>

#include <algorithm>
#include <utility>

namespace lagwatch {
namespace {

constexpr size_t kMaxRoutes = 50;
constexpr Duration kIdle = std::chrono::minutes(5);
constexpr Duration kForgetAfter = std::chrono::hours(1);
constexpr size_t kMaxMatched = 2048;  // bytes of a path that rules are tried on
constexpr size_t kSegments = 2;
constexpr size_t kMaxSegment = 32;
constexpr std::string_view kOther = "other";
constexpr std::string_view kHealthCheck = "health check";

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_plain(char c) { return is_digit(c) || is_letter(c) || c == '_' || c == '.' || c == '-'; }

template <typename Test>
bool all(std::string_view text, Test test) {
  return std::all_of(text.begin(), text.end(), test);
}

bool is_uuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !is_hex(text[i])) return false;
  }
  return true;
}

std::string_view normal_segment(std::string_view text) {
  if (all(text, is_digit)) return ":id";
  if (is_uuid(text)) return ":uuid";
  if (text.size() >= 8 && all(text, is_hex) && std::any_of(text.begin(), text.end(), is_digit))
    return ":hex";
  if (text.size() > kMaxSegment || !all(text, is_plain)) return ":str";
  return text;
}

// Without scheme and host.
std::string_view local_part(std::string_view target) {
  if (target.starts_with('/')) return target;
  const size_t host = target.find("://");
  if (host == std::string_view::npos || host > 10 || !all(target.substr(0, host), is_letter))
    return target;
  const size_t path = target.find_first_of("/?#", host + 3);
  return path == std::string_view::npos || target[path] != '/' ? std::string_view("/")
                                                               : target.substr(path);
}

// The character that %XX or + at `i` stands for; moves `i` behind it.
unsigned char decoded(std::string_view text, size_t& i) {
  const char c = text[i++];
  if (c == '+') return ' ';
  if (c != '%' || i + 2 > text.size() || !is_hex(text[i]) || !is_hex(text[i + 1]))
    return static_cast<unsigned char>(c);
  const auto digit = [](char d) { return is_digit(d) ? d - '0' : (d | 0x20) - 'a' + 10; };
  const int value = digit(text[i]) * 16 + digit(text[i + 1]);
  i += 2;
  return static_cast<unsigned char>(value);
}

bool is_named(std::string_view key, std::string_view name) {
  size_t at = 0;
  for (size_t i = 0; i < key.size();) {
    if (at == name.size() || decoded(key, i) != static_cast<unsigned char>(name[at])) return false;
    ++at;
  }
  return at == name.size();
}

// UTF-8's continuation bytes are no characters of their own.
size_t characters(std::string_view value) {
  size_t count = 0;
  for (size_t i = 0; i < value.size();) count += (decoded(value, i) & 0xC0U) == 0x80U ? 0 : 1;
  return count;
}

}  // namespace

std::string_view path_of(std::string_view target, size_t max_bytes) {
  target = local_part(target);
  return target.substr(0, std::min(target.find_first_of("?#;"), max_bytes));
}

std::string normal_route(std::string_view target) {
  std::string_view rest = path_of(target, target.size());
  if (!rest.starts_with('/')) return std::string(kOther);
  std::string out;
  for (size_t count = 0; count < kSegments;) {
    while (rest.starts_with('/')) rest.remove_prefix(1);
    if (rest.empty()) break;
    const std::string_view segment = rest.substr(0, rest.find('/'));
    rest.remove_prefix(segment.size());
    out += "/";
    out += normal_segment(segment);
    ++count;
  }
  return out.empty() ? "/" : out;
}

size_t query_length(std::string_view target, std::string_view param) {
  const size_t begin = target.find('?');
  if (begin == std::string_view::npos) return std::string_view::npos;
  std::string_view query = target.substr(begin + 1);
  query = query.substr(0, query.find('#'));
  while (!query.empty()) {
    const std::string_view part = query.substr(0, query.find_first_of("&;"));
    query.remove_prefix(std::min(part.size() + 1, query.size()));
    const size_t equals = std::min(part.find('='), part.size());
    if (is_named(part.substr(0, equals), param))
      return characters(part.substr(std::min(equals + 1, part.size())));
  }
  return std::string_view::npos;
}

RouteTable::RouteTable(const std::vector<RouteRule>& rules) {
  for (const RouteRule& rule : rules)
    rules_.push_back({rule, std::make_unique<re2::RE2>(rule.match, re2::RE2::Quiet)});
}

RouteTable::~RouteTable() = default;

RouteTable::Place RouteTable::place(std::string_view method, std::string_view target, Instant now) {
  const std::string_view path = path_of(target, kMaxMatched);
  for (Rule& rule : rules_) {
    if (!re2::RE2::PartialMatch(re2::StringPiece(path.data(), path.size()), *rule.match)) continue;
    rule.used = true;
    Place out{rule.options.name};
    if (rule.options.short_below > 0 && !rule.options.query_param.empty()) {
      const size_t length = query_length(target, rule.options.query_param);
      out.short_query = length != std::string_view::npos && length < rule.options.short_below;
    }
    return out;
  }
  // What HAProxy's `option httpchk` asks unless told otherwise, and Apache of itself.
  if (path == "*" || (method == "OPTIONS" && path == "/")) {
    checks_ = true;
    return {std::string(kHealthCheck)};
  }
  return {take(normal_route(target), now)};
}

std::string RouteTable::take(std::string route, Instant now) {
  const auto known = found_.find(route);
  if (known != found_.end()) {
    known->second = now;
    return route;
  }
  if (route != kOther && found_.size() == kMaxRoutes) {
    const auto idlest =
        std::min_element(found_.begin(), found_.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; });
    if (now - idlest->second > kIdle) found_.erase(idlest);
  }
  if (route == kOther || found_.size() == kMaxRoutes) {
    other_ = true;
    return std::string(kOther);
  }
  found_.emplace(route, now);
  return route;
}

void RouteTable::expire(Instant now) {
  std::erase_if(found_, [&](const auto& entry) { return now - entry.second > kForgetAfter; });
}

std::vector<std::string> RouteTable::names() const {
  std::vector<std::string> out;
  const auto add = [&](std::string_view name) {
    if (std::find(out.begin(), out.end(), name) == out.end()) out.emplace_back(name);
  };
  for (const Rule& rule : rules_) {
    if (rule.used) add(rule.options.name);
  }
  if (checks_) add(kHealthCheck);
  for (const auto& entry : found_) add(entry.first);
  if (other_) add(kOther);
  return out;
}

bool RouteTable::counts_short(std::string_view route) const {
  return std::any_of(rules_.begin(), rules_.end(), [&](const Rule& rule) {
    return rule.options.name == route && rule.options.short_below > 0 &&
           !rule.options.query_param.empty();
  });
}

}  // namespace lagwatch
