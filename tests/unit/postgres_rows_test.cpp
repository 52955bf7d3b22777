// SPDX-License-Identifier: Apache-2.0
#include "collector/postgres_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace lagwatch {
namespace {

constexpr uint64_t kMiB = 1U << 20U;

TEST(WalName, IsTimelineAndPosition) {
  const auto first = parse_wal_name("000000010000000000000001", kDefaultSegmentBytes);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->timeline, 1U);
  EXPECT_EQ(first->begin, 16 * kMiB);
  EXPECT_EQ(first->bytes, 16 * kMiB);
  const auto later = parse_wal_name("0000000A00000002000000FF", kDefaultSegmentBytes);
  ASSERT_TRUE(later);
  EXPECT_EQ(later->timeline, 10U);
  EXPECT_EQ(later->begin, 0x2FF000000U);
  const auto last = parse_wal_name("FFFFFFFFFFFFFFFF000000FF", kDefaultSegmentBytes);
  ASSERT_TRUE(last);
  EXPECT_EQ(last->timeline, UINT32_MAX);
  EXPECT_EQ(last->begin, 0xFFFFFFFFFF000000U);
  EXPECT_TRUE(parse_wal_name("0000000a00000002000000ff", kDefaultSegmentBytes));
}

TEST(WalName, DependsOnTheSegmentSize) {
  const auto small = parse_wal_name("000000010000000100000FFF", kMiB);
  ASSERT_TRUE(small);
  EXPECT_EQ(small->begin, 0x1FFF00000U);
  EXPECT_FALSE(parse_wal_name("000000010000000100001000", kMiB)) << "4096 a part";
  const auto large = parse_wal_name("000000010000000100000003", 1024 * kMiB);
  ASSERT_TRUE(large);
  EXPECT_EQ(large->begin, 0x1C0000000U);
  EXPECT_FALSE(parse_wal_name("000000010000000100000004", 1024 * kMiB)) << "4 a part";
  EXPECT_FALSE(parse_wal_name("000000010000000000000100", kDefaultSegmentBytes)) << "256 a part";
  EXPECT_FALSE(parse_wal_name("000000010000000000000001", 0));
}

TEST(WalName, OtherFilesAreNone) {
  for (const char* name :
       {"", "00000002.history", "000000010000000000000001.partial",
        "000000010000000000000001.00000028.backup", "00000001000000000000000", "archive_status",
        "0000000100000000 0000001", "00000001000000000000000G", "0x0000010000000000000001",
        "+00000010000000000000001", "-00000010000000000000001"}) {
    EXPECT_FALSE(parse_wal_name(name, kDefaultSegmentBytes)) << name;
  }
}

constexpr std::string_view kLabels[] = {"name", "place"};
constexpr Column kColumns[] = {
    {.name = "x_size", .source = "size", .help = "."},
    {.name = "x_age", .source = "age", .help = ".", .scale = 0.001},
};
constexpr Schema kSchema{kLabels, kColumns};

void add(Rows& rows, std::initializer_list<const char*> cells) {
  for (const char* cell : cells) {
    if (cell == nullptr) {
      rows.add_null();
    } else {
      rows.add(cell);
    }
  }
}

TEST(WriteRows, NullIsNoSampleAndLeavesTheLabelOut) {
  Rows rows({"age", "name", "size", "place"});
  add(rows, {nullptr, "a", "5", nullptr});
  add(rows, {"1500", "b", "words", ""});
  Output out("target=\"t\"");
  const Table& table = write_rows(rows, kSchema, out);
  ASSERT_EQ(table.rows(), 2U);
  EXPECT_EQ(table.labels(0), "target=\"t\",name=\"a\"");
  EXPECT_EQ(table.value(0, 0), 5);
  EXPECT_TRUE(std::isnan(table.value(0, 1)));
  EXPECT_TRUE(std::isnan(table.value(1, 0))) << "what is no number is not known";
  EXPECT_EQ(table.value(1, 1), 1.5);
  EXPECT_EQ(out.series_dropped, 0U);
}

TEST(WriteRows, ColumnsThatTheVersionHasNotAreAbsent) {
  Rows rows({"name"});
  add(rows, {"a"});
  Output out("");
  const Table& table = write_rows(rows, kSchema, out);
  ASSERT_EQ(table.rows(), 1U);
  EXPECT_TRUE(std::isnan(table.value(0, 0)));
}

TEST(WriteRows, ATwinIsLeftOutAndCounted) {
  Rows rows({"name", "place", "size"});
  add(rows, {"a", "x", "1"});
  add(rows, {"a", "x", "2"});
  add(rows, {"a", nullptr, "3"});
  add(rows, {"a", "", "4"});  // for Prometheus the same as without
  add(rows, {"ax", "", "5"});
  Output out("");
  const Table& table = write_rows(rows, kSchema, out);
  ASSERT_EQ(table.rows(), 3U);
  EXPECT_EQ(table.value(0, 0), 1);
  EXPECT_EQ(table.value(1, 0), 3);
  EXPECT_EQ(table.value(2, 0), 5);
  EXPECT_EQ(out.series_dropped, 2U);
}

