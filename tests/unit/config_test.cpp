// SPDX-License-Identifier: Apache-2.0
// What the configuration reader takes, and what it says of each mistake: tests/data/config has one
// file for each.
#include "config/config.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "as_nobody.h"
#include "base/text.h"
#include "config/config_value.h"
#include "paths.h"

namespace lagwatch {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using Lines = std::vector<std::string>;
using Labels = std::vector<std::pair<std::string, std::string>>;

std::string read_all(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

fs::path data(const std::string& name) { return fs::path(kTestData) / "config" / name; }

std::vector<fs::path> data_files(const std::string& ending) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(fs::path(kTestData) / "config")) {
    if (entry.path().string().ends_with(ending)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// `# expect: line:column: message` at the head of a file.
Lines expected_errors(const std::string& name, const std::string& text) {
  constexpr std::string_view kMark = "# expect: ";
  Lines lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line) && line.starts_with(kMark);) {
    lines.push_back(name + ":" + line.substr(kMark.size()));
  }
  return lines;
}

Lines errors_of(const std::string& text) { return parse_config("c.yml", text).errors; }

// A directory with a configuration, gone at the end.
class Directory {
 public:
  Directory() {
    std::string pattern = fs::temp_directory_path() / "lagwatch-config-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~Directory() { fs::remove_all(path_); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  std::string path(const std::string& name) const { return path_ / name; }
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories(fs::path(path(name)).parent_path());
    std::ofstream(path(name), std::ios::binary) << text;
  }
  ConfigResult load() const { return load_config(path("lagwatch.yml")); }

