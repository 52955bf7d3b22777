// SPDX-License-Identifier: Apache-2.0
// http:// and https:// URLs as the configuration takes them, taken apart and checked.
#pragma once

#include <string>
#include <string_view>

namespace lagwatch {

struct HttpUrl {
  bool tls = false;
  std::string_view user;       // empty: none
  std::string_view authority;  // host or host:port
  std::string_view path;       // with the query; may be empty
};

// Takes "http(s)://[user@]host[:port][/path]" apart; `url` views `text`. What is wrong, without
// quoting the text, which may hold a password; empty: nothing. The path is not looked at.
std::string parse_http_url(std::string_view text, HttpUrl& url);

// Visible ASCII that needs no escape in a URL and ends nothing, without the characters `without`.
bool valid_url_part(std::string_view text, std::string_view without);

// "host" or "host:port".
bool valid_authority(std::string_view text, bool needs_port);

}  // namespace lagwatch
