// SPDX-License-Identifier: Apache-2.0
// Every recorded HAProxy, version by version: what the collector makes of it, and whether HAProxy's
// own exporter says the same.
#include <gtest/gtest.h>

#include <map>

#include "collector/haproxy.h"
#include "golden.h"

namespace lagwatch {
namespace {

namespace fs = std::filesystem;

const Collector& haproxy_collector() {
  for (const Collector* collector : collectors()) {
    if (collector->name == "haproxy") return *collector;
  }
  std::abort();
}

std::string collect(const fs::path& directory) {
  const auto state = make_haproxy_state({.sockets = {"/s"}});
  auto output = std::make_shared<Output>("target=\"t\"");
  std::vector<Reply> replies;
  replies.emplace_back(Answer{golden::read_file(directory / "show_info.txt") +
                                  golden::read_file(directory / "show_stat.csv"),
                              {}});
  const Step step = haproxy_collector().read(*state, replies, golden::moment(), *output);
  EXPECT_TRUE(std::holds_alternative<Done>(step)) << directory;
  return golden::samples(output, golden::moment(), kHaproxyKind);
}

std::vector<fs::path> cases() {
  std::vector<fs::path> out;
  for (const auto& entry : fs::recursive_directory_iterator(golden::data("haproxy"))) {
    if (entry.path().filename() == "show_stat.csv") out.push_back(entry.path().parent_path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

class HaproxyGolden : public testing::TestWithParam<fs::path> {};

TEST_P(HaproxyGolden, GivesTheExpectedSamples) {
  golden::expect_golden(GetParam() / "expected.txt", collect(GetParam()));
}

// "name{labels} value" as name{labels} and value, without the label `target`.
std::pair<std::string, std::string> split(std::string line) {
  for (const std::string label : {"target=\"t\",", "{target=\"t\"}"}) {
    if (const size_t at = line.find(label); at != std::string::npos) line.erase(at, label.size());
  }
  const size_t space = line.rfind(' ');
  return {line.substr(0, space), line.substr(space + 1)};
}

// What the native exporter says a moment later than the socket, so that values may have moved on.
bool moves(const std::string& series) {
  return series.starts_with("haproxy_process_") ||
         series.find("proxy=\"promex\"") != std::string::npos ||
         series.find("proxy=\"px\"") != std::string::npos ||
         series.find("last_change") != std::string::npos ||
         series.find("downtime") != std::string::npos ||
         series.find("_rate") != std::string::npos ||
         series.find("check_duration") != std::string::npos;
}

// Said by the native exporter alone: nothing on the socket says it.
bool has_no_source(const std::string& series) {
  return series.starts_with("haproxy_sticktable_") || series.starts_with("haproxy_resolver_") ||
         // 0 where the cell is empty, because the check did not get as far as a code.
         series.starts_with("haproxy_server_check_code") ||
         // A server in maintenance: its check cells are empty, and this version counts it all the
         // same.
         series.starts_with("haproxy_backend_agg_check_status{proxy=\"b_http\",state=\"L7OK\"}") ||
         series.starts_with(
             "haproxy_server_check_duration_seconds{proxy=\"b_http\",server=\"ag_maint\"}");
}

TEST_P(HaproxyGolden, AgreesWithTheNativeExporter) {
  const fs::path native = GetParam() / "native.txt";
  if (!fs::exists(native)) return;  // of versions without one, and cases recorded without it
  std::map<std::string, std::string> ours;
  for (const std::string& line : golden::lines(collect(GetParam()))) ours.insert(split(line));
  // Requests go on between the two answers: only the names are compared, and the states.
  const bool traffic = GetParam().filename() == "queue_web";
  size_t compared = 0;
  for (const std::string& line : golden::lines(golden::read_file(native))) {
    if (line.empty() || line[0] == '#' || line.ends_with(" NaN")) continue;
    const auto [series, value] = split(line);
    if (has_no_source(series)) continue;
    const auto found = ours.find(series);
    ASSERT_NE(found, ours.end()) << "not exposed: " << series;
    if (moves(series) || (traffic && series.find("state=") == std::string::npos)) continue;
    EXPECT_EQ(std::stod(found->second), std::stod(value)) << series;
    ++compared;
  }
  EXPECT_GT(compared, 100U);
}

std::string case_name(const testing::TestParamInfo<fs::path>& recorded) {
  std::string name = fs::relative(recorded.param, golden::data("haproxy")).string();
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Recorded, HaproxyGolden, testing::ValuesIn(cases()), case_name);

}  // namespace
}  // namespace lagwatch
