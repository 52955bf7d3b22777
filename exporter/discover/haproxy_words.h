// SPDX-License-Identifier: Apache-2.0
// The small grammar of HAProxy's configuration: lines of words with quotes and escapes, and
// addresses.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lagwatch {

struct HaproxyWord {
  std::string text;
  // Holds an environment variable, which is left as it is written: HAProxy's environment is not
  // ours.
  bool unresolved = false;
};

// The words of one line: "..", '..', backslash escapes, # comments, as HAProxy 2.6 reads them.
std::vector<HaproxyWord> haproxy_words(std::string_view line);

// An address of `bind` or `stats socket`.
struct HaproxyAddress {
  enum class Kind {
    kPath,        // `value` is a Unix socket's path
    kTcp,         // `value` is "host:port", IPv6 in brackets; a wildcard has become loopback
    kNone,        // an inherited descriptor: nobody else can connect to it
    kUnsupported  // `value` says why
  };
  Kind kind = Kind::kNone;
  std::string value;
  bool loopback = false;  // kTcp: reached without leaving the host
};

// `text` may name several addresses, separated by commas.
std::vector<HaproxyAddress> haproxy_addresses(std::string_view text);

}  // namespace lagwatch
