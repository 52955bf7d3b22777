// SPDX-License-Identifier: Apache-2.0
// The reader of text exposition: one test for each mistake a line can have, and hostile input.
#include "collector/agent_text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "base/text.h"
#include "model/table.h"

namespace lagwatch {
namespace {

struct Read {
  std::vector<std::string> samples;  // name{label=value,...} number
  uint64_t rejected = 0;
};

Read read(std::string_view text) {
  AgentText reader(text);
  Read out;
  for (RemoteSample sample; reader.next(sample);) {
    std::string line = std::string(sample.name) + "{";
    for (const auto& [name, value] : sample.labels) {
      line += line.ends_with('{') ? "" : ",";
      line += std::string(name) + "=" + std::string(value);
    }
    line += "} ";
    append_double(line, sample.value);
    out.samples.push_back(line);
  }
  out.rejected = reader.rejected();
  return out;
}

// That a line is one sample, which reads so.
void expect_sample(const std::string& line, const std::string& wanted) {
  const Read got = read(line + "\nnext 1\n");
  EXPECT_EQ(got.samples, (std::vector<std::string>{wanted, "next{} 1"})) << line;
  EXPECT_EQ(got.rejected, 0U) << line;
}

// That a line costs itself alone, and is counted.
void expect_rejected(const std::string& line) {
  const Read got = read("before 1\n" + line + "\nnext 1\n");
  EXPECT_EQ(got.samples, (std::vector<std::string>{"before{} 1", "next{} 1"})) << line;
  EXPECT_EQ(got.rejected, 1U) << line;
}

TEST(AgentText, ReadsSamples) {
  expect_sample("a 1", "a{} 1");
  expect_sample("a:b_C9{} 1", "a:b_C9{} 1");
  expect_sample("a{x=\"1\",y=\"two words\"} 1.5", "a{x=1,y=two words} 1.5");
  expect_sample("a{x=\"1\",} 1", "a{x=1} 1");
  expect_sample(" \ta { x = \"1\" , y=\"2\" }\t 1 \t", "a{x=1,y=2} 1");
  expect_sample("a{x=\"}\",y=\",\"} 1", "a{x=},y=,} 1");
}

TEST(AgentText, UndoesEscapes) {
  expect_sample(R"(a{x="q\"b\\n\nl",y="\\"} 1)", "a{x=q\"b\\n\nl,y=\\} 1");
}

TEST(AgentText, EmptyLabelsAreNone) { expect_sample("a{x=\"\",y=\"1\"} 1", "a{y=1} 1"); }

TEST(AgentText, ReadsNumbersAsGoDoes) {
  expect_sample("a NaN", "a{} NaN");
  expect_sample("a nan", "a{} NaN");
  expect_sample("a +Inf", "a{} +Inf");
  expect_sample("a Inf", "a{} +Inf");
  expect_sample("a -Inf", "a{} -Inf");
  expect_sample("a +1e-3", "a{} 0.001");
  expect_sample("a 1.7976931348623157e+308", "a{} 1.7976931348623157e+308");
  expect_sample("a -0.25", "a{} -0.25");
}

TEST(AgentText, TimestampsAreCheckedAndNotKept) {
  expect_sample("a 1 1395066363000", "a{} 1");
  expect_sample("a{x=\"1\"} 1 -5", "a{x=1} 1");
}

TEST(AgentText, CommentsAndEmptyLinesAreNothing) {
  const Read got = read("# HELP a b\n# TYPE a counter\n#\n\n  \n# anything {\na 1\n");
  EXPECT_EQ(got.samples, std::vector<std::string>{"a{} 1"});
  EXPECT_EQ(got.rejected, 0U);
}

TEST(AgentText, ALastLineWithoutEndIsCutOff) {
  const Read got = read("a 1\nb 12");
  EXPECT_EQ(got.samples, std::vector<std::string>{"a{} 1"});
  EXPECT_EQ(got.rejected, 1U);
}

TEST(AgentText, EveryMistakeCostsItsLine) {
  for (const char* line : {
           "9a 1",                      // a name begins with a digit
           "{x=\"1\"} 1",               // no name
           "a-b 1",                     // a name with a hyphen
           "a",                         // no value
           "a ",                        // likewise
           "a{x=\"1\"}",                // likewise
           "a 1x",                      // not a number
           "a 0x10",                    // hexadecimal
           "a 1_000",                   // Go's underscores
           "a +-1",                     // two signs
           "a 1e999",                   // out of range
           "a nan(1)",                  // C's, not Go's
           "a 1,5",                     // another locale's
           "a 1 2 3",                   // a word too many
           "a 1 1.5",                   // a timestamp that is no whole number
           "a 1 99999999999999999999",  // one out of range
           "a{x=\"1\" 1",               // labels do not end
           "a{x=\"1 1",                 // a value does not end
           "a{x=\"1\\",                 // likewise, at an escape
           "a{x=1} 1",                  // a value without quotes
           "a{x} 1",                    // a label without value
           "a{=\"1\"} 1",               // a value without label
           "a{x=\"1\"y=\"2\"} 1",       // no comma
           "a{,} 1",                    // a comma alone
           "a{x=\"1\",,} 1",            // two commas
           "a{x:y=\"1\"} 1",            // a colon in a label's name
           "a{1x=\"1\"} 1",             // a label that begins with a digit
           "a{x=\"1\",x=\"2\"} 1",      // a label twice
           "a{x=\"\",x=\"2\"} 1",       // likewise
           "a{x=\"\\t\"} 1",            // an escape that is none
           "a 1\r",                     // a line end of another system
           "<html><body>404</body></html>",
       }) {
    expect_rejected(line);
  }
}

TEST(AgentText, LongLabelsManyLabelsAndLongLinesAreRejected) {
  const std::string longest(kMaxLabelBytes, 'x');
  expect_sample("a{x=\"" + longest + "\"} 1", "a{x=" + longest + "} 1");
  expect_rejected("a{x=\"" + longest + "x\"} 1");
  std::string many = "a{";
  for (int i = 0; i < 65; ++i) many += "l" + std::to_string(i) + "=\"v\",";
  expect_rejected(many + "} 1");
  expect_rejected("a" + std::string(40000, 'a') + " 1");
}

TEST(AgentText, ManyEscapesInManyLabelsStayValid) {
  std::string line = "a{";
  std::string wanted = "a{";
  for (int i = 0; i < 60; ++i) {
    line += "l" + std::to_string(i) + "=\"" + std::string(100, 'v') + "\\n\",";
    wanted += (i > 0 ? "," : "") + ("l" + std::to_string(i)) + "=" + std::string(100, 'v') + "\n";
  }
  expect_sample(line + "} 1", wanted + "} 1");
}

TEST(AgentText, GarbageNeverCrashesAndEveryLineIsAccountedFor) {
  std::mt19937 random(20170321);
  constexpr std::string_view kPieces[] = {"a",
                                          "{",
                                          "}",
                                          "\"",
                                          "\\",
                                          ",",
                                          "=",
                                          " ",
                                          "1",
                                          "\n",
                                          "#",
                                          "\\n",
                                          "x=\"1\"",
                                          "NaN",
                                          "\xff",
                                          "-",
                                          std::string_view("\0", 1)};
  const auto pick = [&](size_t below) {
    return std::uniform_int_distribution<size_t>(0, below - 1)(random);
  };
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (size_t pieces = pick(60); pieces > 0; --pieces) text += kPieces[pick(std::size(kPieces))];
    const Read got = read(text);
    const auto lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
    ASSERT_LE(got.samples.size() + got.rejected, lines) << text;
  }
}

}  // namespace
}  // namespace lagwatch
