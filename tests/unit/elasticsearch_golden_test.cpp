// SPDX-License-Identifier: Apache-2.0
// Every recorded Elasticsearch, version by version: what the collectors make of it.
#include <gtest/gtest.h>

#include <algorithm>

#include "elasticsearch_replies.h"

namespace lagwatch {
namespace {

using namespace elasticsearch_replies;  // NOLINT: a test's own helpers

std::vector<fs::path> cases() {
  std::vector<fs::path> out;
  for (const auto& entry : fs::recursive_directory_iterator(golden::data("elasticsearch"))) {
    if (entry.path().filename() == "root.json") out.push_back(entry.path().parent_path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::string case_name(const testing::TestParamInfo<fs::path>& recorded) {
  std::string name = fs::relative(recorded.param, golden::data("elasticsearch")).string();
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
}

class ElasticsearchGolden : public testing::TestWithParam<fs::path> {
 protected:
  Server server_{recorded(GetParam()), {.probe_index = "products"}};
};

TEST_P(ElasticsearchGolden, GivesTheExpectedSamples) {
  std::string all;
  for (const std::string_view name :
       {"elasticsearch", "elasticsearch_tasks", "elasticsearch_probe", "elasticsearch_routes"})
    all += server_.samples(name);
  // It is long, and little of it differs by case.
  if (GetParam().filename() == "idle") all += server_.samples("elasticsearch_detail");
  golden::expect_golden(GetParam() / "expected.txt", all);
}

// The requests ask for all that the columns read: each family that the whole answer gives is in the
// filtered one too.
TEST_P(ElasticsearchGolden, TheFilterLeavesOutNothingThatIsRead) {
  const auto families = [](const std::string& samples) {
    std::set<std::string> out;
    for (const std::string& line : golden::lines(samples))
      out.insert(line.substr(0, line.find('{')));
    return out;
  };
  const auto filtered = families(server_.samples("elasticsearch"));
  Server whole([&](const std::string& path) {
    const bool nodes = file_of(path) == "nodes.json";
    return recorded(GetParam())(nodes ? "/whole" : path);
  });
  // Not recorded with the filtered answer of today.
  const std::set<std::string> later = {"elasticsearch_breakers_overhead",
                                       "elasticsearch_jvm_memory_pool_max_bytes",
                                       "elasticsearch_jvm_memory_pool_peak_max_bytes",
                                       "elasticsearch_jvm_memory_pool_peak_used_bytes"};
  for (const std::string& name : families(whole.samples("elasticsearch")))
    EXPECT_TRUE(filtered.contains(name) || later.contains(name)) << name;
}

INSTANTIATE_TEST_SUITE_P(Recorded, ElasticsearchGolden, testing::ValuesIn(cases()), case_name);

}  // namespace
}  // namespace lagwatch
