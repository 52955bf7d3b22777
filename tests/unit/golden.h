// SPDX-License-Identifier: Apache-2.0
// Golden data for collectors: replies in, exposition out, compared with what is kept beside the
// replies.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cli/session.h"
#include "expose/exposition.h"
#include "paths.h"

namespace lagwatch::golden {

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

inline std::filesystem::path data(const std::string& name) {
  return std::filesystem::path(kTestData) / name;
}

// The moment golden data is collected at.
inline Moment moment(double offset_seconds = 0) {
  return {Instant(std::chrono::hours(1000)) + from_seconds(offset_seconds),
          WallTime(std::chrono::seconds(1795352000)) + from_seconds(offset_seconds)};
}

// All samples of `output` as the target "t" would expose them, without lagwatch's own; HELP and
// TYPE left out.
inline std::string samples(std::shared_ptr<const Output> output, const Moment& now,
                           const Kind& kind) {
  auto view = std::make_shared<TargetView>();
  view->info = std::make_shared<const TargetInfo>(TargetInfo{&kind, "t", "target=\"t\""});
  CollectorView& collector = view->collectors.emplace_back();
  collector.output = std::move(output);
  collector.expires_at = now.steady + std::chrono::seconds(1);
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->targets.push_back(view);
  const Catalog catalog(all_schemas());
  ExpositionSource source(catalog, snapshot, now, {});
  const std::string text = read_all(source);
  std::string out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin) + 1;
    if (text[begin] != '#') out += text.substr(begin, end - begin);
    begin = end;
  }
  return out;
}

inline std::set<std::string> lines(const std::string& text) {
  std::set<std::string> out;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = text.find('\n', begin);
    if (end == std::string::npos) end = text.size();
    out.insert(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

// Compares with a file, or writes it where LAGWATCH_UPDATE_GOLDEN is set.
inline void expect_golden(const std::filesystem::path& file, const std::string& actual) {
  if (std::getenv("LAGWATCH_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(file, std::ios::binary) << actual;
    return;
  }
  ASSERT_TRUE(std::filesystem::exists(file)) << file << " is missing; see its README";
  const std::set<std::string> wanted = lines(read_file(file));
  const std::set<std::string> got = lines(actual);
  for (const std::string& line : wanted)
    EXPECT_TRUE(got.contains(line)) << file << ": missing " << line;
  for (const std::string& line : got)
    EXPECT_TRUE(wanted.contains(line)) << file << ": unexpected " << line;
}

}  // namespace lagwatch::golden
