// SPDX-License-Identifier: Apache-2.0
// Collectors of PostgreSQL without a server: answers made by hand, samples by name.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "collector/postgres.h"
#include "golden.h"

namespace lagwatch::postgres_fake {

inline const Collector& collector(std::string_view name) {
  for (const Collector* one : collectors()) {
    if (one->name == name) return *one;
  }
  std::abort();
}

inline constexpr const char* kNull = nullptr;

// One answer: columns, then rows of as many cells.
inline SqlAnswer rows(int version, std::vector<std::string> columns,
                      std::initializer_list<const char*> cells) {
  SqlAnswer answer;
  answer.server_version = version;
  answer.connection = 1;
  answer.rows = Rows(std::move(columns));
  for (const char* cell : cells) {
    if (cell == nullptr) {
      answer.rows.add_null();
    } else {
      answer.rows.add(cell);
    }
  }
  return answer;
}

inline SqlAnswer failure(int version, std::string sqlstate, std::string message) {
  SqlAnswer answer;
  answer.server_version = version;
  answer.error = SqlError{std::move(sqlstate), std::move(message)};
  return answer;
}

inline SqlAnswer unsupported(int version) {
  SqlAnswer answer;
  answer.server_version = version;
  answer.supported = false;
  return answer;
}

inline Reply reply(SqlAnswer answer) { return Answer{.sql = std::move(answer)}; }

// A target's State, and what one collector makes of answers.
class Server {
 public:
  explicit Server(PostgresOptions options = {}) : state(make_postgres_state(std::move(options))) {}

  PostgresState& get() { return postgres_state(*state); }
  void primary(int version = 150018, uint64_t lsn = 0x3000000) {
    get().version = version;
    get().in_recovery = false;
    get().timeline = 1;
    get().current_lsn = lsn;
  }
  void standby(int version = 150018) {
    get().version = version;
    get().in_recovery = true;
    get().timeline.reset();
    get().current_lsn.reset();
  }

  Step read(std::string_view name, std::vector<SqlAnswer> answers, Moment now = golden::moment()) {
    std::vector<Reply> replies;
    for (SqlAnswer& one : answers) replies.push_back(reply(std::move(one)));
    return read_replies(name, std::move(replies), now);
  }
  Step read_replies(std::string_view name, std::vector<Reply> replies,
                    Moment now = golden::moment()) {
    output = std::make_shared<Output>("target=\"t\"");
    at = now;
    return collector(name).read(*state, replies, now, *output);
  }

  // "name{labels}" without the label target, and its value as it is written.
  std::map<std::string, std::string> samples() const {
    std::map<std::string, std::string> out;
    for (std::string line : golden::lines(golden::samples(output, at, kPostgresKind))) {
      if (line.empty()) continue;
      for (const std::string label : {"target=\"t\",", "{target=\"t\"}"}) {
        if (const size_t found = line.find(label); found != std::string::npos)
          line.erase(found, label.size());
      }
      const size_t space = line.rfind(' ');
      EXPECT_TRUE(out.emplace(line.substr(0, space), line.substr(space + 1)).second)
          << "twice: " << line;
    }
    return out;
  }
  std::string sample(const std::string& series) const {
    const auto all = samples();
    const auto found = all.find(series);
    return found == all.end() ? "absent" : found->second;
  }

  // The text for `version` of each ask.
  static std::vector<std::string> texts(const Asks& asks, int version) {
    std::vector<std::string> out;
    for (const Ask& ask : asks) {
      if (!std::holds_alternative<SqlAsk>(ask)) continue;
      std::string found;
      for (const Sql& sql : std::get<SqlAsk>(ask).texts) {
        if (sql.since <= version) found = sql.text;
      }
      out.push_back(found);
    }
    return out;
  }
  std::vector<std::string> begin(std::string_view name) {
    return texts(collector(name).begin(*state), get().version);
  }

  std::unique_ptr<State> state;
  std::shared_ptr<Output> output;
  Moment at{};
};

}  // namespace lagwatch::postgres_fake
