// SPDX-License-Identifier: Apache-2.0
#include "config/targets.h"

#include <algorithm>
#include <string_view>

#include "base/text.h"
#include "config/http_url.h"

namespace lagwatch {
namespace {

constexpr Duration kMinInterval = std::chrono::milliseconds(100);
constexpr Duration kMaxInterval = std::chrono::hours(1);
constexpr Duration kMinTimeout = std::chrono::milliseconds(10);
constexpr Duration kMaxTimeout = std::chrono::minutes(1);
constexpr size_t kMaxNameBytes = 100;
constexpr size_t kMaxLabelValueBytes = 256;

constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
constexpr std::string_view kDigits = "0123456789";
// Labels that lagwatch, its rules or Prometheus set.
constexpr std::string_view kReservedLabels[] = {"site",     "target", "kind",
                                                "instance", "job",    "agent"};

bool consists_of(std::string_view text, std::string_view a, std::string_view b,
                 std::string_view c = {}) {
  return std::all_of(text.begin(), text.end(), [&](char ch) {
    return a.find(ch) != std::string_view::npos || b.find(ch) != std::string_view::npos ||
           c.find(ch) != std::string_view::npos;
  });
}

bool check_label_name(const ConfigValue& value, const YamlEntry& entry) {
  const ConfigScope& scope = value.scope();
  const std::string& name = entry.key;
  const std::string shown = "label \"" + printable(name, 60) + "\" ";
  std::string wrong;
  if (name.empty() || !consists_of(name, kLetters, kDigits, "_") ||
      kDigits.find(name[0]) != std::string::npos) {
    wrong = "must be letters, digits and _, and not begin with a digit";
  } else if (name.starts_with("__")) {
    wrong = "begins with __, which Prometheus keeps for itself";
  } else if (std::find(std::begin(kReservedLabels), std::end(kReservedLabels), name) !=
             std::end(kReservedLabels)) {
    wrong = name == "site" ? "is set by the top-level setting site"
                           : "is set by lagwatch or Prometheus";
  } else if (scope.label_taken && scope.label_taken(scope.kind, name)) {
    wrong = "is one that metrics of kind " + std::string(scope.kind) + " have";
  }
  if (!wrong.empty()) value.scope().errors.add(entry.place, shown + wrong);
  return wrong.empty();
}

}  // namespace

void claim_name(ConfigScope& scope, const std::string& name, const YamlPlace& place) {
  const auto [first, fresh] = scope.names.emplace(name, place);
  if (fresh) return;
  scope.errors.add(place,
                   "name \"" + name + "\" is already used at " + scope.errors.show(first->second));
}

void read_name(const ConfigValue& value, std::string& out) {
  const auto name = read_text(value);
  if (!name) return;
  if (name->size() > kMaxNameBytes || !consists_of(*name, kLetters, kDigits, "_.:-")) {
    value.error("must be 1 to 100 letters, digits or _ . : -");
    return;
  }
  out = *name;
  claim_name(value.scope(), out, value.place());
}

std::optional<std::string> read_label_value(const ConfigValue& value) {
  auto text = read_text(value);
  if (!text || text->size() <= kMaxLabelValueBytes) return text;
  value.error("is longer than " + std::to_string(kMaxLabelValueBytes) + " bytes");
  return std::nullopt;
}

void read_labels(const ConfigValue& value, std::vector<std::pair<std::string, std::string>>& out) {
  if (!check_mapping(value)) return;
  for (const YamlEntry& entry : value.node().entries) {
    if (!check_label_name(value, entry)) continue;
    if (auto text = read_label_value(value.entry(entry)))
      out.emplace_back(entry.key, std::move(*text));
  }
}

std::optional<Duration> read_interval(const ConfigValue& value) {
  return read_duration(value, kMinInterval, kMaxInterval);
}
std::optional<Duration> read_timeout(const ConfigValue& value) {
  return read_duration(value, kMinTimeout, kMaxTimeout);
}

std::optional<ConfiguredUrl> read_http_url(const ConfigValue& value) {
  const auto text = read_text(value);
  if (!text) return std::nullopt;
  HttpUrl url;
  const std::string wrong = parse_http_url(*text, url);
  if (!wrong.empty()) {
    value.error(wrong);
    return std::nullopt;
  }
  if (!valid_url_part(url.path, "")) {
    value.error("has a path that cannot stand in a URL: escape it with %");
    return std::nullopt;
  }
  ConfiguredUrl out{url.tls ? "https://" : "http://", std::string(url.user), std::string(url.path)};
  out.url += url.authority;
  out.url += url.path;
  return out;
}

std::optional<std::string> read_host_header(const ConfigValue& value) {
  auto text = read_text(value);
  if (!text || valid_authority(*text, false)) return text;
  value.error("must be a host name or address, with :port or without");
  return std::nullopt;
}

YamlPlace place_of(const ConfigValue& target, std::string_view key) {
  const YamlEntry* const entry = target.node().find(key);
  return entry == nullptr ? target.place() : target.entry(*entry).place();
}

void check_http_settings(const ConfigValue& target, std::string_view key, bool user, bool tls) {
  ConfigErrors& errors = target.scope().errors;
  const bool password = target.node().find("password_file") != nullptr;
  if (user && !password) {
    errors.add(place_of(target, key),
               std::string(key) + " names a user, so password_file is required");
  } else if (password && !user) {
    errors.add(place_of(target, "password_file"),
               "password_file needs a URL with a user: http(s)://user@host/path");
  }
  if (target.node().find("ca_file") != nullptr && !tls) {
    errors.add(place_of(target, "ca_file"), "ca_file needs an https:// URL");
  }
}

}  // namespace lagwatch
