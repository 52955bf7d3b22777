// SPDX-License-Identifier: Apache-2.0
// Joins: what targets say together.
#include "join/join.h"

#include <gtest/gtest.h>

namespace lagwatch {
namespace {

const Kind kKind{"haproxy", "", nullptr};

std::vector<std::vector<Table>> joined_of(Targets targets) {
  JoinMemory memory;
  return run_joins(targets, now(), memory);
}

std::shared_ptr<const TargetView> target(const std::string& name,
                                         std::vector<HaproxyBackend> backends) {
  auto view = std::make_shared<TargetView>();
  view->info =
      std::make_shared<const TargetInfo>(TargetInfo{&kKind, name, "target=\"" + name + "\""});
  auto output = std::make_shared<Output>("");
  for (HaproxyBackend& backend : backends) output->fact(std::move(backend));
  view->collectors.emplace_back().output = output;
  return view;
}

TEST(HaproxyViews, CountBalancersThatSeeABackendDown) {
  const std::vector<std::shared_ptr<const TargetView>> targets{
      target("lb1", {{"web", false, 0, 8}, {"only1", true, 1, 0}}),
      target("lb2", {{"web", true, 8, 0}}), target("host", {})};
  const auto joined = joined_of(targets);
  ASSERT_EQ(joined.size(), 3U);
  ASSERT_EQ(joined[0].size(), 1U);
  EXPECT_EQ(joined[0][0].rows(), 1U) << "a backend that one balancer has is not compared";
  EXPECT_EQ(joined[0][0].labels(0), "target=\"lb1\",proxy=\"web\"");
  EXPECT_EQ(joined[0][0].value(0, 0), 2);
  EXPECT_EQ(joined[0][0].value(0, 1), 1);
  EXPECT_EQ(joined[1][0].value(0, 1), 1);
  EXPECT_TRUE(joined[2].empty());
}

TEST(HaproxyViews, AreAbsentWithOneBalancer) {
  const std::vector<std::shared_ptr<const TargetView>> targets{
      target("lb1", {{"web", true, 8, 0}})};
  EXPECT_TRUE(joined_of(targets)[0].empty());
}

}  // namespace
}  // namespace lagwatch
