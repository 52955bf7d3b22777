// SPDX-License-Identifier: Apache-2.0
#include "model/rows.h"

#include <gtest/gtest.h>

#include <string>

namespace lagwatch {
namespace {

Rows two_by_two() {
  Rows rows({"a", "b"});
  rows.add("1");
  rows.add_null();
  rows.add("");
  rows.add("x y");
  return rows;
}

TEST(Rows, NullIsNotEmptyText) {
  const Rows rows = two_by_two();
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_FALSE(rows.is_null(0, "a"));
  EXPECT_TRUE(rows.is_null(0, "b"));
  EXPECT_FALSE(rows.is_null(1, "a"));
  EXPECT_EQ(rows.text(0, "b"), "");
  EXPECT_EQ(rows.text(1, "a"), "");
  EXPECT_EQ(rows.text(1, "b"), "x y");
}

TEST(Rows, NothingAndRowsWithoutColumnsAreEmpty) {
  EXPECT_TRUE(Rows().empty());
  EXPECT_TRUE(Rows(std::vector<std::string>{"a"}).empty());
  EXPECT_EQ(Rows().size(), 0U);
  EXPECT_EQ(Rows().column("a"), std::nullopt);
}

TEST(Rows, ARowThatIsNotCompleteDoesNotCount) {
  Rows rows({"a", "b"});
  rows.add("1");
  EXPECT_EQ(rows.size(), 0U);
  rows.add("2");
  EXPECT_EQ(rows.size(), 1U);
}

TEST(Rows, ColumnThatIsNotThereIsNull) {
  const Rows rows = two_by_two();
  EXPECT_TRUE(rows.is_null(0, "nosuch"));
  EXPECT_EQ(rows.text(0, "nosuch"), "");
  EXPECT_EQ(rows.number(0, "nosuch"), std::nullopt);
  EXPECT_EQ(rows.integer(0, "nosuch"), std::nullopt);
}

TEST(Rows, OfTwinColumnsTheFirstIsTaken) {
  Rows rows({"a", "a"});
  rows.add("1");
  rows.add("2");
  EXPECT_EQ(rows.text(0, "a"), "1");
}

std::optional<double> number(std::string_view text) {
  Rows rows({"n"});
  rows.add(text);
  return rows.number(0, "n");
}

TEST(Rows, NumbersAsServersWriteThem) {
  EXPECT_EQ(number("t"), 1);
  EXPECT_EQ(number("f"), 0);
  EXPECT_EQ(number("0"), 0);
  EXPECT_EQ(number("-1"), -1);
  EXPECT_EQ(number("50331648"), 50331648);
  EXPECT_EQ(number("1795352000.123456"), 1795352000.123456);
  EXPECT_EQ(number("1.5e+06"), 1.5e6);
  EXPECT_EQ(number("1e-05"), 1e-05);
}

TEST(Rows, WhatIsNoNumberIsNothing) {
  EXPECT_EQ(number(""), std::nullopt);
  EXPECT_EQ(number("on"), std::nullopt);
  EXPECT_EQ(number("true"), std::nullopt);
  EXPECT_EQ(number("16MB"), std::nullopt);
  EXPECT_EQ(number(" 1"), std::nullopt);
  EXPECT_EQ(number("1,5"), std::nullopt);
  EXPECT_EQ(number("0/16B3748"), std::nullopt);
}

TEST(Rows, PositionsKeepAllTheirBits) {
  Rows rows({"lsn"});
  for (const char* text : {"18446744073709551615", "9007199254740993", "-5", "1.0", "f"})
    rows.add(text);
  EXPECT_EQ(rows.integer(0, "lsn"), UINT64_MAX);
  EXPECT_EQ(rows.integer(1, "lsn"), 9007199254740993U);
  EXPECT_EQ(rows.integer(2, "lsn"), std::nullopt);
  EXPECT_EQ(rows.integer(3, "lsn"), std::nullopt);
  EXPECT_EQ(rows.integer(4, "lsn"), std::nullopt);
}

TEST(Rows, BytesStayAsTheyCame) {
  Rows rows({"a", "b"});
  const std::string odd("x\0\xff\ny", 5);
  rows.add(odd);
  rows.add("next");
  EXPECT_EQ(rows.text(0, "a"), odd);
  EXPECT_EQ(rows.text(0, "b"), "next");
}

}  // namespace
}  // namespace lagwatch
