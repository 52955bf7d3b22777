// SPDX-License-Identifier: Apache-2.0
// The key `apache` of the configuration.
#include "config/targets.h"

namespace lagwatch {
namespace {

void read_status_url(const ConfigValue& value, ApacheTarget& target) {
  const auto url = read_http_url(value);
  if (!url) return;
  target.apache.user = url->user;
  target.apache.url = url->url;
  const std::string_view path = url->path;
  if (path.empty() || path == "/") {
    target.apache.url = url->url.substr(0, url->url.size() - path.size()) + "/server-status?auto";
  } else if (path.find('?') == std::string_view::npos) {
    target.apache.url += "?auto";  // the page for people cannot be read
  }
}

void check_apache(const ConfigValue& value, const ApacheTarget& target) {
  const ApacheOptions& options = target.apache;
  if (options.url.empty()) return;  // said already
  check_http_settings(value, "url", !options.user.empty(), options.url.starts_with("https://"));
}

constexpr ConfigField<ApacheTarget> kFields[] = {
    kNameField<ApacheTarget>,
    {"url", read_status_url, Need::kRequired},
    kIntervalField<ApacheTarget>,
    kTimeoutField<ApacheTarget>,
    kLabelsField<ApacheTarget>,
    {"password_file",
     [](const ConfigValue& v, ApacheTarget& t) {
       assign(t.apache.password_file, read_absolute_path(v));
     }},
    {"ca_file", [](const ConfigValue& v,
                   ApacheTarget& t) { assign(t.apache.ca_file, read_absolute_path(v)); }},
    {"host_header", [](const ConfigValue& v,
                       ApacheTarget& t) { assign(t.apache.host_header, read_host_header(v)); }},
};

}  // namespace

void read_apache(const ConfigValue& value, Config& config) {
  read_targets<ApacheTarget>(value, config, kFields, check_apache, config.apache);
}

}  // namespace lagwatch
