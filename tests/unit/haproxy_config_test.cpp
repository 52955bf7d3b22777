// SPDX-License-Identifier: Apache-2.0
// The grammar of HAProxy's configuration, as far as discovery reads it.
#include "discover/haproxy_config.h"

#include <gtest/gtest.h>

#include <random>

#include "discover/haproxy_words.h"
#include "golden.h"

namespace lagwatch {
namespace {

using Lines = std::vector<std::string>;

HaproxyConfig parse(const std::string& text) {
  const HaproxyConfigText file{"h.cfg", text};
  return parse_haproxy_config({&file, 1});
}

Lines pages(const std::string& text) {
  Lines urls;
  for (const HaproxyStatsPage& page : parse(text).pages)
    urls.push_back(page.url + (page.password ? " password" : ""));
  return urls;
}

Lines sockets(const std::string& text) {
  Lines found;
  for (const HaproxyStatsSocket& socket : parse("global\n" + text).sockets) {
    found.push_back(socket.path + socket.tcp + " " + std::string(level_name(socket.level)));
  }
  return found;
}

Lines words(const std::string& line) {
  Lines found;
  for (const HaproxyWord& word : haproxy_words(line))
    found.push_back(word.text + (word.unresolved ? " ?" : ""));
  return found;
}

TEST(HaproxyConfig, WordsAreThoseOfHaproxy) {
  // Each was asked of HAProxy 2.6.12, which names the word it got in "stats socket /x level WORD".
  EXPECT_EQ(words("a\\ b"), Lines{"a b"});
  EXPECT_EQ(words("\"a\\ b\""), Lines{"a b"});
  EXPECT_EQ(words("'a\\ b'"), Lines{"a\\ b"});
  EXPECT_EQ(words("\"a\\$b\""), Lines{"a$b"});
  EXPECT_EQ(words("a\\$b"), Lines{"a\\$b"});
  EXPECT_EQ(words("\"a\\\"b\""), Lines{"a\"b"});
  EXPECT_EQ(words("a\\'b"), Lines{"a'b"});
  EXPECT_EQ(words("a\\\\b"), Lines{"a\\b"});
  EXPECT_EQ(words("'a\\\\b'"), Lines{"a\\\\b"});
  EXPECT_EQ(words("a\\qb"), Lines{"a\\qb"});
  EXPECT_EQ(words("a\\x41b"), Lines{"aAb"});
  EXPECT_EQ(words("a#b"), Lines{"a"});
  EXPECT_EQ(words("\"a#b\""), Lines{"a#b"});
  EXPECT_EQ(words("a\\#b"), Lines{"a#b"});
  EXPECT_EQ(words("a\"b c\"d"), Lines{"ab cd"});
  EXPECT_EQ(words("a'b \"c'd"), Lines{"ab \"cd"});
  EXPECT_EQ(words("\"a${HOME}b\""), Lines{"a${HOME}b ?"});
  EXPECT_EQ(words("a${HOME}b"), Lines{"a${HOME}b"});
  EXPECT_EQ(words("'a$HOME'"), Lines{"a$HOME"});
  EXPECT_EQ(words(" a\tb  \"\" # c\r"), (Lines{"a", "b", ""}));
  EXPECT_EQ(words("\"\\t|\" '\\t|'"), (Lines{"\t|", "\\t|"}));
  EXPECT_EQ(words("\\"), Lines{"\\"});
  EXPECT_EQ(words("\"open"), Lines{"open"});
}

TEST(HaproxyConfig, AddressesOfStatsSockets) {
  EXPECT_EQ(sockets("stats socket /a"), Lines{"/a operator"});
  EXPECT_EQ(sockets("stats socket unix@/a mode 600 level admin"), Lines{"/a admin"});
  EXPECT_EQ(sockets("stats socket ipv4@127.0.0.1:9999 level user"),
            Lines{"tcp://127.0.0.1:9999 user"});
  EXPECT_EQ(sockets("stats socket :97"), Lines{"tcp://127.0.0.1:97 operator"});
  EXPECT_EQ(sockets("stats socket *:98"), Lines{"tcp://127.0.0.1:98 operator"});
  EXPECT_EQ(sockets("stats socket ipv6@:98"), Lines{"tcp://[::1]:98 operator"});
  EXPECT_EQ(sockets("stats socket :::98"), Lines{"tcp://[::1]:98 operator"});
  EXPECT_EQ(sockets("stats socket ::1:99"), Lines{"tcp://[::1]:99 operator"});
  EXPECT_EQ(sockets("stats socket [2001:db8::1]:99"), Lines{"tcp://[2001:db8::1]:99 operator"});
  EXPECT_EQ(sockets("stats socket localhost:10-12"), Lines{"tcp://localhost:10 operator"});
  EXPECT_EQ(sockets("stats socket ipv4@127.0.0.1:9999,/a level user"),
            (Lines{"tcp://127.0.0.1:9999 user", "/a user"}));
  EXPECT_EQ(sockets("stats socket \"/a b\"\nstats socket /c\\ d"),
            (Lines{"/a b operator", "/c d operator"}));
  for (const std::string odd : {"abns@x", "fd@3", "udp@:1", "quic4@:443", "unix@a", "/", "lb",
                                "lb:0", "lb:x", "$A:1", "a%b:1", "/a ssl", "/a accept-proxy", ""}) {
    EXPECT_EQ(sockets("stats socket " + odd), Lines{}) << odd;
  }
  EXPECT_EQ(sockets("stats socket /" + std::string(107, 'x')), Lines{});
}

TEST(HaproxyConfig, OnlyTheGlobalSectionHasStatsSockets) {
  EXPECT_TRUE(parse("stats socket /a\n").sockets.empty());
  EXPECT_TRUE(parse("userlist u\n stats socket /a\n").sockets.empty());
  EXPECT_TRUE(parse("global\nlisten x\n stats socket /a\n").sockets.empty());
  EXPECT_EQ(parse("global\n.if feature(X)\n stats socket /a\n.else\n stats socket /b\n.endif\n")
                .sockets.size(),
            2U);
  EXPECT_EQ(parse("global\n stats socket /a\nglobal\n stats socket /b\n").sockets.size(), 2U);
  EXPECT_EQ(parse("\n\nglobal\n stats socket /a\n").sockets[0].place, "h.cfg:4");
}

TEST(HaproxyConfig, ProcessesOfSockets) {
  const auto bits = [](const std::string& process) {
    return parse("global\n nbproc 4\n stats socket /a process " + process + "\n")
        .sockets[0]
        .processes;
  };
  EXPECT_EQ(bits("1"), 1U);
  EXPECT_EQ(bits("4"), 8U);
  EXPECT_EQ(bits("2-3"), 6U);
  EXPECT_EQ(bits("1/1-4"), 1U);
  EXPECT_EQ(bits("all"), 0U);
  EXPECT_EQ(bits("odd") & 15U, 5U);
  EXPECT_EQ(bits("even") & 15U, 10U);
  EXPECT_EQ(bits("0"), 0U);
  EXPECT_EQ(bits("65"), 0U);
  EXPECT_EQ(bits("1-99999999999"), 0U);
  EXPECT_EQ(parse("global\n nbproc 4\n").nbproc, 4U);
  EXPECT_EQ(parse("global\n nbproc 4000000000\n").nbproc, 64U);
  EXPECT_EQ(parse("global\n nbproc x\n").nbproc, 1U);
}

TEST(HaproxyConfig, StatisticsPages) {
  const std::string http = "defaults\n mode http\n";
  EXPECT_EQ(pages(http + "listen s\n bind :8404\n stats enable\n"),
            Lines{"http://127.0.0.1:8404/haproxy?stats;csv"});
  EXPECT_EQ(pages(http + "listen s 10.0.0.1:81\n stats uri /\n"), Lines{"http://10.0.0.1:81/;csv"});
  EXPECT_EQ(pages("listen s\n mode http\n bind :1,:2 ssl crt x\n stats uri /s\n"),
            (Lines{"https://127.0.0.1:1/s;csv", "https://127.0.0.1:2/s;csv"}));
  EXPECT_EQ(pages("listen s\n bind :1\n stats enable\n"), Lines{});  // mode tcp
  EXPECT_EQ(pages(http + "listen s\n bind :1\n disabled\n stats enable\n"), Lines{});
  EXPECT_EQ(
      pages(http +
            "listen s\n bind :1 accept-proxy\n bind :2 interface eth0\n bind /s\n stats enable\n"),
      Lines{});
  EXPECT_EQ(pages(http + "listen s\n bind :1\n stats realm x\n stats auth a:b\n"),
            Lines{"http://127.0.0.1:1/haproxy?stats;csv password"});
  EXPECT_EQ(pages(http + "listen s\n bind :1\n stats uri \"/${X}\"\n"), Lines{});
  EXPECT_EQ(pages(http + "listen s\n bind :1\n stats uri '/a b'\n"), Lines{});
  EXPECT_EQ(pages(http + "listen s\n bind :1\n stats timeout 3s\n"), Lines{});
}

TEST(HaproxyConfig, StatisticsPagesInheritedFromDefaults) {
  const std::string defaults = "defaults\n mode http\n stats uri /d\n stats auth a:b\n";
  EXPECT_EQ(pages(defaults + "frontend f\n bind :1\n"), Lines{"http://127.0.0.1:1/d;csv password"});
  // A stats line of its own drops those of defaults, all of them.
  EXPECT_EQ(pages(defaults + "frontend f\n bind :1\n stats hide-version\n"),
            Lines{"http://127.0.0.1:1/haproxy?stats;csv"});
  EXPECT_EQ(pages(defaults + "defaults\n mode http\nfrontend f\n bind :1\n"), Lines{});
  EXPECT_EQ(pages("defaults a\n mode http\n stats uri /a\ndefaults b\n mode tcp\nfrontend f from "
                  "a\n bind :1\n"),
            Lines{"http://127.0.0.1:1/a;csv"});
}

TEST(HaproxyConfig, StatisticsPagesOfBackends) {
  const std::string back =
      "defaults\n mode http\nbackend s\n stats uri /s\nfrontend f\n bind :1\n default_backend s\n";
  EXPECT_EQ(pages(back), Lines{"http://127.0.0.1:1/s;csv"});
  EXPECT_EQ(pages(back + " use_backend web if { path_beg / }\n"), Lines{});
  EXPECT_EQ(parse(back + " use_backend web if { path_beg / }\n").notes,
            Lines{"the statistics page at h.cfg:4 is in backend s; which requests reach it, "
                  "frontends decide"});
}

TEST(HaproxyConfig, PasswordsAreNotKept) {
  const HaproxyConfig config = parse("listen s\n mode http\n bind :1\n stats auth admin:hunter2\n");
  EXPECT_TRUE(config.pages.at(0).password);
  EXPECT_EQ(config.pages.at(0).url.find("hunter2"), std::string::npos);
}

TEST(HaproxyConfig, TruncationsAndGarbageNeverCrash) {
  std::string all;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(golden::data("discover"))) {
    if (entry.path().extension() == ".cfg") all += golden::read_file(entry.path());
  }
  ASSERT_FALSE(all.empty());
  for (size_t size = 0; size < all.size(); size += 3) (void)parse(all.substr(0, size));
  std::mt19937 random(20170321);
  const auto pick = [&](size_t below) {
    return std::uniform_int_distribution<size_t>(0, below - 1)(random);
  };
  constexpr std::string_view kPieces[] = {
      "\n",          " ",        "\\",        "\"",    "'",
      "#",           "$",        "\\x4",      "\xff",  "@",
      ":",           ",",        "[",         "/",     "stats socket ",
      "stats auth ", "global\n", "defaults ", "from ", "process "};
  for (int round = 0; round < 3000; ++round) {
    std::string text = all.substr(pick(all.size()), 600);
    for (size_t edits = pick(20) + 1; edits > 0; --edits)
      text.insert(pick(text.size() + 1), kPieces[pick(std::size(kPieces))]);
    (void)parse(text);
  }
}

TEST(HaproxyConfig, AHostileFileEndsSoon) {
  for (const std::string piece :
       {"backend b\n", "frontend f\n stats enable\n", "defaults d\n", "listen l\n bind :1,:2\n",
        "stats socket /a\n", "\\", "\"", "a ", "\n", "global\n stats socket $a\n"}) {
    std::string text = "global\ndefaults\n mode http\n stats enable\n default_backend b\n";
    while (text.size() < (1U << 20U)) text += piece;
    EXPECT_LE(parse(text).notes.size(), 50U);
  }
}

}  // namespace
}  // namespace lagwatch
