// SPDX-License-Identifier: Apache-2.0
// Numbers, hostile text, log lines.
#include "base/text.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/log.h"

namespace lagwatch {
namespace {

std::string number(double value) {
  std::string out;
  append_double(out, value);
  return out;
}

TEST(AppendDouble, WritesWhatPrometheusReads) {
  EXPECT_EQ(number(0), "0");
  EXPECT_EQ(number(1795352330), "1795352330");
  EXPECT_EQ(number(1e15), "1000000000000000");
  EXPECT_EQ(number(0.1), "0.1");
  EXPECT_EQ(number(-2.5), "-2.5");
  EXPECT_EQ(number(std::numeric_limits<double>::infinity()), "+Inf");
  EXPECT_EQ(number(-std::numeric_limits<double>::infinity()), "-Inf");
  EXPECT_EQ(number(std::numeric_limits<double>::quiet_NaN()), "NaN");
}

TEST(AppendDouble, ReadsBackAsTheSame) {
  for (const double value :
       {0.1 + 0.2, 1.0 / 3, 1e300, 5e-324, 18446744073709551615.0, 123456789.123456789}) {
    EXPECT_EQ(parse_number<double>(number(value)), value);
  }
}

TEST(ParseNumber, TakesTheWholeOrNothing) {
  EXPECT_EQ(parse_number<int>("12"), 12);
  EXPECT_EQ(parse_number<int>("12x"), std::nullopt);
  EXPECT_EQ(parse_number<int>(""), std::nullopt);
  EXPECT_EQ(parse_number<uint16_t>("70000"), std::nullopt);
}

TEST(Printable, HoldsNoControlCharactersAndEnds) {
  EXPECT_EQ(printable("a\x1b[31m\nb\xff\xc3\xa4"), "a?[31m b?\xc3\xa4");
  EXPECT_EQ(printable(std::string(300, 'x')), std::string(200, 'x') + "...");
}

TEST(CleanUtf8, ReplacesWhatIsInvalidAndCutsBetweenCharacters) {
  EXPECT_EQ(clean_utf8("a\xffz", 10), "a\xEF\xBF\xBDz");
  EXPECT_EQ(clean_utf8("\xc3\xa4\xc3\xa4", 3), "\xc3\xa4");
  EXPECT_EQ(clean_utf8("\xed\xa0\x80", 9), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // a surrogate
}

TEST(Log, LogfmtQuotesWhatNeedsIt) {
  EXPECT_EQ(format_log(LogFormat::kLogfmt, LogLevel::kWarn, "target failed",
                       {{"target", "a"}, {"err", "a \"b\"=c\n"}}),
            "level=warn msg=\"target failed\" target=a err=\"a \\\"b\\\"=c \"");
}

TEST(Log, JsonIsJson) {
  EXPECT_EQ(format_log(LogFormat::kJson, LogLevel::kInfo, "x", {{"k", "a\"b"}}),
            "{\"level\":\"info\",\"msg\":\"x\",\"k\":\"a\\\"b\"}");
}

}  // namespace
}  // namespace lagwatch
