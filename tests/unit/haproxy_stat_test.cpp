// SPDX-License-Identifier: Apache-2.0
// The CSV as it comes: quoting, oddities of versions, and everything that is no CSV.
#include "collector/haproxy_stat.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "collector/haproxy_states.h"
#include "golden.h"

namespace lagwatch {
namespace {

constexpr size_t kStot = stat_number("stot");

std::string csv(const std::string& header, const std::string& rows) {
  return "# " + header + "\n" + rows + "\n";
}

TEST(HaproxyStat, ReadsCellsByHeaderName) {
  const std::string text = csv("pxname,svname,unheard,stot,type,status,", "web,a1,x,7,2,UP 1/3,\n");
  const auto dump = parse_stat(text, StatEnd::kEmptyLine);
  ASSERT_TRUE(dump.ok());
  ASSERT_EQ(dump->rows.size(), 1U);
  EXPECT_EQ(dump->rows[0].type, RowType::kServer);
  EXPECT_EQ(dump->rows[0].proxy, "web");
  EXPECT_EQ(dump->rows[0].status, "UP 1/3");
  EXPECT_EQ(dump->number(0, kStot), 7);
  EXPECT_TRUE(std::isnan(dump->number(0, stat_number("bin"))));
}

TEST(HaproxyStat, EmptyCellIsAbsentAndMinusOneIsANumber) {
  const std::string text = csv("pxname,svname,stot,lastsess,type,", "web,a1,,-1,2,\n");
  const auto dump = parse_stat(text, StatEnd::kEmptyLine);
  ASSERT_TRUE(dump.ok());
  EXPECT_TRUE(std::isnan(dump->number(0, kStot)));
  EXPECT_EQ(dump->number(0, stat_number("lastsess")), -1);
}

TEST(HaproxyStat, QuotedCellsHoldCommasQuotesNewlinesAndEmptyLines) {
  const std::string text =
      csv("pxname,svname,last_chk,tracked,type,stot,",
          "web,\"a\"\"1\",\"oh, \"\"no\"\"\n\nredis\",\"b,c\",2,3,\nweb,a2,,,2,4,\n");
  const auto dump = parse_stat(text, StatEnd::kEmptyLine);
  ASSERT_TRUE(dump.ok());
  ASSERT_EQ(dump->rows.size(), 2U);
  EXPECT_EQ(dump->rows[0].name, "a\"1");
  EXPECT_EQ(dump->rows[0].tracked, "b,c");
  EXPECT_EQ(dump->number(0, kStot), 3);
  EXPECT_EQ(dump->rows[1].name, "a2");
}

TEST(HaproxyStat, NullColumnAndDuplicateColumnsAreHarmless) {
  const std::string text =
      csv("pxname,svname,stot,(null),stot,status,type,-,status,", "web,a1,1,tcpv4,2,UP,2,,DOWN,\n");
  const auto dump = parse_stat(text, StatEnd::kEmptyLine);
  ASSERT_TRUE(dump.ok());
  EXPECT_EQ(dump->number(0, kStot), 1);  // the first counts
  EXPECT_EQ(dump->rows[0].status, "UP");
}

TEST(HaproxyStat, RowWithTheWrongNumberOfCellsIsRejectedAndCounted) {
  // 1.6.3 forgot the comma behind "DRAIN (agent)".
  const std::string text =
      csv("pxname,svname,status,stot,type,", "web,a1,DRAIN (agent)1,2,\nweb,a2,UP,5,2,\n");
  const auto dump = parse_stat(text, StatEnd::kEmptyLine);
  ASSERT_TRUE(dump.ok());
  EXPECT_EQ(dump->rejected, 1U);
  ASSERT_EQ(dump->rows.size(), 1U);
  EXPECT_EQ(dump->rows[0].name, "a2");
}

TEST(HaproxyStat, CheckUnderWayIsTheLastKnownStatus) {
  const std::string text = csv("pxname,svname,check_status,type,", "web,a1,* L7TOUT,2,\n");
  const auto dump = parse_stat(text, StatEnd::kEmptyLine);
  ASSERT_TRUE(dump.ok());
  EXPECT_EQ(dump->rows[0].check_status, "L7TOUT");
  EXPECT_TRUE(dump->rows[0].check_under_way);
}

void expect_error(const std::string& text, Reason reason, const std::string& message) {
  const auto dump = parse_stat(text, StatEnd::kEmptyLine);
  ASSERT_FALSE(dump.ok());
  EXPECT_EQ(dump.error().reason, reason);
  EXPECT_EQ(dump.error().message, message);
}

TEST(HaproxyStat, WhatIsNoCsvIsAnError) {
  expect_error("Permission denied\n\n", Reason::kPermission,
               "show stat: HAProxy answered \"Permission denied\"");
  expect_error("Unknown command. Please\n\n", Reason::kProtocol,
               "show stat: HAProxy answered \"Unknown command. Please\"");
  expect_error("", Reason::kProtocol, "show stat: an empty answer");
  expect_error("\x01\xff\x02\n", Reason::kProtocol, "show stat: HAProxy answered \"???\"");
}

TEST(HaproxyStat, TruncatedAnswerIsAnErrorWhereverItEnds) {
  const std::string whole = csv("pxname,svname,stot,type,", "web,a1,1,2,\nweb,a2,2,2,\n");
  ASSERT_TRUE(parse_stat(whole, StatEnd::kEmptyLine).ok());
  for (size_t length = 9; length < whole.size(); ++length) {
    EXPECT_FALSE(parse_stat(whole.substr(0, length), StatEnd::kEmptyLine).ok()) << length;
  }
}

TEST(HaproxyStat, RandomDamageNeverCrashes) {
  const std::string whole =
      golden::read_file(golden::data("haproxy/2.6.12deb/all_rows/show_stat.csv"));
  std::mt19937 random(1);
  for (int round = 0; round < 500; ++round) {
    std::string text = whole;
    for (int i = 0; i < 20; ++i) text[random() % text.size()] = static_cast<char>(random());
    const auto dump = parse_stat(text, StatEnd::kEmptyLine);
    EXPECT_LE(dump.ok() ? dump->rows.size() : 0, 40U);
  }
}

TEST(HaproxyAnswer, IsTwoBlocks) {
  const auto answer = split_answer("Name: HAProxy\nPid: 7\n\n# pxname,\n\n");
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(InfoDump(answer->info).find("Pid"), "7");
  EXPECT_EQ(answer->stat, "# pxname,\n\n");
}

TEST(HaproxyAnswer, InfoThatEndsEarlyOrIsRefusedIsAnError) {
  EXPECT_EQ(split_answer("Name: HAProxy\nPid:").error().message,
            "show info: the answer is truncated");
  EXPECT_EQ(split_answer("Permission denied\n\n").error().reason, Reason::kPermission);
  EXPECT_EQ(split_answer("\xff\xfe").error().message, "show info: HAProxy answered \"??\"");
}

TEST(HaproxyStates, AreThoseOfTheNativeExporter) {
  EXPECT_EQ(server_state("UP 1/3"), ServerState::kUp);
  EXPECT_EQ(server_state("no check"), ServerState::kUp);
  EXPECT_EQ(server_state("DOWN (agent)"), ServerState::kDown);
  EXPECT_EQ(server_state("MAINT (via be/srv)"), ServerState::kMaint);
  EXPECT_EQ(server_state("MAINT(via)"), ServerState::kMaint);
  EXPECT_EQ(server_state("DRAIN (agent)"), ServerState::kDrain);
  EXPECT_EQ(server_state("NOLB 1/2"), ServerState::kNolb);
  EXPECT_EQ(server_state("SOMETHING NEW"), std::nullopt);
  EXPECT_EQ(proxy_state("PAUSED"), 1U);
  EXPECT_EQ(proxy_state("STOP"), 0U);
  EXPECT_EQ(listener_state("FULL"), 2U);
  EXPECT_EQ(check_state("INI"), std::nullopt);
}

TEST(HaproxyMerge, SumsCountersAndKeepsTheWorstStatus) {
  const std::string header =
      "pxname,svname,status,scur,stot,smax,lastchg,qtime,type,sid,check_status,";
  const std::string one =
      csv(header, "web,a1,UP,1,8,5,100,10,2,1,L7OK,\nonly1,FRONTEND,OPEN,0,3,,,,0,0,,\n");
  const std::string two =
      csv(header, "web,a1,DOWN,2,32,9,7,30,2,1,L4CON,\nonly2,FRONTEND,OPEN,0,4,,,,0,0,,\n");
  std::vector<StatDump> parts;
  for (const std::string* text : {&one, &two})
    parts.push_back(*parse_stat(*text, StatEnd::kEmptyLine));
  const StatDump all = merge_stat(parts);
  ASSERT_EQ(all.rows.size(), 3U);
  EXPECT_EQ(all.rows[0].status, "DOWN");
  EXPECT_EQ(all.rows[0].check_status, "L4CON");
  EXPECT_EQ(all.number(0, kStot), 40);
  EXPECT_EQ(all.number(0, stat_number("scur")), 3);
  EXPECT_EQ(all.number(0, stat_number("smax")), 9);
  EXPECT_EQ(all.number(0, stat_number("lastchg")), 7);
  EXPECT_EQ(all.number(0, stat_number("qtime")), 20);
}

}  // namespace
}  // namespace lagwatch
