// SPDX-License-Identifier: Apache-2.0
// Writes golden data: asks a real server everything that the collectors ask. Run by
// tests/lab/pg_record.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <optional>

#include "client/postgres.h"
#include "postgres_recorded.h"

namespace lagwatch {
namespace {

using namespace postgres_recorded;  // NOLINT: a test's own helpers

class Recorder {
 public:
  Recorder(Words words, const std::string& dsn)
      : words_(std::move(words)), state_(state_of(words_, dsn)) {}

  void run() {
    for (int round = 0; round < 3; ++round) {
      const Moment at = now();
      words_["wall"] =
          std::to_string(std::chrono::duration<double>(at.wall.time_since_epoch()).count());
      Output ignored("");
      exchange(
          *state_, [this](const Collector& one, const Asks& asks) { return ask(one, asks); }, at,
          ignored);
    }
  }

  void write(const fs::path& directory) const {
    fs::create_directories(directory);
    for (const auto& entry : fs::directory_iterator(directory)) {
      if (entry.path().extension() == ".tsv") fs::remove(entry.path());
    }
    for (const auto& [name, statements] : files_) {
      std::ofstream out(directory / (name + ".tsv"), std::ios::binary);
      for (const auto& [text, answer] : statements)
        out << (text == statements.front().first ? "" : "\n") << answer;
    }
    std::ofstream out(directory / "case.tsv", std::ios::binary);
    for (const auto& [name, value] : words_) {
      if (!value.empty()) out << name << "\t" << escaped(value) << "\n";
    }
  }

 private:
  std::vector<Reply> ask(const Collector& collector, const Asks& asks) {
    std::vector<std::optional<Reply>> replies(asks.size());
    for (size_t i = 0; i < asks.size(); ++i) {
      client_.ask(
          ++id_, 1, std::get<SqlAsk>(asks[i]), now().steady + std::chrono::seconds(10), [] {},
          [&replies, i](Reply reply) { replies[i].emplace(std::move(reply)); });
    }
    const auto missing = [&] {
      return std::any_of(replies.begin(), replies.end(), [](const auto& one) { return !one; });
    };
    const Instant end = now().steady + std::chrono::seconds(20);
    while (missing() && now().steady < end)
      loop_.run_once(now().steady + std::chrono::milliseconds(50));
    std::vector<Reply> out;
    for (size_t i = 0; i < asks.size(); ++i) {
      out.push_back(replies[i] ? std::move(*replies[i])
                               : Reply(Error{Reason::kHung, "no answer", {}}));
      keep(collector, std::get<SqlAsk>(asks[i]), out.back());
    }
    return out;
  }

  void keep(const Collector& collector, const SqlAsk& ask, const Reply& reply) {
    ASSERT_TRUE(reply.ok()) << collector.name << ": " << reply.error().message;
    const SqlAnswer& answer = *reply->sql;
    words_["server_version"] = std::to_string(answer.server_version);
    words_["role"] = answer.role;
    words_["system_identifier"] = answer.system_identifier;
    words_["identify_problem"] = answer.identify_problem;
    if (!answer.supported) return;
    const std::string text = text_for(ask, answer.server_version);
    auto& statements = files_[std::string(collector.name)];
    const auto known = std::find_if(statements.begin(), statements.end(),
                                    [&](const auto& one) { return one.first == text; });
    if (known != statements.end()) statements.erase(known);
    statements.emplace_back(text, format(text, answer));
  }

  Words words_;
  std::unique_ptr<State> state_;
  // By collector: statements and what was answered, the last answer to each.
  std::map<std::string, std::vector<std::pair<std::string, std::string>>> files_;
  Loop loop_;
  Resolver resolver_{loop_};
  PostgresClient client_{loop_, resolver_};
  AskId id_ = 0;
};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

TEST(PostgresRecord, WritesWhatAServerAnswers) {
  const std::string dsn = environment("LAGWATCH_RECORD_DSN");
  if (dsn.empty()) GTEST_SKIP() << "writes golden data: see tests/data/postgres/README.md";
  Recorder recorder({{"heartbeat", environment("LAGWATCH_RECORD_HEARTBEAT")},
                     {"heartbeat_write", environment("LAGWATCH_RECORD_HEARTBEAT_WRITE")}},
                    dsn);
  recorder.run();
  recorder.write(environment("LAGWATCH_RECORD_DIRECTORY"));
}

}  // namespace
}  // namespace lagwatch
