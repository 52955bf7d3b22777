// SPDX-License-Identifier: Apache-2.0
#include "discover/haproxy_words.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxHostBytes = 253;

std::optional<unsigned> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
  return std::nullopt;
}

// Cuts a line into words. One object a line.
class Splitter {
 public:
  explicit Splitter(std::string_view line) : rest_(line) {}

  std::vector<HaproxyWord> split() {
    while (!rest_.empty()) {
      const char c = rest_.front();
      if (quote_ == 0 && c == '#') break;
      if (quote_ == 0 && (c == ' ' || c == '\t' || c == '\r' || c == '\n')) {
        end_word();
        rest_.remove_prefix(1);
      } else if (quote_ != '\'' && c == '\\' && rest_.size() > 1) {
        escape();
      } else if ((c == '"' || c == '\'') && (quote_ == 0 || quote_ == c)) {
        quote_ = quote_ == 0 ? c : '\0';
        in_word_ = true;
        rest_.remove_prefix(1);
      } else {
        // Variables are expanded between double quotes only.
        if (c == '$' && quote_ == '"') word_.unresolved = true;
        add(c, 1);
      }
    }
    end_word();
    return std::move(words_);
  }

 private:
  void add(char c, size_t consumed) {
    word_.text += c;
    in_word_ = true;
    rest_.remove_prefix(consumed);
  }

  // A backslash before anything else stands for itself.
  void escape() {
    constexpr std::string_view kThemselves = " \\#\"'";
    const char c = rest_[1];
    if (kThemselves.find(c) != std::string_view::npos || (c == '$' && quote_ == '"'))
      return add(c, 2);
    if (c == 'n') return add('\n', 2);
    if (c == 'r') return add('\r', 2);
    if (c == 't') return add('\t', 2);
    if (c == 'x' && rest_.size() >= 4) {
      const auto high = hex_digit(rest_[2]);
      const auto low = hex_digit(rest_[3]);
      if (high && low)
        return add(static_cast<char>(static_cast<unsigned char>(*high * 16 + *low)), 4);
    }
    add('\\', 1);
  }

  void end_word() {
    if (in_word_) words_.push_back(std::move(word_));
    word_ = {};
    in_word_ = false;
  }

  std::string_view rest_;
  std::vector<HaproxyWord> words_;
  HaproxyWord word_;
  bool in_word_ = false;
  char quote_ = '\0';
};

bool is_ip(int family, const std::string& text) {
  in6_addr address{};
  return inet_pton(family, text.c_str(), &address) == 1;
}

HaproxyAddress unsupported(std::string_view why) {
  return {HaproxyAddress::Kind::kUnsupported, std::string(why), false};
}

// What the configuration can name.
bool plain_path(std::string_view path) {
  constexpr size_t kMaxBytes = sizeof(sockaddr_un::sun_path) - 1;
  return path.size() <= kMaxBytes && !path.ends_with('/') && printable(path) == path;
}

HaproxyAddress tcp_address(std::string_view text, bool v6) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return unsupported("it has no port");
  std::string host(text.substr(0, colon));
  const std::string_view ports = text.substr(colon + 1);
  const auto port = parse_number<unsigned>(ports.substr(0, ports.find('-')));
  if (!port || *port == 0 || *port > 65535) return unsupported("its port is not a number");
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.empty() || host == "*") host = v6 ? "::" : "0.0.0.0";
  if (host == "0.0.0.0") host = "127.0.0.1";
  if (host == "::") host = "::1";
  const bool is_v6 = is_ip(AF_INET6, host);
  const bool name =
      host.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") ==
      std::string::npos;
  if (!is_v6 && (!name || host.size() > kMaxHostBytes))
    return unsupported("its address is not understood");
  const bool loopback =
      host == "::1" || host == "localhost" || (host.starts_with("127.") && is_ip(AF_INET, host));
  const std::string shown = is_v6 ? "[" + host + "]" : host;
  return {HaproxyAddress::Kind::kTcp, shown + ":" + std::to_string(*port), loopback};
}

struct Prefix {
  std::string_view text;
  enum { kUnix, kTcp, kTcp6, kInherited, kAbstract, kDatagram } meaning;
};
constexpr Prefix kPrefixes[] = {
    {"unix@", Prefix::kUnix},          {"uxst@", Prefix::kUnix},
    {"stream+unix@", Prefix::kUnix},   {"abns@", Prefix::kAbstract},
    {"abnsz@", Prefix::kAbstract},     {"fd@", Prefix::kInherited},
    {"sockpair@", Prefix::kInherited}, {"ipv4@", Prefix::kTcp},
    {"ipv6@", Prefix::kTcp6},          {"tcp@", Prefix::kTcp},
    {"tcp4@", Prefix::kTcp},           {"tcp6@", Prefix::kTcp6},
    {"stream+ipv4@", Prefix::kTcp},    {"stream+ipv6@", Prefix::kTcp6},
    {"mptcp@", Prefix::kTcp},          {"mptcp4@", Prefix::kTcp},
    {"mptcp6@", Prefix::kTcp6},        {"udp@", Prefix::kDatagram},
    {"udp4@", Prefix::kDatagram},      {"udp6@", Prefix::kDatagram},
    {"uxdg@", Prefix::kDatagram},      {"quic4@", Prefix::kDatagram},
    {"quic6@", Prefix::kDatagram},     {"dgram+", Prefix::kDatagram},
};

HaproxyAddress one_address(std::string_view text) {
  // In addresses HAProxy expands variables outside of quotes, too.
  if (text.find('$') != std::string_view::npos)
    return unsupported("an environment variable is in its name");
  const auto prefix = std::find_if(std::begin(kPrefixes), std::end(kPrefixes),
                                   [&](const Prefix& p) { return text.starts_with(p.text); });
  const bool known = prefix != std::end(kPrefixes);
  const auto meaning = known                   ? prefix->meaning
                       : text.starts_with('/') ? Prefix::kUnix
                                               : Prefix::kTcp;
  if (known) text.remove_prefix(prefix->text.size());
  switch (meaning) {
    case Prefix::kUnix:
      if (!text.starts_with('/')) return unsupported("its path is relative");
      if (!plain_path(text)) return unsupported("its path is too long or not plain text");
      return {HaproxyAddress::Kind::kPath, std::string(text), false};
    case Prefix::kTcp:
    case Prefix::kTcp6:
      return tcp_address(text, meaning == Prefix::kTcp6);
    case Prefix::kInherited:
      return {};
    case Prefix::kAbstract:
      return unsupported("lagwatch does not connect to abstract sockets");
    case Prefix::kDatagram:
      return unsupported("it is not a stream socket");
  }
  return {};
}

}  // namespace

std::vector<HaproxyWord> haproxy_words(std::string_view line) { return Splitter(line).split(); }

std::vector<HaproxyAddress> haproxy_addresses(std::string_view text) {
  std::vector<HaproxyAddress> addresses;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    if (comma > 0) addresses.push_back(one_address(text.substr(0, comma)));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return addresses;
}

}  // namespace lagwatch
