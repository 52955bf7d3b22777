// SPDX-License-Identifier: Apache-2.0
// Metrics are declared once and rightly; what the documents say of them is true.
#include "expose/catalog.h"

#include <gtest/gtest.h>
#include <re2/re2.h>

#include <map>

#include "cli/session.h"
#include "collector/collector.h"
#include "golden.h"

namespace lagwatch {
namespace {

const std::string kReadme = golden::read_file(std::string(kSourceDirectory) + "/README.md");

TEST(Catalog, AFamilyHasOneTypeAndOneHelp) {
  std::map<std::string_view, const Column*> known;
  for (const Schema* schema : all_schemas()) {
    for (const Column& column : schema->columns) {
      const auto [found, fresh] = known.emplace(column.name, &column);
      if (fresh) continue;
      EXPECT_EQ(found->second->type, column.type) << column.name;
      EXPECT_EQ(found->second->help, column.help) << column.name;
    }
  }
}

TEST(Catalog, NamesAndLabelsAreValid) {
  const RE2 name("[a-zA-Z_][a-zA-Z0-9_]*");
  for (const Schema* schema : all_schemas()) {
    for (const std::string_view label : schema->labels) {
      EXPECT_TRUE(RE2::FullMatch(std::string(label), name)) << label;
      EXPECT_NE(label, "target");
    }
    for (const Column& column : schema->columns) {
      EXPECT_TRUE(RE2::FullMatch(std::string(column.name), name)) << column.name;
      EXPECT_FALSE(column.help.empty()) << column.name;
      EXPECT_TRUE(column.help.ends_with('.')) << column.name << ": " << column.help;
      EXPECT_EQ(column.values.empty(), column.expand == Expand::kOne) << column.name;
      EXPECT_EQ(column.label.empty(), column.values.empty() || column.expand == Expand::kHistogram)
          << column.name;
    }
  }
}

TEST(Catalog, EveryCollectorHasARowInTheReadme) {
  for (const Collector* collector : collectors()) {
    EXPECT_NE(kReadme.find("| `" + std::string(collector->name) + "` |"), std::string::npos)
        << "README.md, table of collectors: add the line\n| `" << collector->name
        << "` | what it reads | privileges | `" << collector->name << "_` |";
  }
}

TEST(Catalog, EveryMetricTheReadmeNamesExists) {
  const Catalog catalog(all_schemas());
  std::set<std::string_view> names;
  for (const Catalog::Family& family : catalog.families()) names.insert(family.column->name);
  for (const Collector* collector : collectors()) names.insert(collector->name);
  // PostgreSQL's own names look alike.
  const std::set<std::string> of_postgres = {"pg_read_all_stats",
                                             "pg_stat_replication",
                                             "pg_stat_wal_receiver",
                                             "pg_stat_archiver",
                                             "pg_stat_activity",
                                             "pg_replication_slots",
                                             "pg_stat_database",
                                             "pg_stat_bgwriter",
                                             "pg_stat_statements",
                                             "pg_stat_checkpointer",
                                             "pg_settings",
                                             "pg_lsclusters",
                                             "pg_wal",
                                             "pg_xlog"};
  const RE2 metric(
      "`((?:elasticsearch|haproxy|lagwatch|node|passenger|pg)_[a-z0-9_A-Z]+)(?:\\{[^`]*)?`");
  re2::StringPiece rest(kReadme);
  for (std::string name; RE2::FindAndConsume(&rest, metric, &name);) {
    if (name.ends_with('_') || of_postgres.contains(name)) continue;  // a prefix; no metric
    EXPECT_TRUE(names.contains(name)) << "README.md names " << name << ", which nothing declares";
  }
}

}  // namespace
}  // namespace lagwatch