 private:
  fs::path path_;
};

TEST(Config, EveryMistakeHasItsMessage) {
  const auto files = data_files(".bad.yml");
  ASSERT_GT(files.size(), 30U);
  for (const fs::path& file : files) {
    const std::string name = file.filename();
    const std::string text = read_all(file);
    const Lines expected = expected_errors(name, text);
    EXPECT_FALSE(expected.empty()) << name;
    EXPECT_EQ(parse_config(name, text).errors, expected) << name;
  }
}

TEST(Config, NoMessageHoldsASecret) {
  for (const fs::path& file : data_files(".bad.yml")) {
    for (const std::string& line : parse_config("c.yml", read_all(file)).errors) {
      EXPECT_EQ(line.find("hunter2"), std::string::npos) << line;
      EXPECT_EQ(line.find("ter2"), std::string::npos) << line;
    }
  }
}

TEST(Config, GoodFilesHaveNoErrors) {
  const auto files = data_files(".good.yml");
  ASSERT_GT(files.size(), 3U);
  for (const fs::path& file : files) EXPECT_EQ(errors_of(read_all(file)), Lines{}) << file;
}

TEST(Config, ReadsEverySettingOfHaproxy) {
  const auto config = parse_config("full.good.yml", read_all(data("full.good.yml"))).config;
  EXPECT_EQ(config.site, "shop");
  EXPECT_EQ(config.interval, 5s);
  EXPECT_EQ(config.timeout, 3s);
  ASSERT_TRUE(config.haproxy && config.haproxy->size() == 3);
  const HaproxyTarget& lb1 = config.haproxy->at(0);
  EXPECT_EQ(lb1.target.name, "lb1");
  EXPECT_EQ(lb1.target.interval, 500ms);
  EXPECT_EQ(lb1.target.timeout, 1500ms);
  EXPECT_EQ(lb1.target.labels, (Labels{{"site", "shop"}, {"rack", "010"}, {"role", "edge"}}));
  EXPECT_EQ(lb1.haproxy.sockets, Lines{"/run/haproxy/lagwatch.sock"});
  EXPECT_EQ(lb1.haproxy.include_proxies, "web|api");
  EXPECT_EQ(lb1.haproxy.exclude_proxies, "^stats$");
  EXPECT_TRUE(lb1.haproxy.sparse_states);
  EXPECT_EQ(lb1.haproxy.max_servers, 500U);
  const HaproxyTarget& lb2 = config.haproxy->at(1);
  EXPECT_EQ(lb2.target.interval, 5s);
  EXPECT_EQ(lb2.target.timeout, 3s);
  EXPECT_EQ(lb2.haproxy.sockets.size(), 4U);
  EXPECT_EQ(lb2.haproxy.max_servers, 10000U);
  const HaproxyTarget& lb3 = config.haproxy->at(2);
  EXPECT_EQ(lb3.haproxy.sockets, Lines{"https://lagwatch@lb3.example:8404/haproxy?stats;csv"});
  EXPECT_EQ(lb3.haproxy.password_file, "/etc/lagwatch/secrets/lb3");
  EXPECT_EQ(lb3.haproxy.ca_file, "/etc/lagwatch/ca.pem");
}

TEST(Config, ReadsEverySettingOfTheHost) {
  const auto config = parse_config("full.good.yml", read_all(data("full.good.yml"))).config;
  EXPECT_TRUE(config.host.enabled);
  EXPECT_EQ(config.host.paths, (Lines{"/srv", "/var/lib/postgresql"}));
  EXPECT_EQ(config.host_target.name, "web1");
  EXPECT_EQ(config.host_target.interval, 1min);
  EXPECT_EQ(config.host_target.timeout, 10s);
  EXPECT_EQ(config.host_target.labels, (Labels{{"site", "shop"}, {"rack", "b"}}));
}

TEST(Config, EverythingHasADefault) {
  const auto config = parse_config("c.yml", "").config;
  EXPECT_FALSE(config.haproxy.has_value());
  EXPECT_FALSE(config.agents.has_value());
  EXPECT_FALSE(config.postgres.has_value());
  EXPECT_FALSE(config.interval.has_value());
  EXPECT_EQ(config.timeout, 3s);
  EXPECT_TRUE(config.host.enabled);
  EXPECT_EQ(config.host_target.name, "host");
  EXPECT_EQ(config.host_target.timeout, 3s);
  EXPECT_TRUE(config.host_target.labels.empty());
}

TEST(Config, EmptyListTurnsAKindOff) {
  const auto config = parse_config("c.yml", "haproxy: []\n").config;
  ASSERT_TRUE(config.haproxy.has_value());
  EXPECT_TRUE(config.haproxy->empty());
}

TEST(Config, OnlyTargetIsNamedAfterItsKind) {
  const auto result = parse_config("c.yml", "haproxy: [{ sockets: /a }]\n");
  EXPECT_EQ(result.errors, Lines{});
  EXPECT_EQ(result.config.haproxy->at(0).target.name, "haproxy");
}

TEST(Config, DefaultsReachTargetsThatStandBeforeThem) {
  const auto config =
      parse_config("c.yml",
                   "haproxy: [{ sockets: /a }]\nhost: {}\ntimeout: 1s\ninterval: 2s\nsite: x\n")
          .config;
  for (const TargetOptions& target : {config.haproxy->at(0).target, config.host_target}) {
    EXPECT_EQ(target.timeout, 1s);
    EXPECT_EQ(target.interval, 2s);
    EXPECT_EQ(target.labels, (Labels{{"site", "x"}}));
  }
  const TargetOptions found = target_defaults(config, "haproxy-2");
  EXPECT_EQ(found.name, "haproxy-2");
  EXPECT_EQ(found.timeout, 1s);
  EXPECT_EQ(found.labels, (Labels{{"site", "x"}}));
}

TEST(Config, LabelsThatMetricsHaveAreRefused) {
  const LabelTaken taken = [](std::string_view kind, std::string_view label) {
    return kind == "haproxy" && label == "proxy";
  };
  const std::string text =
      "haproxy: [{ sockets: /a, labels: { proxy: x } }]\nhost: { labels: { proxy: x } }\n";
  EXPECT_EQ(parse_config("c.yml", text, taken).errors,
            Lines{"c.yml:1:36: label \"proxy\" is one that metrics of kind haproxy have"});
  EXPECT_EQ(errors_of(text), Lines{});
}

TEST(Config, DurationsAreThoseOfPrometheus) {
  const auto read = [](const std::string& text) {
    return parse_config("c.yml", "interval: " + text + "\n").config.interval;
  };
  EXPECT_EQ(read("500ms"), 500ms);
  EXPECT_EQ(read("1m"), 1min);
  EXPECT_EQ(read("59m60s"), 1h);
  EXPECT_EQ(read("1m30s500ms"), 90500ms);
  EXPECT_EQ(read("\"10s\""), 10s);
  EXPECT_EQ(read("1h1s"), std::nullopt);  // too long
  EXPECT_EQ(parse_config("c.yml", "interval: 1h30m\n").errors,
            Lines{"c.yml:1:11: interval must be from 100ms to 1h"});
}

TEST(Config, ConfDListsAreAppendedInNameOrder) {
  const Directory dir;
  dir.write("lagwatch.yml",
            "site: shop\nhaproxy:\n  - { name: lb1, sockets: /1 }\nhost: { paths: [/a] }\n");
  dir.write("conf.d/20.yml",
            "haproxy:\n  - { name: lb3, sockets: /3 }\nhost:\n  paths: [/b]\n  timeout: 1s\n");
  dir.write("conf.d/10.yml", "haproxy:\n  - { name: lb2, sockets: /2 }\ntimeout: 2s\n");
  dir.write("conf.d/.hidden.yml", "nonsense: 1\n");
  dir.write("conf.d/30.yml.bak", "nonsense: 1\n");
  dir.write("conf.d/40.yaml", "nonsense: 1\n");
  const ConfigResult result = dir.load();
  ASSERT_EQ(result.errors, Lines{});
  Lines names;
  for (const HaproxyTarget& target : *result.config.haproxy) {
    names.push_back(target.target.name);
    EXPECT_EQ(target.target.timeout, 2s);
    EXPECT_EQ(target.target.labels, (Labels{{"site", "shop"}}));
  }
  EXPECT_EQ(names, (Lines{"lb1", "lb2", "lb3"}));
  EXPECT_EQ(result.config.host.paths, (Lines{"/a", "/b"}));
  EXPECT_EQ(result.config.host_target.timeout, 1s);
}

TEST(Config, ConfDScalarTwiceNamesBothPlaces) {
  const Directory dir;
  dir.write("lagwatch.yml", "site: shop\nhost: { enabled: true, labels: { rack: a } }\n");
  dir.write("conf.d/a.yml",
            "\nsite: shop\nhost:\n  enabled: true\n  labels: { rack: b, row: c }\n");
  const std::string a = dir.path("conf.d/a.yml");
  const std::string main = dir.path("lagwatch.yml");
  EXPECT_EQ(dir.load().errors, (Lines{a + ":2:1: \"site\" is already set at " + main + ":1:1",
                                      a + ":4:3: \"enabled\" is already set at " + main + ":2:9",
                                      a + ":5:13: \"rack\" is already set at " + main + ":2:34"}));
}

TEST(Config, ErrorsOfAllFilesInFileOrder) {
  const Directory dir;
  dir.write("lagwatch.yml", "haproxy: [{ name: lb1, sockets: /1 }]\ninterval: 7\n");
  dir.write("conf.d/a.yml", "a: [\n");
  dir.write("conf.d/b.yml", "haproxy: [{ name: lb1, sockets: b }]\n");
  fs::create_directory(dir.path("conf.d/c.yml"));
  ASSERT_EQ(mkfifo(dir.path("conf.d/d.yml").c_str(), 0600), 0);
  EXPECT_EQ(
      dir.load().errors,
      (Lines{dir.path("lagwatch.yml") + ":2:11: interval must have a unit: did you mean 7s?",
             dir.path("conf.d/a.yml") + ":2:1: not valid YAML: end of sequence flow not found",
             dir.path("conf.d/b.yml") + ":1:19: name \"lb1\" is already used at " +
                 dir.path("lagwatch.yml") + ":1:19",
             dir.path("conf.d/b.yml") + ":1:33: sockets must be an absolute path",
             dir.path("conf.d/c.yml") + ":1:1: is a directory, not a file",
             dir.path("conf.d/d.yml") + ":1:1: is neither a file nor a directory"}));
}

TEST(Config, DefaultNameCountsTargetsOfAllFiles) {
  const Directory dir;
  dir.write("lagwatch.yml", "haproxy: [{ sockets: /1 }]\n");
  dir.write("conf.d/a.yml", "haproxy: [{ name: lb2, sockets: /2 }]\n");
  EXPECT_EQ(dir.load().errors,
            Lines{dir.path("lagwatch.yml") + ":1:11: name is required where there are several"});
}

TEST(Config, MissingMainFileIsAnErrorBesideThoseOfConfD) {
  const Directory dir;
  dir.write("conf.d/a.yml", "site: [x]\n");
  EXPECT_EQ(dir.load().errors,
            (Lines{dir.path("lagwatch.yml") + ":1:1: cannot be read: No such file or directory",
                   dir.path("conf.d/a.yml") + ":1:7: site must be a text, not a list"}));
}

TEST(Config, DirectoryAsMainFileIsAnError) {
  const Directory dir;
  fs::create_directory(dir.path("lagwatch.yml"));
  EXPECT_EQ(dir.load().errors,
            Lines{dir.path("lagwatch.yml") + ":1:1: is a directory, not a file"});
}

TEST(Config, HugeFileIsRefused) {
  const Directory dir;
  dir.write("lagwatch.yml", std::string((1U << 20U) + 1, '#'));
  EXPECT_EQ(dir.load().errors,
            Lines{dir.path("lagwatch.yml") + ":1:1: is larger than 1048576 bytes"});
  dir.write("lagwatch.yml", std::string(1U << 20U, '#'));
  EXPECT_EQ(dir.load().errors, Lines{});
}

TEST(Config, UnreadableFileNamesUserPermissionAndCommand) {
  const Directory dir;
  dir.write("lagwatch.yml", "site: shop\n");
  fs::permissions(dir.path(""), fs::perms(0755));
  fs::permissions(dir.path("lagwatch.yml"), fs::perms(0));
  if (geteuid() != 0) GTEST_SKIP() << "needs root to be told names";
  const AsNobody nobody;
  const std::string path = dir.path("lagwatch.yml");
  EXPECT_EQ(dir.load().errors, Lines{path +
                                     ":1:1: cannot be read by user nobody: it is root:root 0000; "
                                     "allow it with: setfacl -m u:nobody:r " +
                                     path});
}

TEST(Config, UnsearchableDirectoryIsNamed) {
  const Directory dir;
  dir.write("sub/lagwatch.yml", "site: shop\n");
  fs::permissions(dir.path(""), fs::perms(0755));
  fs::permissions(dir.path("sub"), fs::perms(0700));
  if (geteuid() != 0) GTEST_SKIP() << "needs root to be told names";
  const AsNobody nobody;
  const std::string refusal = ":1:1: cannot be read by user nobody: " + dir.path("sub") +
                              " is root:root 0700; allow it with: setfacl -m u:nobody:x " +
                              dir.path("sub");
  EXPECT_EQ(load_config(dir.path("sub/lagwatch.yml")).errors,
            (Lines{dir.path("sub/lagwatch.yml") + refusal, dir.path("sub/conf.d") + refusal}));
}

TEST(Config, AliasesOfAGigabyteEndQuickly) {
  std::string text = "a: &a [" + std::string(200, ' ') + "x]\n";
  for (int i = 0; i < 100000; ++i) text += "k" + std::to_string(i) + ": *a\n";
  EXPECT_EQ(errors_of(text).size(), 1U);
  EXPECT_NE(errors_of(text).front().find("more than 100000 values"), std::string::npos);
}

TEST(Config, ManyErrorsAreCut) {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += "k" + std::to_string(i) + ": 1\n";
  const Lines errors = errors_of(text);
  ASSERT_EQ(errors.size(), 1001U);
  EXPECT_EQ(errors.back(), "c.yml:1001:1: and 2000 more errors");
}

TEST(Config, ABigFileOfAnythingEnds) {
  for (const std::string piece :
       {"[",   "{",   "- ", "? ",  "\"",    "'",  "a: ",       "a: b\n",    "[a,",     "&a ", "*a ",
        "!a ", "|\n", "\n", "#\n", "a\n\n", "a,", "- - - a\n", "a: &a a\n", "\"a\": ", "%a\n"}) {
    for (const std::string start : {"", "k: ", "k: [", "k: \""}) {
      std::string text = start;
      while (text.size() < (1U << 17U)) text += piece;
      text.resize(1U << 17U);
      (void)errors_of(text);
    }
  }
}

TEST(Config, TruncationsNeverCrash) {
  const std::string text = read_all(data("full.good.yml"));
  for (size_t size = 0; size <= text.size(); ++size) (void)errors_of(text.substr(0, size));
}

TEST(Config, GarbageNeverCrashes) {
  std::mt19937 random(20170321);
  const std::string good = read_all(data("full.good.yml"));
  constexpr std::string_view kPieces[] = {"\n",  "  ", ": ",   "- ", "[", "]",    "{",  "}", "&a ",
                                          "*a",  "\"", "'",    "!!", "|", "\xff", "\t", "#", "---",
                                          "...", "%",  "<<: ", ",",  "?", "@",    "\r", "0"};
  const auto pick = [&](size_t below) {
    return std::uniform_int_distribution<size_t>(0, below - 1)(random);
  };
  for (int round = 0; round < 4000; ++round) {
    std::string text = round % 4 == 0 ? std::string() : good;
    for (size_t edits = pick(12) + 1; edits > 0; --edits) {
      const size_t at = pick(text.size() + 1);
      if (pick(3) == 0) {
        text.erase(at, pick(20));
      } else {
        text.insert(at, kPieces[pick(std::size(kPieces))]);
      }
    }
    for (const std::string& line : errors_of(text)) {
      ASSERT_TRUE(line.starts_with("c.yml:")) << line;
      ASSERT_EQ(clean_utf8(line, line.size()), line);
    }
  }
}

}  // namespace
}  // namespace lagwatch
