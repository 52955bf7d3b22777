// SPDX-License-Identifier: Apache-2.0
// What discovery says of hosts as they are: scenes in tests/data/discover.
#include "discover/discover.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "as_nobody.h"
#include "base/account.h"
#include "config/config.h"
#include "discover/haproxy_processes.h"
#include "discover_host.h"
#include "paths.h"

namespace lagwatch {
namespace {

using namespace made_up;

std::vector<fs::path> scenes() {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(fs::path(kTestData) / "discover")) {
    if (entry.is_directory()) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size()) {
    text.replace(at, what.size(), with);
  }
  return text;
}

TEST(Discover, EveryHostAsExpected) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to own files";
  const auto found = scenes();
  ASSERT_GT(found.size(), 20U);
  for (const fs::path& scene : found) {
    Host host;
    std::istringstream lines(read_all(scene / "scene"));
    for (std::string line; std::getline(lines, line);) host.add(line, scene);
    std::string yaml;
    {
      const AsNobody nobody;
      yaml = replaced(to_yaml(host.discover()), host.root(), "@ROOT@");
    }
    if (std::getenv("LAGWATCH_UPDATE_GOLDEN") != nullptr) write_all(scene / "expected.yml", yaml);
    EXPECT_EQ(yaml, read_all(scene / "expected.yml")) << scene.filename();
  }
}

TEST(Discover, OutputIsAConfigurationThatIsAccepted) {
  const bool knows_postgres = parse_config("x.yml", "postgres: []\n").errors.empty();
  for (const fs::path& scene : scenes()) {
    Host host;
    std::istringstream lines(read_all(scene / "scene"));
    for (std::string line; std::getline(lines, line);) host.add(line, scene);
    const Discovery found = host.discover();
    if (!found.postgres.empty() && !knows_postgres) continue;
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

TEST(Account, ShellWordsAreQuotedWhereNeeded) {
  EXPECT_EQ(shell_word("/etc/haproxy.cfg"), "/etc/haproxy.cfg");
  EXPECT_EQ(shell_word("a b"), "'a b'");
  EXPECT_EQ(shell_word("a'b"), "'a'\\''b'");
  EXPECT_EQ(shell_word(""), "''");
}

}  // namespace
}  // namespace lagwatch