// Labels are bounded and made UTF-8 when they are written: what differs before may be the same
// after, and one series twice makes Prometheus refuse all of them.
TEST(WriteRows, ValuesThatAreWrittenTheSameAreTwins) {
  Rows rows({"name", "place", "size"});
  const std::string prefix(600, 'n');
  for (const std::string& name :
       {prefix + "1", prefix + "2", std::string("a\xe9"), std::string("a\xe8")}) {
    rows.add(name);
    add(rows, {"", "1"});
  }
  Output out("");
  EXPECT_EQ(write_rows(rows, kSchema, out).rows(), 2U);
  EXPECT_EQ(out.series_dropped, 2U);
}

TEST(WriteRows, BeyondTheCapIsLeftOutAndCounted) {
  Rows rows({"name", "place", "size"});
  for (int i = 0; i < 5; ++i) add(rows, {std::to_string(i).c_str(), "", "1"});
  Output out("");
  EXPECT_EQ(write_rows(rows, kSchema, out, 2).rows(), 2U);
  EXPECT_EQ(out.series_dropped, 3U);
}

TEST(WriteSingle, NoRowIsNoTable) {
  Output out("");
  write_single(Rows(std::vector<std::string>{"size"}), kSchema, out);
  EXPECT_TRUE(out.tables.empty());
}

Reply failed(std::string sqlstate, int version = 150018) {
  SqlAnswer answer;
  answer.server_version = version;
  answer.error = SqlError{std::move(sqlstate), "said the server"};
  return Answer{.sql = std::move(answer)};
}

constexpr Wanted kWanted{"pg_thing", "GRANT x TO lagwatch", "install y"};

Error limit_of(const Reply& reply) {
  Output out("");
  const auto step = without_rows(reply, kWanted, out);
  EXPECT_TRUE(step && std::holds_alternative<Done>(*step));
  if (out.limits.size() != 1) {
    ADD_FAILURE() << out.limits.size() << " limits";
    return {};
  }
  return out.limits[0];
}

TEST(WithoutRows, RefusalHasTheGrantOfTheVersion) {
  const Error now = limit_of(failed("42501"));
  EXPECT_EQ(now.reason, Reason::kPermission);
  EXPECT_EQ(now.message, "pg_thing: said the server");
  EXPECT_EQ(now.fix, "GRANT x TO lagwatch");
  EXPECT_EQ(limit_of(failed("42501", 90603)).fix, "install y");
  EXPECT_EQ(limit_of(failed("42501", 100000)).fix, "GRANT x TO lagwatch");
}

TEST(WithoutRows, GrantIsToTheRoleThatAsks) {
  const auto fix = [](const std::string& role) {
    Reply reply = failed("42501");
    reply->sql->role = role;
    return limit_of(reply).fix;
  };
  EXPECT_EQ(fix("mon_2"), "GRANT x TO mon_2");
  EXPECT_EQ(fix("Mon"), "GRANT x TO \"Mon\"");
  EXPECT_EQ(fix("2mon"), "GRANT x TO \"2mon\"");
  EXPECT_EQ(fix("a\"; DROP"), "GRANT x TO \"a\"\"; DROP\"");
}

TEST(WithoutRows, TimeoutsAreStalledAndOthersSayTheirState) {
  EXPECT_EQ(limit_of(failed("57014")).reason, Reason::kStalled);
  EXPECT_EQ(limit_of(failed("55P03")).reason, Reason::kStalled);
  const Error other = limit_of(failed("42P01"));
  EXPECT_EQ(other.reason, Reason::kProtocol);
  EXPECT_EQ(other.message, "pg_thing: 42P01 said the server");
}

TEST(WithoutRows, LostConnectionFailsAndUnsupportedIsSilent) {
  Output out("");
  const auto lost = without_rows(Error{Reason::kReset, "gone", ""}, kWanted, out);
  ASSERT_TRUE(lost && std::holds_alternative<Error>(*lost));
  EXPECT_EQ(std::get<Error>(*lost).reason, Reason::kReset);
  SqlAnswer none;
  none.supported = false;
  const auto unsupported = without_rows(Answer{.sql = none}, kWanted, out);
  EXPECT_TRUE(unsupported && std::holds_alternative<Done>(*unsupported));
  EXPECT_FALSE(without_rows(Answer{.sql = SqlAnswer{}}, kWanted, out));
  EXPECT_TRUE(out.limits.empty());
}

TEST(Replaced, TheFirstOnly) {
  EXPECT_EQ(replaced("a b a", "a", "xx"), "xx b a");
  EXPECT_EQ(replaced("a", "z", "x"), "a");
}

}  // namespace
}  // namespace lagwatch
