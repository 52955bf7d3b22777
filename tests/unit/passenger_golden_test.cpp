// SPDX-License-Identifier: Apache-2.0
// Every recorded Passenger: what the collectors make of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "base/text.h"
#include "expose/inflight.h"
#include "passenger_scene.h"

namespace lagwatch {
namespace {

using namespace passenger_scene;  // NOLINT: a test's own helpers
namespace fs = std::filesystem;

WallTime wall_of(const fs::path& directory) {
  const std::string text = golden::read_file(directory / "case.tsv");
  return WallTime(from_seconds(std::stod(text.substr(text.find("wall\t") + 5))));
}

std::string read_if_there(const fs::path& path, const std::string& otherwise = {}) {
  return fs::exists(path) ? golden::read_file(path) : otherwise;
}

const std::vector<RouteRule> kRoutes = {
    {.name = "search", .match = "^/search", .query_param = "q", .short_below = 3}};

// What a case is asked for.
struct Recorded {
  PassengerOptions options;
  Answers answers;
};

Recorded from_files(const fs::path& directory) {
  Recorded out;
  out.options.status_file = directory / "status.xml";
  if (fs::exists(directory / "requests.txt"))
    out.options.requests_file = directory / "requests.txt";
  out.answers = [](const Ask& ask) -> Reply {
    Answer answer;
    answer.body = golden::read_file(std::get<FileAsk>(ask).path);
    return answer;
  };
  return out;
}

Recorded from_api(const fs::path& directory, const std::shared_ptr<Scene>& scene) {
  if (fs::exists(directory / "old_properties.json")) {
    Instance& old = scene->add("old", 1);
    old.properties = golden::read_file(directory / "old_properties.json");
    old.failure = Error{Reason::kHung, "no answer in time", {}};
    old.watchdog_failure = Error{Reason::kRefused, "nobody listens", {}};
  }
  Instance& one = scene->add("new", 2);
  one.properties = read_if_there(directory / "properties.json");
  for (const std::string name : {"/pool.xml", "/pool.json", "/server.json"}) {
    if (fs::exists(directory / name.substr(1)))
      one.bodies[name] = golden::read_file(directory / name.substr(1));
  }
  one.bodies["/config.json"] = R"({"default_max_request_queue_size":{"effective_value":100}})";
  Recorded out;
  out.options.registry = "/run/reg";
  out.answers = [scene](const Ask& ask) { return scene->answer(ask); };
  return out;
}

void append_inflight(std::string& out, const Inflight& inflight) {
  for (const InflightRequest& one : inflight.requests) {
    out += "inflight " + std::string(request_state_name(one.state)) + " age=";
    append_double(out, one.age.value_or(-1));
    out += " route=" + one.route + " method=" + one.method + " path=" + one.path +
           " group=" + one.group + " pid=" + std::to_string(one.pid) +
           (one.abandoned ? " abandoned" : "") + (one.short_query ? " short" : "") + "\n";
  }
}

// The second exchange, 5 s after the first: what is known by then.
std::string shown(const fs::path& directory) {
  const auto scene = std::make_shared<Scene>();
  Recorded recorded =
      fs::exists(directory / "status.xml") ? from_files(directory) : from_api(directory, scene);
  recorded.options.routes = kRoutes;
  const auto state = make_passenger_state(recorded.options);
  std::string out;
  for (const double offset : {0.0, 5.0}) {
    const Moment now{golden::moment(offset).steady, wall_of(directory)};
    out.clear();
    for (const Collector* collector : {&passenger_pool, &passenger_settings, &passenger_requests}) {
      auto output = std::make_shared<Output>("target=\"t\"");
      const auto error = exchange(*collector, *state, recorded.answers, now, *output);
      if (error) {
        out += "error " + error->message + " | " + error->fix + "\n";
        continue;
      }
      out += golden::samples(output, golden::moment(), kPassengerKind);
      for (const Error& limit : output->limits) out += "limit " + limit.message + "\n";
      if (output->inflight) append_inflight(out, *output->inflight);
    }
  }
  return out;
}

std::vector<fs::path> cases() {
  std::vector<fs::path> out;
  for (const auto& entry : fs::recursive_directory_iterator(golden::data("passenger"))) {
    if (entry.path().filename() == "case.tsv") out.push_back(entry.path().parent_path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

class PassengerGolden : public testing::TestWithParam<fs::path> {};

TEST_P(PassengerGolden, GivesTheExpectedSamples) {
  golden::expect_golden(GetParam() / "expected.txt", shown(GetParam()));
}

TEST_P(PassengerGolden, NoSeriesTwice) {
  std::set<std::string> known;
  const std::string text = shown(GetParam());
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    if (!line.starts_with("passenger_")) continue;
    EXPECT_TRUE(known.insert(line.substr(0, line.rfind(' '))).second) << line;
    EXPECT_FALSE(line.ends_with(" NaN")) << line;
  }
}

// Query strings hold what people search for, tokens, addresses.
TEST_P(PassengerGolden, NoQueryStringAnywhere) {
  const std::string text = shown(GetParam());
  for (const std::string word :
       {"?", "q=", "red+shoes", "red shoes", "seconds=", "replaced", "api"})
    EXPECT_EQ(text.find(word), std::string::npos) << word;
}

std::string case_name(const testing::TestParamInfo<fs::path>& recorded) {
  std::string name = fs::relative(recorded.param, golden::data("passenger")).string();
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Recorded, PassengerGolden, testing::ValuesIn(cases()), case_name);

}  // namespace
}  // namespace lagwatch
