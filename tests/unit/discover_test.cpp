// SPDX-License-Identifier: Apache-2.0
// What discovery says of hosts as they are: scenes in tests/data/discover.
#include "discover/discover.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "as_nobody.h"
#include "base/account.h"
#include "config/config.h"
#include "discover/haproxy_config.h"
#include "discover/haproxy_processes.h"

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
    const std::string expected = read_all(scene / "expected.yml");  // nobody may not see it
    const AsNobody nobody;
    const std::string yaml = replaced(to_yaml(host.discover()), host.root(), "@ROOT@");
    EXPECT_EQ(yaml, expected) << scene.filename();
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

TEST(Account, ShellWordsAreQuotedWhereNeeded) {
  EXPECT_EQ(shell_word("/etc/haproxy.cfg"), "/etc/haproxy.cfg");
  EXPECT_EQ(shell_word("a b"), "'a b'");
  EXPECT_EQ(shell_word("a'b"), "'a'\\''b'");
  EXPECT_EQ(shell_word(""), "''");
}

}  // namespace
}  // namespace lagwatch
