// SPDX-License-Identifier: Apache-2.0
// The include rules and the list of banned functions, as greps over the sources.
#include <gtest/gtest.h>
#include <re2/re2.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "golden.h"

namespace lagwatch {
namespace {

namespace fs = std::filesystem;

const fs::path kRoot = fs::path(kSourceDirectory) / "exporter";

// What a directory may include of ours, beside itself.
const std::map<std::string, std::set<std::string>> kMayInclude = {
    {"base", {}},
    {"model", {"base"}},
    {"client", {"base", "model"}},
    {"collector", {"base", "model", "client/ask.h", "client/reply.h"}},
    {"join", {"base", "model"}},
    {"scrape", {"base", "model", "client", "collector", "join"}},
    {"expose", {"base", "model"}},
    {"push", {"base", "model", "client"}},
    {"alert", {"base", "model", "client"}},
    {"discover", {"base", "client"}},
    {"config", {"base", "collector", "scrape", "client", "discover", "expose", "push", "alert"}},
    {"cli",
     {"base", "model", "client", "collector", "join", "scrape", "expose", "push", "alert",
      "discover", "config"}},
};

// Headers of libraries that only one directory may know.
const std::map<std::string, std::set<std::string>> kOnlyIn = {
    {"libpq-fe.h", {"client"}},
    {"curl/curl.h", {"client"}},
    {"sys/epoll.h", {"client", "expose"}},
    {"microhttpd.h", {"expose"}},
    {"yaml-cpp/yaml.h", {"config"}},
    {"CLI/CLI.hpp", {"cli"}},
};

struct Source {
  std::string directory;  // of exporter/: "base", "client", ...; empty for main.cpp
  std::string name;
  std::string text;
};

std::vector<Source> sources() {
  std::vector<Source> out;
  for (const auto& entry : fs::recursive_directory_iterator(kRoot)) {
    const std::string extension = entry.path().extension();
    if (extension != ".cpp" && extension != ".h") continue;
    const fs::path relative = fs::relative(entry.path(), kRoot);
    const std::string directory = relative.has_parent_path() ? relative.begin()->string() : "";
    out.push_back({directory, relative.string(), golden::read_file(entry.path())});
  }
  return out;
}

// The first group of each match.
std::vector<std::string> matches(const std::string& text, const RE2& pattern) {
  std::vector<std::string> out;
  re2::StringPiece rest(text);
  for (std::string match; RE2::FindAndConsume(&rest, pattern, &match);) out.push_back(match);
  return out;
}

// "haproxy_stat.h" belongs to the collector haproxy, as do haproxy.cpp and haproxy_backend.cpp.
std::string collector_of(const std::string& file) {
  const std::string stem = fs::path(file).stem();
  return stem.substr(0, stem.find('_'));
}

TEST(Layering, IncludesFollowTheRules) {
  for (const Source& source : sources()) {
    if (source.directory.empty()) continue;
    ASSERT_TRUE(kMayInclude.contains(source.directory))
        << source.name << " is in a directory without a rule";
    const std::set<std::string>& allowed = kMayInclude.at(source.directory);
    for (const std::string& header : matches(source.text, R"x(#include "([^"]+)")x")) {
      const std::string directory = header.substr(0, header.find('/'));
      if (directory == source.directory) continue;
      EXPECT_TRUE(allowed.contains(directory) || allowed.contains(header))
          << source.name << " includes " << header;
    }
  }
}

TEST(Layering, CollectorsDoNotIncludeEachOther) {
  for (const Source& source : sources()) {
    if (source.directory != "collector") continue;
    for (const std::string& header : matches(source.text, R"x(#include "collector/([^"]+)")x")) {
      if (header == "collector.h") continue;
      EXPECT_EQ(collector_of(header), collector_of(source.name))
          << source.name << " includes " << header;
    }
  }
}

TEST(Layering, LibrariesStayWhereTheyBelong) {
  for (const Source& source : sources()) {
    for (const std::string& header : matches(source.text, "#include <([^>]+)>")) {
      const auto rule = kOnlyIn.find(header);
      if (rule == kOnlyIn.end()) continue;
      EXPECT_TRUE(rule->second.contains(source.directory)) << source.name << " includes " << header;
    }
  }
}

TEST(Layering, CollectorsAndJoinsDoNoInputOutput) {
  const RE2 banned(
      R"((<(?:sys/socket\.h|sys/epoll\.h|fcntl\.h|unistd\.h|fstream|thread|sys/stat\.h)>|\bnow\(\)|base/log\.h|steady_clock::now))");
  for (const Source& source : sources()) {
    if (source.directory != "collector" && source.directory != "join" &&
        source.directory != "model")
      continue;
    for (const std::string& match : matches(source.text, banned))
      ADD_FAILURE() << source.name << ": " << match;
  }
}

TEST(Layering, NothingBannedIsCalled) {
  // Locale, unbounded, blocking or slow: the house has something better for each.
  const RE2 banned(
      R"(\b((?:strtod|strtol|strtoul|atoi|atof|sprintf|vsprintf|std::stoi|std::stod|std::stol|system|popen|gethostbyname|sleep|usleep|sleep_for|std::regex|std::async)\s*\())");
  const RE2 resolves(R"(\b(getaddrinfo\s*\())");
  for (const Source& source : sources()) {
    for (const std::string& match : matches(source.text, banned))
      ADD_FAILURE() << source.name << ": " << match;
    if (source.name == "client/resolver.cpp") continue;
    for (const std::string& match : matches(source.text, resolves))
      ADD_FAILURE() << source.name << ": " << match;
  }
}

TEST(Layering, HeadersSayWhatTheyAre) {
  for (const Source& source : sources()) {
    EXPECT_TRUE(source.text.starts_with("// SPDX-License-Identifier: Apache-2.0\n")) << source.name;
    if (source.name.ends_with(".h")) {
      EXPECT_NE(source.text.find("#pragma once"), std::string::npos) << source.name;
      EXPECT_TRUE(source.text.substr(source.text.find('\n') + 1).starts_with("// ")) << source.name;
    }
  }
}

}  // namespace
}  // namespace lagwatch
