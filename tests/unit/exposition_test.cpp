// SPDX-License-Identifier: Apache-2.0
// Both text formats, to the letter.
#include "expose/exposition.h"

#include <gtest/gtest.h>
#include <prometheus/counter.h>
#include <prometheus/registry.h>

#include <clocale>

#include "golden.h"

namespace lagwatch {
namespace {

constexpr std::string_view kStates[] = {"DOWN", "UP"};
constexpr std::string_view kBounds[] = {"0.1", "1"};
constexpr Column kColumns[] = {
    {.name = "x_bytes_total", .type = Type::kCounter, .source = "bin", .help = "Bytes."},
    {.name = "x_old", .type = Type::kCounter, .help = "A counter by another name."},
    {.name = "x_seconds", .help = "A \"gauge\" \\ in\ntwo lines.", .scale = 0.001},
    {.name = "x_status",
     .help = "State.",
     .label = "state",
     .values = kStates,
     .expand = Expand::kState},
    {.name = "x_time",
     .type = Type::kHistogram,
     .help = "H.",
     .label = "le",
     .values = kBounds,
     .expand = Expand::kHistogram},
};
constexpr std::string_view kLabels[] = {"proxy"};
constexpr Schema kSchema{kLabels, kColumns};
constexpr Column kOtherColumns[] = {
    {.name = "x_bytes_total", .type = Type::kCounter, .source = "bin", .help = "Bytes."}};
constexpr Schema kOther{kLabels, kOtherColumns};
const Kind kKind{"x", "", nullptr};

struct World {
  std::shared_ptr<Snapshot> snapshot = std::make_shared<Snapshot>();
  Moment now = golden::moment();

