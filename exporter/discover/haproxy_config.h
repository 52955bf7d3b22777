// SPDX-License-Identifier: Apache-2.0
// What an HAProxy's configuration says of where its statistics can be had.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace lagwatch {

// Ascending in rights; lagwatch needs the first.
enum class HaproxyLevel { kUser, kOperator, kAdmin };
std::string_view level_name(HaproxyLevel level);

struct HaproxyStatsSocket {
  std::string path;       // a Unix socket, or
  std::string tcp;        // "tcp://host:port"
  bool loopback = false;  // of `tcp`
  HaproxyLevel level = HaproxyLevel::kOperator;
  uint64_t processes = 0;  // bit i: process i + 1 answers (nbproc); 0: any
  std::string place;       // file:line
};

// A statistics page that HAProxy serves over HTTP.
struct HaproxyStatsPage {
  std::string url;  // with ";csv"
  bool loopback = false;
  bool password = false;  // `stats auth`
  bool rules =
      false;  // `stats http-request` or `stats scope`: it may refuse, or show only some proxies
  std::string place;
};

struct HaproxyConfig {
  unsigned nbproc = 1;
  std::vector<HaproxyStatsSocket> sockets;
  std::vector<HaproxyStatsPage> pages;
  std::vector<std::string>
      notes;  // what was seen and is of no use, and why; a sentence each, never a secret
};

struct HaproxyConfigText {
  std::string path;
  std::string text;
};

// Never fails: what HAProxy itself would refuse is skipped.
HaproxyConfig parse_haproxy_config(std::span<const HaproxyConfigText> files);

}  // namespace lagwatch
