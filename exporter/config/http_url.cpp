// SPDX-License-Identifier: Apache-2.0
#include "config/http_url.h"

#include <arpa/inet.h>

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

}  // namespace

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

bool valid_url_part(std::string_view text, std::string_view without) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return c > 0x20 && c < 0x7F &&
           std::string_view("\"<>\\^`{|}#").find(c) == std::string_view::npos &&
           without.find(c) == std::string_view::npos;
  });
}

std::string parse_http_url(std::string_view text, HttpUrl& url) {
  url.tls = text.starts_with("https://");
  if (!url.tls && !text.starts_with("http://")) return "must begin with http:// or https://";
  const std::string_view rest = text.substr(text.find("//") + 2);
  const size_t slash = std::min(rest.find('/'), rest.size());
  url.authority = rest.substr(0, slash);
  url.path = rest.substr(slash);
  if (const size_t at = url.authority.rfind('@'); at != std::string_view::npos) {
    url.user = url.authority.substr(0, at);
    if (url.user.find(':') != std::string_view::npos) {
      return "must not hold a password: write user@host, and name the password's file in "
             "password_file";
    }
    if (url.user.empty() || !valid_url_part(url.user, "/?[]@%"))
      return "has a user that cannot stand in a URL";
    url.authority.remove_prefix(at + 1);
  }
  if (!valid_authority(url.authority, false))
    return "must have the form http://[user@]host[:port]/path";
  return {};
}

}  // namespace lagwatch
