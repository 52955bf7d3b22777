// SPDX-License-Identifier: Apache-2.0
#include "config/haproxy_socket.h"

#include <sys/un.h>

#include "config/http_url.h"

namespace lagwatch {
namespace {

std::string check_page(std::string_view text, HaproxySocketForm& form) {
  HttpUrl url;
  std::string wrong = parse_http_url(text, url);
  if (!wrong.empty()) return wrong;
  form.user = !url.user.empty();
  if (url.path.empty()) return "must have the path of the statistics page, such as /stats;csv";
  if (!valid_url_part(url.path, ""))
    return "has a path that cannot stand in a URL: escape it with %";
  // Without it HAProxy answers with a page for people.
  if (url.path.find(";csv") == std::string_view::npos)
    return "must ask for CSV: append ;csv to the path of the page";
  return {};
}

std::string check_path(std::string_view path) {
  constexpr size_t kMaxPath = sizeof(sockaddr_un::sun_path) - 1;
  if (path.size() > kMaxPath) {
    return "has a path longer than the " + std::to_string(kMaxPath) + " bytes that sockets have";
  }
  return path.ends_with('/') ? "must name a socket, not a directory" : "";
}

}  // namespace

std::optional<HaproxySocketForm> parse_haproxy_socket(std::string_view text, std::string& wrong) {
  HaproxySocketForm form;
  if (text.starts_with('/')) {
    wrong = check_path(text);
  } else if (text.starts_with("tcp://")) {
    wrong = valid_authority(text.substr(6), true)
                ? ""
                : "must have the form tcp://host:port, an IPv6 address in []";
  } else if (text.starts_with("http://") || text.starts_with("https://")) {
    form.http = true;
    form.tls = text.starts_with("https");
    wrong = check_page(text, form);
  } else if (text.find(':') == std::string_view::npos) {
    wrong = "must be an absolute path";
  } else {
    wrong = "must be an absolute path, tcp://host:port or http(s)://[user@]host[:port]/path";
  }
  if (!wrong.empty()) return std::nullopt;
  return form;
}

}  // namespace lagwatch
