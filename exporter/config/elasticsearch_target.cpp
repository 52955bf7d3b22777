// SPDX-License-Identifier: Apache-2.0
// The key `elasticsearch` of the configuration: Elasticsearch and OpenSearch.
#include <algorithm>

#include "config/http_url.h"
#include "config/targets.h"

namespace lagwatch {
namespace {

constexpr size_t kMostIndexBytes = 255;

void read_url(const ConfigValue& value, ElasticsearchTarget& target) {
  const auto text = read_text(value);
  if (!text) return;
  HttpUrl url;
  const std::string wrong = parse_http_url(*text, url);
  if (!wrong.empty()) return value.error(wrong);
  if (!url.user.empty()) return value.error("must not hold a user: set username");
  if (!valid_url_part(url.path, "?"))
    return value.error("must end with the path to Elasticsearch, if it has one, without a query");
  while (url.path.ends_with('/')) url.path.remove_suffix(1);
  std::string& out = target.elasticsearch.url;
  out = url.tls ? "https://" : "http://";
  out += url.authority;
  out += url.path;
}

void read_username(const ConfigValue& value, ElasticsearchTarget& target) {
  auto text = read_text(value);
  if (text && text->find(':') != std::string::npos)
    return value.error("must not hold a colon: name the password's file in password_file");
  assign(target.elasticsearch.user, std::move(text));
}

void read_pinned_key(const ConfigValue& value, ElasticsearchTarget& target) {
  constexpr std::string_view kPrefix = "sha256//";
  constexpr std::string_view kBase64 =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  auto text = read_text(value);
  if (!text) return;
  const std::string_view hash =
      text->starts_with(kPrefix) ? std::string_view(*text).substr(kPrefix.size()) : "";
  if (hash.size() != 44 || !hash.ends_with('=') ||
      hash.substr(0, 43).find_first_not_of(kBase64) != std::string_view::npos)
    return value.error("must be sha256// and the base64 of the key's SHA-256, 44 characters");
  target.elasticsearch.pinned_key = std::move(*text);
}

void read_nodes(const ConfigValue& value, ElasticsearchTarget& target) {
  const auto text = read_text(value);
  if (!text) return;
  if (*text != "local" && *text != "all") return value.error("must be local or all");
  target.elasticsearch.local_node = *text == "local";
}

// It becomes part of a URL, and is one index or alias.
std::optional<std::string> read_index(const ConfigValue& value) {
  auto text = read_text(value);
  if (!text) return text;
  if (text->size() <= kMostIndexBytes && valid_url_part(*text, "/?&%*,:+") &&
      std::string_view("_-.").find((*text)[0]) == std::string_view::npos)
    return text;
  value.error("must be the name of one index or alias");
  return std::nullopt;
}

constexpr ConfigField<ElasticsearchOptions> kProbeFields[] = {
    {"index",
     [](const ConfigValue& v, ElasticsearchOptions& o) { assign(o.probe_index, read_index(v)); },
     Need::kRequired},
};

void check_elasticsearch(const ConfigValue& value, const ElasticsearchTarget& target) {
  ConfigErrors& errors = value.scope().errors;
  const auto has = [&](std::string_view key) { return value.node().find(key) != nullptr; };
  if (has("username") && !has("password_file"))
    errors.add(place_of(value, "username"), "username needs password_file");
  if (has("password_file") && !has("username"))
    errors.add(place_of(value, "password_file"), "password_file needs username");
  if (has("api_key_file") && has("username"))
    errors.add(place_of(value, "api_key_file"),
               "api_key_file is instead of username: leave one out");
  if (target.elasticsearch.url.empty() || target.elasticsearch.url.starts_with("https://")) return;
  for (const std::string_view key : {"ca_file", "pinned_key"}) {
    if (has(key)) errors.add(place_of(value, key), std::string(key) + " needs an https:// URL");
  }
}

constexpr ConfigField<ElasticsearchTarget> kFields[] = {
    kNameField<ElasticsearchTarget>,
    {"url", read_url, Need::kRequired},
    {"username", read_username},
    {"password_file",
     [](const ConfigValue& v, ElasticsearchTarget& t) {
       assign(t.elasticsearch.password_file, read_absolute_path(v));
     }},
    {"api_key_file",
     [](const ConfigValue& v, ElasticsearchTarget& t) {
       assign(t.elasticsearch.api_key_file, read_absolute_path(v));
     }},
    {"ca_file",
     [](const ConfigValue& v, ElasticsearchTarget& t) {
       assign(t.elasticsearch.ca_file, read_absolute_path(v));
     }},
    {"pinned_key", read_pinned_key},
    {"nodes", read_nodes},
    {"probe",
     [](const ConfigValue& v, ElasticsearchTarget& t) {
       read_mapping<ElasticsearchOptions>(v, kProbeFields, t.elasticsearch);
     }},
    kIntervalField<ElasticsearchTarget>,
    kTimeoutField<ElasticsearchTarget>,
    kLabelsField<ElasticsearchTarget>,
};

}  // namespace

void read_elasticsearch(const ConfigValue& value, Config& config) {
  read_targets<ElasticsearchTarget>(value, config, kFields, check_elasticsearch,
                                    config.elasticsearch);
}

}  // namespace lagwatch
