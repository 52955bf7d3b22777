// SPDX-License-Identifier: Apache-2.0
// Every recorded PostgreSQL, version by version: what the collectors make of it.
#include <gtest/gtest.h>

#include <algorithm>

#include "postgres_recorded.h"

namespace lagwatch {
namespace {

using namespace postgres_recorded;  // NOLINT: a test's own helpers

struct Recorded {
  Words words;
  SqlAnswer base;
  Answers answers;
  Moment now;
};

Recorded load(const fs::path& directory) {
  Recorded out;
  out.words = read_words(directory / "case.tsv");
  out.base.server_version = std::stoi(word(out.words, "server_version"));
  out.base.connection = 1;
  out.base.role = word(out.words, "role");
  out.base.system_identifier = word(out.words, "system_identifier");
  out.base.identify_problem = word(out.words, "identify_problem");
  out.now = {golden::moment().steady, WallTime(from_seconds(std::stod(word(out.words, "wall"))))};
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.path().filename() != "case.tsv" && entry.path().extension() == ".tsv")
      parse(entry.path(), out.base, out.answers);
  }
  return out;
}

std::vector<Reply> replay(const Recorded& recorded, const Collector& collector, const Asks& asks) {
  std::vector<Reply> replies;
  for (const Ask& ask : asks) {
    const std::string text = text_for(std::get<SqlAsk>(ask), recorded.base.server_version);
    if (text.empty()) {
      SqlAnswer none = recorded.base;
      none.supported = false;
      replies.emplace_back(Answer{.sql = none});
      continue;
    }
    const auto found = recorded.answers.find(text);
    if (found == recorded.answers.end()) {
      ADD_FAILURE() << collector.name << " asks what was not recorded (see "
                    << "tests/data/postgres/README.md): " << text;
      replies.emplace_back(Error{Reason::kProtocol, "not recorded", {}});
      continue;
    }
    replies.emplace_back(Answer{.sql = found->second});
  }
  return replies;
}

// The second exchange, 5 s after the first: what is known by then.
std::shared_ptr<Output> collect(const fs::path& directory) {
  const Recorded recorded = load(directory);
  const auto state = state_of(recorded.words, "host=db1");
  const auto answer = [&](const Collector& collector, const Asks& asks) {
    return replay(recorded, collector, asks);
  };
  Output first("target=\"t\"");
  exchange(*state, answer, recorded.now, first);
  auto second = std::make_shared<Output>("target=\"t\"");
  exchange(*state, answer, {recorded.now.steady + std::chrono::seconds(5), recorded.now.wall},
           *second);
  return second;
}

std::string shown(const std::shared_ptr<Output>& output) {
  std::string out = golden::samples(output, golden::moment(), kPostgresKind);
  for (const Error& limit : output->limits) {
    out += "limit " + std::string(reason_name(limit.reason)) + ": " + limit.message + " | " +
           limit.fix + "\n";
  }
  if (output->series_dropped > 0) out += "dropped " + std::to_string(output->series_dropped) + "\n";
  return out;
}

std::vector<fs::path> cases() {
  std::vector<fs::path> out;
  for (const auto& entry : fs::recursive_directory_iterator(golden::data("postgres"))) {
    if (entry.path().filename() == "case.tsv") out.push_back(entry.path().parent_path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

class PostgresGolden : public testing::TestWithParam<fs::path> {};

TEST_P(PostgresGolden, GivesTheExpectedSamples) {
  golden::expect_golden(GetParam() / "expected.txt", shown(collect(GetParam())));
}

TEST_P(PostgresGolden, NoSeriesTwice) {
  const std::string text = golden::samples(collect(GetParam()), golden::moment(), kPostgresKind);
  std::set<std::string> known;
  for (const std::string& line : split(text, '\n')) {
    if (line.empty()) continue;
    EXPECT_TRUE(known.insert(line.substr(0, line.rfind(' '))).second) << line;
    EXPECT_FALSE(line.ends_with(" NaN")) << line;
  }
}

std::string case_name(const testing::TestParamInfo<fs::path>& recorded) {
  std::string name = fs::relative(recorded.param, golden::data("postgres")).string();
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Recorded, PostgresGolden, testing::ValuesIn(cases()), case_name);

}  // namespace
}  // namespace lagwatch
