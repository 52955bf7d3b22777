// SPDX-License-Identifier: Apache-2.0
// The key `haproxy` of the configuration.
#include <algorithm>

#include "config/haproxy_socket.h"
#include "config/targets.h"

namespace lagwatch {
namespace {

constexpr uint64_t kMostServers = 1000000;

std::optional<std::string> read_haproxy_socket(const ConfigValue& value) {
  auto text = read_text(value);
  std::string wrong;
  if (!text || parse_haproxy_socket(*text, wrong)) return text;
  value.error(wrong);
  return std::nullopt;
}

void check_haproxy(const ConfigValue& value, const HaproxyTarget& target) {
  const HaproxyOptions& options = target.haproxy;
  ConfigErrors& errors = value.scope().errors;
  if (options.sockets.empty()) return;  // said already
  HaproxySocketForm any;
  std::string ignored;
  for (const std::string& socket : options.sockets) {
    const auto form = parse_haproxy_socket(socket, ignored);
    if (!form) return;
    any.http = any.http || form->http;
    any.tls = any.tls || form->tls;
    any.user = any.user || form->user;
    if (std::count(options.sockets.begin(), options.sockets.end(), socket) > 1) {
      return errors.add(place_of(value, "sockets"),
                        "sockets must not name one twice: they are summed");
    }
  }
  if (any.http && options.sockets.size() > 1) {
    errors.add(place_of(value, "sockets"),
               "sockets must be stats sockets when there are several, not URLs");
  }
  check_http_settings(value, "sockets", any.user, any.tls);
}

constexpr ConfigField<HaproxyTarget> kHaproxyFields[] = {
    kNameField<HaproxyTarget>,
    {"sockets",
     [](const ConfigValue& v, HaproxyTarget& t) {
       assign(t.haproxy.sockets, read_each(v, read_haproxy_socket));
     },
     Need::kRequired},
    kIntervalField<HaproxyTarget>,
    kTimeoutField<HaproxyTarget>,
    kLabelsField<HaproxyTarget>,
    {"password_file",
     [](const ConfigValue& v, HaproxyTarget& t) {
       assign(t.haproxy.password_file, read_absolute_path(v));
     }},
    {"ca_file", [](const ConfigValue& v,
                   HaproxyTarget& t) { assign(t.haproxy.ca_file, read_absolute_path(v)); }},
    {"include_proxies",
     [](const ConfigValue& v, HaproxyTarget& t) {
       assign(t.haproxy.include_proxies, read_pattern(v));
     }},
    {"exclude_proxies",
     [](const ConfigValue& v, HaproxyTarget& t) {
       assign(t.haproxy.exclude_proxies, read_pattern(v));
     }},
    {"sparse_states", [](const ConfigValue& v,
                         HaproxyTarget& t) { assign(t.haproxy.sparse_states, read_boolean(v)); }},
    {"max_servers",
     [](const ConfigValue& v, HaproxyTarget& t) {
       assign(t.haproxy.max_servers, read_integer(v, 0, kMostServers));
     }},
};

}  // namespace

void read_haproxy(const ConfigValue& value, Config& config) {
  read_targets<HaproxyTarget>(value, config, kHaproxyFields, check_haproxy, config.haproxy);
}

}  // namespace lagwatch
