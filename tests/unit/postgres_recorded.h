// SPDX-License-Identifier: Apache-2.0
// What a real PostgreSQL answered to each collector's statements, as files: read, written,
// replayed. tests/data/postgres/README.md describes the form.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "collector/postgres.h"
#include "golden.h"

namespace lagwatch::postgres_recorded {

namespace fs = std::filesystem;

// Answers by the text of their statement.
using Answers = std::map<std::string, SqlAnswer>;
// One word of a case: "heartbeat", "wall" and the like.
using Words = std::map<std::string, std::string>;

inline std::vector<std::string> split(const std::string& line, char by) {
  std::vector<std::string> out(1);
  for (const char c : line) {
    if (c == by) {
      out.emplace_back();
    } else {
      out.back() += c;
    }
  }
  return out;
}

// As COPY writes it: a tab, a line end and a backslash escaped; \N alone is NULL.
inline std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\t') {
      out += "\\t";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\\') {
      out += "\\\\";
    } else {
      out += c;
    }
  }
  return out;
}

inline std::string unescaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
    } else {
      const char next = text[++i];
      out += next == 't' ? '\t' : next == 'n' ? '\n' : next;
    }
  }
  return out;
}

inline std::string format(const std::string& text, const SqlAnswer& answer) {
  std::string out = "statement\t" + escaped(text) + "\n";
  if (answer.error)
    return out + "error\t" + answer.error->sqlstate + "\t" + escaped(answer.error->message) + "\n";
  if (answer.affected > 0 && answer.rows.columns().empty())
    return out + "affected\t" + std::to_string(answer.affected) + "\n";
  out += "columns";
  for (const std::string& column : answer.rows.columns()) out += "\t" + column;
  out += "\n";
  for (size_t row = 0; row < answer.rows.size(); ++row) {
    out += "row";
    for (size_t column = 0; column < answer.rows.columns().size(); ++column) {
      out += "\t" + (answer.rows.is_null(row, column) ? std::string("\\N")
                                                      : escaped(answer.rows.text(row, column)));
    }
    out += "\n";
  }
  return out;
}

// Adds the answers of one collector's file; `base` has what all have in common.
inline void parse(const fs::path& file, const SqlAnswer& base, Answers& answers) {
  SqlAnswer* answer = nullptr;
  for (const std::string& line : split(golden::read_file(file), '\n')) {
    std::vector<std::string> parts = split(line, '\t');
    const std::string word = parts[0];
    parts.erase(parts.begin());
    if (word == "statement") {
      answer = &answers.insert_or_assign(unescaped(parts.at(0)), base).first->second;
    } else if (word == "error") {
      answer->error = SqlError{parts.at(0), unescaped(parts.at(1))};
    } else if (word == "affected") {
      answer->affected = std::stoull(parts.at(0));
    } else if (word == "columns") {
      answer->rows = Rows(parts);
    } else if (word == "row") {
      for (const std::string& cell : parts) {
        if (cell == "\\N") {
          answer->rows.add_null();
        } else {
          answer->rows.add(unescaped(cell));
        }
      }
    } else {
      EXPECT_EQ(word, "") << file;
    }
  }
}

inline Words read_words(const fs::path& file) {
  Words words;
  for (const std::string& line : split(golden::read_file(file), '\n')) {
    const size_t tab = line.find('\t');
    if (tab != std::string::npos) words[line.substr(0, tab)] = unescaped(line.substr(tab + 1));
  }
  return words;
}

inline std::string word(const Words& words, const std::string& name) {
  const auto found = words.find(name);
  return found == words.end() ? "" : found->second;
}

inline std::unique_ptr<State> state_of(const Words& words, const std::string& dsn) {
  PostgresOptions options;
  options.dsn = dsn;
  options.host = "db1";
  options.port = "5432";
  options.heartbeat.table = word(words, "heartbeat");
  options.heartbeat.write = word(words, "heartbeat_write") == "yes";
  return make_postgres_state(std::move(options));
}

inline std::string text_for(const SqlAsk& ask, int version) {
  std::string found;
  for (const Sql& sql : ask.texts) {
    if (sql.since <= version) found = sql.text;
  }
  return found;
}

// Collectors that ask the server. postgres_files asks the host.
inline std::vector<const Collector*> askers() {
  std::vector<const Collector*> out;
  for (const Collector* one : collectors()) {
    if (one->kind == &kPostgresKind && one->name != "postgres_files") out.push_back(one);
  }
  return out;
}

// Replies to what one collector asks, in order.
using Answerer = std::function<std::vector<Reply>(const Collector&, const Asks&)>;

// One exchange of every collector; what they say, in one Output.
inline void exchange(State& state, const Answerer& answer, const Moment& now, Output& all) {
  for (const Collector* one : askers()) {
    Output output(all.base);
    Asks asks = one->begin(state);
    for (int step = 0; step < 5; ++step) {
      std::vector<Reply> replies = answer(*one, asks);
      const Step next = one->read(state, replies, now, output);
      if (const Error* error = std::get_if<Error>(&next))
        output.limit({error->reason, "FAILED: " + error->message, error->fix});
      if (!std::holds_alternative<More>(next)) break;
      asks = std::get<More>(next).asks;
    }
    for (Table& table : output.tables) all.tables.push_back(std::move(table));
    for (Error& limit : output.limits) {
      limit.message = std::string(one->name) + ": " + limit.message;
      all.limit(std::move(limit));
    }
    all.series_dropped += output.series_dropped;
  }
}

}  // namespace lagwatch::postgres_recorded
