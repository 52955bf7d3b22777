// SPDX-License-Identifier: Apache-2.0
#include "config/haproxy_socket.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include <algorithm>

#include "base/text.h"

namespace lagwatch {
namespace {

constexpr std::string_view kNameCharacters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";

bool valid_host(std::string_view host) {
  if (host.starts_with('[') && host.ends_with(']')) {
    in6_addr address{};
    return inet_pton(AF_INET6, std::string(host.substr(1, host.size() - 2)).c_str(), &address) == 1;
  }
  return !host.empty() && host.size() <= 253 &&
         host.find_first_not_of(kNameCharacters) == std::string_view::npos;
}

// "host" or "host:port".
bool valid_authority(std::string_view text, bool needs_port) {
  const size_t bracket = text.rfind(']');
  const size_t colon = text.rfind(':');
  const bool has_port =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  if (!has_port) return !needs_port && valid_host(text);
  const std::string_view port = text.substr(colon + 1);
  const auto number = parse_number<unsigned>(port);
  return number && *number > 0 && *number <= 65535 && !port.starts_with('0') &&
         valid_host(text.substr(0, colon));
}

// In a URL: visible ASCII that needs no escape and ends nothing.
bool valid_url_part(std::string_view text, std::string_view without) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return c > 0x20 && c < 0x7F &&
           std::string_view("\"<>\\^`{|}#").find(c) == std::string_view::npos &&
           without.find(c) == std::string_view::npos;
  });
}

std::string check_url(std::string_view rest, HaproxySocketForm& form) {
  const size_t slash = std::min(rest.find('/'), rest.size());
  std::string_view authority = rest.substr(0, slash);
  const std::string_view path = rest.substr(slash);
  if (const size_t at = authority.rfind('@'); at != std::string_view::npos) {
    const std::string_view user = authority.substr(0, at);
    if (user.find(':') != std::string_view::npos) {
      return "must not hold a password: write user@host, and name the password's file in "
             "password_file";
    }
    if (user.empty() || !valid_url_part(user, "/?[]@%"))
      return "has a user that cannot stand in a URL";
    form.user = true;
    authority.remove_prefix(at + 1);
  }
  if (!valid_authority(authority, false))
    return "must have the form http://[user@]host[:port]/path";
  if (path.empty()) return "must have the path of the statistics page, such as /stats;csv";
  if (!valid_url_part(path, "")) return "has a path that cannot stand in a URL: escape it with %";
  // Without it HAProxy answers with a page for people.
  if (path.find(";csv") == std::string_view::npos)
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
    wrong = check_url(text.substr(text.find("//") + 2), form);
  } else if (text.find(':') == std::string_view::npos) {
    wrong = "must be an absolute path";
  } else {
    wrong = "must be an absolute path, tcp://host:port or http(s)://[user@]host[:port]/path";
  }
  if (!wrong.empty()) return std::nullopt;
  return form;
}

}  // namespace lagwatch