  Output& target(const std::string& name, double expires_in = 10) {
    auto view = std::make_shared<TargetView>();
    view->info =
        std::make_shared<const TargetInfo>(TargetInfo{&kKind, name, "target=\"" + name + "\""});
    auto output = std::make_shared<Output>(view->info->label_block);
    CollectorView& collector = view->collectors.emplace_back();
    collector.name = "x";
    collector.output = output;
    collector.expires_at = now.steady + from_seconds(expires_in);
    snapshot->targets.push_back(view);
    return *output;
  }
  std::string text(ExpositionSource::Options options = {}) const {
    const Catalog catalog({&kSchema, &kOther});
    ExpositionSource source(catalog, snapshot, now, std::move(options));
    return read_all(source);
  }
};

void row(Output& output, const char* proxy, double bytes) {
  const std::string_view labels[] = {proxy};
  Table& table = output.table(kSchema);
  table.set(table.add_row(labels), 0, bytes);
}

TEST(Exposition, FamilyStandsOnceContiguousOverTargetsAndSchemas) {
  World world;
  row(world.target("a"), "p", 1);
  Output& b = world.target("b");
  const std::string_view labels[] = {"q"};
  Table& table = b.table(kOther);
  table.set(table.add_row(labels), 0, 2);
  EXPECT_EQ(
      world.text(),
      "# HELP x_bytes_total Bytes. Source: bin.\n# TYPE x_bytes_total counter\n"
      "x_bytes_total{target=\"a\",proxy=\"p\"} 1\nx_bytes_total{target=\"b\",proxy=\"q\"} 2\n");
}

TEST(Exposition, OpenMetricsNamesTheFamilyWithoutTotalAndEndsWithEof) {
  World world;
  Output& output = world.target("a");
  row(output, "p", 1);
  output.tables[0].set(0, 1, 5);
  EXPECT_EQ(world.text({.format = Exposition::kOpenMetrics100}),
            "# HELP x_bytes Bytes. Source: bin.\n# TYPE x_bytes "
            "counter\nx_bytes_total{target=\"a\",proxy=\"p\"} 1\n"
            "# HELP x_old A counter by another name.\n# TYPE x_old "
            "unknown\nx_old{target=\"a\",proxy=\"p\"} 5\n# EOF\n");
}

TEST(Exposition, HelpIsEscapedAsEachFormatWants) {
  World world;
  Output& output = world.target("a");
  const std::string_view labels[] = {"p"};
  Table& table = output.table(kSchema);
  table.set(table.add_row(labels), 2, 1500);
  EXPECT_EQ(world.text(),
            "# HELP x_seconds A \"gauge\" \\\\ in\\ntwo lines.\n# TYPE x_seconds gauge\n"
            "x_seconds{target=\"a\",proxy=\"p\"} 1.5\n");
  EXPECT_TRUE(world.text({.format = Exposition::kOpenMetrics100})
                  .starts_with("# HELP x_seconds A \\\"gauge\\\" \\\\ in\\ntwo lines.\n"));
}

TEST(Exposition, LabelsFromStrangersAreEscapedCleanedAndBounded) {
  World world;
  row(world.target("a"), "a\"b\\c\nd\xff", 1);
  EXPECT_NE(world.text().find("proxy=\"a\\\"b\\\\c\\nd\xEF\xBF\xBD\"} 1"), std::string::npos);
  World longer;
  row(longer.target("a"), std::string(10000, 'x').c_str(), 1);
  EXPECT_LT(longer.text().size(), 1000U);
}

TEST(Exposition, StatesAreZeroOrOneAndSparseOnesOnlyOne) {
  World world;
  Output& output = world.target("a");
  const std::string_view labels[] = {"p"};
  Table& table = output.table(kSchema);
  table.set(table.add_row(labels), 3, 1);
  EXPECT_NE(
      world.text().find("state=\"DOWN\"} 0\nx_status{target=\"a\",proxy=\"p\",state=\"UP\"} 1\n"),
      std::string::npos);
  output.tables[0].set_sparse_states(true);
  EXPECT_EQ(world.text().find("DOWN"), std::string::npos);
}

TEST(Exposition, HistogramHasBucketsSumAndCount) {
  World world;
  Output& output = world.target("a");
  const std::string_view labels[] = {"p"};
  Table& table = output.table(kSchema);
  table.add_row(labels);
  const double cells[] = {1, 2, 3, 4.5};
  for (size_t i = 0; i < 4; ++i) table.set(0, 4, cells[i], i);
  const std::string base = "{target=\"a\",proxy=\"p\"";
  EXPECT_NE(world.text().find("x_time_bucket" + base + ",le=\"0.1\"} 1\nx_time_bucket" + base +
                              ",le=\"1\"} 2\nx_time_bucket" + base + ",le=\"+Inf\"} 3\nx_time_sum" +
                              base + "} 4.5\nx_time_count" + base + "} 3\n"),
            std::string::npos);
}

TEST(Exposition, SamplesOfOtherAgentsStandBehindOursInTheirFamily) {
  World world;
  Output& agent = world.target("web1");
  agent.foreign.push_back({"x_bytes_total", {{"", "target=\"b\",agent=\"web1\"", 7}}});
  Output& second = world.target("web2");
  second.foreign.push_back({"x_bytes_total", {{"", "target=\"c\",agent=\"web2\"", 8}}});
  row(world.target("z"), "p", 1);
  EXPECT_EQ(world.text(),
            "# HELP x_bytes_total Bytes. Source: bin.\n# TYPE x_bytes_total counter\n"
            "x_bytes_total{target=\"z\",proxy=\"p\"} 1\n"
            "x_bytes_total{target=\"b\",agent=\"web1\"} 7\n"
            "x_bytes_total{target=\"c\",agent=\"web2\"} 8\n");
  EXPECT_TRUE(world.text({.format = Exposition::kOpenMetrics100})
                  .starts_with("# HELP x_bytes Bytes. Source: bin.\n# TYPE x_bytes counter\n"));
}

TEST(Exposition, AFamilyThatOnlyOtherAgentsFillHasItsHead) {
  World world;
  world.target("web1").foreign.push_back({"x_seconds", {{"", "target=\"b\"", kAbsent}}});
  EXPECT_EQ(world.text(),
            "# HELP x_seconds A \"gauge\" \\\\ in\\ntwo lines.\n# TYPE x_seconds gauge\n"
            "x_seconds{target=\"b\"} NaN\n");
}

TEST(Exposition, HistogramsOfOtherAgentsKeepTheirParts) {
  World world;
  world.target("web1").foreign.push_back({"x_time",
                                          {{"_bucket", "target=\"b\",le=\"+Inf\"", 3},
                                           {"_sum", "target=\"b\"", 4.5},
                                           {"_count", "target=\"b\"", 3}}});
  EXPECT_EQ(world.text(),
            "# HELP x_time H.\n# TYPE x_time histogram\nx_time_bucket{target=\"b\",le=\"+Inf\"} 3\n"
            "x_time_sum{target=\"b\"} 4.5\nx_time_count{target=\"b\"} 3\n");
}

TEST(Exposition, SamplesOfOtherAgentsGoWithTheirTarget) {
  World world;
  world.target("gone", -1).foreign.push_back({"x_seconds", {{"", "target=\"b\"", 1}}});
  world.target("web1").foreign.push_back({"x_seconds", {{"", "target=\"c\"", 1}}});
  EXPECT_EQ(world.text().find("target=\"b\""), std::string::npos);
  EXPECT_NE(world.text({.target = "web1"}).find("target=\"c\""), std::string::npos);
  EXPECT_EQ(world.text({.target = "gone"}), "");
}

TEST(Exposition, WhatTheCatalogueDoesNotHaveIsNotWritten) {
  World world;
  world.target("web1").foreign.push_back({"stranger", {{"", "", 1}}});
  EXPECT_EQ(world.text(), "");
}

TEST(Exposition, PiecesOfOtherAgentsSamplesMakeTheWhole) {
  World world;
  std::vector<ForeignFamily::Sample> samples;
  for (int i = 0; i < 9000; ++i) samples.push_back({"", "proxy=\"" + std::to_string(i) + "\"", 1});
  world.target("a").foreign.push_back({"x_seconds", samples});
  world.target("b").foreign.push_back({"x_old", samples});
  const Catalog catalog({&kSchema});
  ExpositionSource source(catalog, world.snapshot, world.now, {});
  std::string chunk;
  size_t lines = 0;
  for (source.next(chunk); !chunk.empty(); source.next(chunk)) {
    EXPECT_LT(chunk.size(), 70000U);
    lines += static_cast<size_t>(std::count(chunk.begin(), chunk.end(), '\n'));
  }
  EXPECT_EQ(lines, 18004U);
}

TEST(Exposition, WhatHasExpiredIsLeftOut) {
  World world;
  row(world.target("a", 10), "p", 1);
  row(world.target("b", -1), "p", 1);
  EXPECT_NE(world.text().find("target=\"a\""), std::string::npos);
  EXPECT_EQ(world.text().find("target=\"b\""), std::string::npos);
}

TEST(Exposition, OneTargetAlone) {
  World world;
  row(world.target("a"), "p", 1);
  row(world.target("b"), "p", 1);
  EXPECT_EQ(world.text({.target = "b"}).find("target=\"a\""), std::string::npos);
}

TEST(Exposition, PiecesAreAboutSixtyFourKilobytesAndMakeTheWhole) {
  World world;
  Output& output = world.target("a");
  Table& table = output.table(kSchema);
  for (int i = 0; i < 5000; ++i) {
    const std::string name = "p" + std::to_string(i);
    const std::string_view labels[] = {name};
    table.set(table.add_row(labels), 0, i);
  }
  const Catalog catalog({&kSchema});
  ExpositionSource source(catalog, world.snapshot, world.now, {});
  std::string chunk;
  size_t samples = 0;
  for (source.next(chunk); !chunk.empty(); source.next(chunk)) {
    EXPECT_LT(chunk.size(), 70000U);
    samples += static_cast<size_t>(std::count(chunk.begin(), chunk.end(), '\n'));
  }
  EXPECT_EQ(samples, 5002U);
}

TEST(Exposition, NumbersDoNotFollowTheLocale) {
  const char* old = std::setlocale(LC_ALL, "de_DE.UTF-8");
  World world;
  Output& output = world.target("a");
  const std::string_view labels[] = {"p"};
  Table& table = output.table(kSchema);
  table.set(table.add_row(labels), 2, 1234567.8);
  EXPECT_NE(world.text().find("} 1234.5678\n"), std::string::npos)
      << (old == nullptr ? "locale de_DE.UTF-8 is missing" : "");
  std::setlocale(LC_ALL, "C");
}

TEST(Exposition, ProcessFamiliesComeLast) {
  prometheus::Registry registry;
  prometheus::BuildCounter()
      .Name("z_total")
      .Help("Z\nz.")
      .Register(registry)
      .Add({{"a", "b\"c"}})
      .Increment(2.5);
  World world;
  EXPECT_EQ(world.text({.families = registry.Collect()}),
            "# HELP z_total Z\\nz.\n# TYPE z_total counter\nz_total{a=\"b\\\"c\"} 2.5\n");
  EXPECT_EQ(world.text({.format = Exposition::kOpenMetrics100, .families = registry.Collect()}),
            "# HELP z Z\\nz.\n# TYPE z counter\nz_total{a=\"b\\\"c\"} 2.5\n# EOF\n");
}

}  // namespace
}  // namespace lagwatch
