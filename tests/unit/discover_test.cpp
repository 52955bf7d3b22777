// SPDX-License-Identifier: Apache-2.0
// What discovery says of hosts as they are: scenes in tests/data/discover, and the grammar of
// HAProxy's configuration.
#include "discover/discover.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "base/account.h"
#include "config/config.h"
#include "discover/haproxy_config.h"
#include "discover/haproxy_processes.h"
#include "discover/haproxy_words.h"

namespace lagwatch {
namespace {

namespace fs = std::filesystem;
using Lines = std::vector<std::string>;

std::string read_all(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void write_all(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

std::vector<fs::path> scenes() {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(fs::path(LAGWATCH_TEST_DATA) / "discover")) {
    if (entry.is_directory()) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

fs::perms mode_of(const std::string& octal) {
  unsigned mode = 0;
  for (const char c : octal) mode = mode * 8 + static_cast<unsigned>(c - '0');
  return static_cast<fs::perms>(mode);
}

// A host in a temporary directory, gone at the end.
class Host {
 public:
  Host() {
    std::string pattern = fs::temp_directory_path() / "lagwatch-host-XXXXXX";
    path_ = mkdtemp(pattern.data());
    fs::permissions(path_, fs::perms(0755));
    fs::create_directories(path_ / "proc");
    fs::create_directories(path_ / "root");
  }
  ~Host() { fs::remove_all(path_); }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  std::string root() const { return path_ / "root"; }
  std::string proc() const { return path_ / "proc"; }
  fs::path at(const std::string& path) const { return root() + path; }

  // One line of a scene; `source` is its directory.
  void add(const std::string& line, const fs::path& source) {
    Lines words;
    std::istringstream stream(line);
    for (std::string word; stream >> word;) words.push_back(word);
    if (words.empty()) return;
    const std::string& what = words[0];
    if (what == "process") {
      add_process(words);
    } else if (what == "container") {
      std::ofstream(proc() + "/" + words.at(1) + "/status")
          << "PPid:\t1\nNSpid:\t" << words.at(1) << "\t7\n";
    } else if (what == "cwd") {
      fs::create_symlink(words.at(2), proc() + "/" + words.at(1) + "/cwd");
    } else if (what == "file") {
      write_all(at(words.at(1)), read_all(source / words.at(2)));
      fs::permissions(at(words.at(1)), mode_of(words.at(3)));
    } else if (what == "dir") {
      fs::create_directories(at(words.at(1)));
      fs::permissions(at(words.at(1)), mode_of(words.at(2)));
    } else if (what == "socket") {
      add_socket(words.at(1), mode_of(words.at(2)), words.at(3));
    } else if (what == "fifo") {
      fs::create_directories(at(words.at(1)).parent_path());
      ASSERT_EQ(mkfifo(at(words.at(1)).c_str(), 0644), 0);
    } else {
      ADD_FAILURE() << line;
    }
  }

  Discovery discover() const { return lagwatch::discover({.proc = proc(), .root = root()}); }

 private:
  // words: process PID PARENT COMM ARGUMENT...
  void add_process(const Lines& words) {
    const fs::path directory = fs::path(proc()) / words.at(1);
    std::string cmdline;
    for (size_t i = 4; i < words.size(); ++i) cmdline += words[i] + '\0';
    write_all(directory / "cmdline", cmdline);
    write_all(directory / "comm", words.at(3) + "\n");
    write_all(directory / "status",
              "Name:\tx\nPPid:\t" + words.at(2) + "\nNSpid:\t" + words.at(1) + "\n");
  }

  void add_socket(const std::string& path, fs::perms mode, const std::string& group) {
    fs::create_directories(at(path).parent_path());
    ASSERT_EQ(mknod(at(path).c_str(), S_IFSOCK | 0600, 0), 0);
    if (geteuid() == 0) {
      const gid_t id = group == "root" ? 0 : group == "daemon" ? 1 : 65534;
      ASSERT_EQ(chown(at(path).c_str(), 0, id), 0);
    }
    fs::permissions(at(path), mode);
  }

  fs::path path_;
};

// Root may do everything, so hosts are looked at as somebody else.
class AsNobody {
 public:
  AsNobody() : was_root_(geteuid() == 0) {
    if (was_root_ && (setegid(65534) != 0 || seteuid(65534) != 0)) ADD_FAILURE() << "seteuid";
  }
  ~AsNobody() {
    if (was_root_ && (seteuid(0) != 0 || setegid(0) != 0)) ADD_FAILURE() << "seteuid";
  }
  AsNobody(const AsNobody&) = delete;
  AsNobody& operator=(const AsNobody&) = delete;

 private:
  bool was_root_;
};

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size()) {
    text.replace(at, what.size(), with);
  }
  return text;
}

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

TEST(Discover, EveryHostAsExpected) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to own files";
  const auto found = scenes();
  ASSERT_GT(found.size(), 20U);
  for (const fs::path& scene : found) {
    Host host;
    std::istringstream lines(read_all(scene / "scene"));
    for (std::string line; std::getline(lines, line);) host.add(line, scene);
    const AsNobody nobody;
    const std::string yaml = replaced(to_yaml(host.discover()), host.root(), "@ROOT@");
    EXPECT_EQ(yaml, read_all(scene / "expected.yml")) << scene.filename();
  }
}

TEST(Discover, OutputIsAConfigurationThatIsAccepted) {
  for (const fs::path& scene : scenes()) {
    Host host;
    std::istringstream lines(read_all(scene / "scene"));
    for (std::string line; std::getline(lines, line);) host.add(line, scene);
    const Discovery found = host.discover();
    const ConfigResult result = parse_config("found.yml", to_yaml(found));
    EXPECT_EQ(result.errors, Lines{}) << scene.filename();
    EXPECT_EQ(result.config.haproxy.has_value(), !found.haproxy.empty());
    for (size_t i = 0; i < found.haproxy.size(); ++i) {
      EXPECT_EQ(result.config.haproxy->at(i).target.name, found.haproxy[i].name);
      EXPECT_EQ(result.config.haproxy->at(i).haproxy.sockets, found.haproxy[i].sockets);
    }
  }
}

TEST(Discover, NoPasswordIsPrinted) {
  for (const fs::path& scene : scenes()) {
    EXPECT_EQ(read_all(scene / "expected.yml").find("hunter2"), std::string::npos)
        << scene.filename();
  }
}

TEST(Discover, OddTextCannotLeaveACommentOrString) {
  Discovery found;
  found.haproxy.push_back(
      {"haproxy", {"/run/a\"b\\c: # é.sock"}, {"one\nhaproxy: []\ntwo", "# \xff\x01"}});
  found.problems = {"x\r\nsite: evil"};
  const std::string yaml = to_yaml(found);
  const ConfigResult result = parse_config("found.yml", yaml);
  EXPECT_EQ(result.errors, Lines{}) << yaml;
  EXPECT_EQ(result.config.site, "");
  EXPECT_EQ(result.config.haproxy->at(0).haproxy.sockets, found.haproxy[0].sockets);
}

TEST(Discover, HugeConfigurationIsAProblem) {
  Host host;
  host.add("process 812 1 haproxy haproxy -f /etc/haproxy/haproxy.cfg", {});
  write_all(host.at("/etc/haproxy/haproxy.cfg"), std::string((4U << 20U) + 1, '\n'));
  EXPECT_EQ(host.discover().problems, Lines{"/etc/haproxy/haproxy.cfg, the configuration of "
                                            "HAProxy (pid 812), cannot be read (File too large): "
                                            "name its socket in lagwatch.yml, as in: haproxy: "
                                            "[{ sockets: /run/haproxy/lagwatch.sock }]"});
}

TEST(Discover, DirectoryOfConfigurationThatMayNotBeListed) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to own files";
  Host host;
  host.add("process 812 1 haproxy haproxy -f /etc/haproxy/conf.d", {});
  host.add("dir /etc/haproxy/conf.d 700", {});
  const AsNobody nobody;
  const Discovery found = host.discover();
  ASSERT_EQ(found.problems.size(), 1U);
  EXPECT_NE(
      found.problems[0].find("setfacl -m u:nobody:rx " + host.root() + "/etc/haproxy/conf.d\""),
      std::string::npos)
      << found.problems[0];
}

TEST(Discover, ProcessesBeyondTheLimitAreSaid) {
  Host host;
  for (int pid = 10; pid < 30; ++pid)
    host.add("process " + std::to_string(pid) + " 1 x /bin/x", {});
  host.add("process 9000 1 haproxy haproxy -f /etc/haproxy/haproxy.cfg", {});
  const HaproxyProcesses found = find_haproxys(host.proc(), 20);
  EXPECT_TRUE(found.cut);
  ASSERT_EQ(found.instances.size(), 1U);  // those named haproxy are looked at first
  EXPECT_EQ(found.instances[0].pid, 9000);
  EXPECT_FALSE(find_haproxys(host.proc(), 21).cut);
}

TEST(Discover, ProcfsOfNothingIsEmpty) {
  EXPECT_TRUE(discover({.proc = "/nonexistent", .root = "/nonexistent"}).haproxy.empty());
}

TEST(HaproxyProcesses, ReadsTheCommandLineAsHaproxyDoes) {
  const auto files = [](const std::string& arguments) {
    Host host;
    host.add("process 5 1 haproxy haproxy " + arguments, {});
    const auto found = find_haproxys(host.proc()).instances;
    return found.empty() ? Lines{"none"} : found[0].files;
  };
  EXPECT_EQ(files("-f /a -f /b"), (Lines{"/a", "/b"}));
  EXPECT_EQ(files("-D -p /run/h.pid -f /a -sf 1 2 3 -n 100"), Lines{"/a"});
  EXPECT_EQ(files("-st 1 2 -f /a"), Lines{"/a"});
  EXPECT_EQ(files("-W -S /run/m.sock,mode,600 -x /run/x.sock -L peer -f /a"), Lines{"/a"});
  EXPECT_EQ(files("-S -f /a"), Lines{"/a"});
  EXPECT_EQ(files("-Ws -db -q -- /a /b"), (Lines{"/a", "/b"}));
  EXPECT_EQ(files("-C /etc -f a.cfg"), Lines{"/etc/a.cfg"});
  EXPECT_EQ(files("-f a.cfg"), Lines{"a.cfg"});
  EXPECT_EQ(files("-c -f /a"), Lines{"none"});
  EXPECT_EQ(files("-vv"), Lines{"none"});
  EXPECT_EQ(files("-f"), Lines{"none"});
  EXPECT_EQ(files("stop"), Lines{"none"});
  EXPECT_EQ(files(""), Lines{"none"});
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
  for (const fs::path& scene : scenes()) {
    for (const auto& entry : fs::directory_iterator(scene)) {
      if (entry.path().extension() == ".cfg") all += read_all(entry.path());
    }
  }
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

TEST(Account, ShellWordsAreQuotedWhereNeeded) {
  EXPECT_EQ(shell_word("/etc/haproxy.cfg"), "/etc/haproxy.cfg");
  EXPECT_EQ(shell_word("a b"), "'a b'");
  EXPECT_EQ(shell_word("a'b"), "'a'\\''b'");
  EXPECT_EQ(shell_word(""), "''");
}

}  // namespace
}  // namespace lagwatch
