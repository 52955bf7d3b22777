// SPDX-License-Identifier: Apache-2.0
// A snapshot as Prometheus reads it, text format 0.0.4 or OpenMetrics 1.0, made in pieces of about
// 64 KiB.
#pragma once

#include <prometheus/metric_family.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "expose/catalog.h"
#include "expose/negotiate.h"
#include "model/http.h"
#include "model/snapshot.h"

namespace lagwatch {

// Each family stands once, contiguous over targets, samples that other agents sent behind our own;
// what has expired at `now` is left out.
class ExpositionSource : public BodySource {
 public:
  struct Options {
    Exposition format = Exposition::kText004;
    std::optional<std::string> target;               // this one alone
    std::vector<prometheus::MetricFamily> families;  // of the process, behind the others
  };

  // `catalog` outlives the source.
  ExpositionSource(const Catalog& catalog, std::shared_ptr<const Snapshot> snapshot,
                   const Moment& now, Options options);

  void next(std::string& chunk) override;

 private:
  // Where the next piece begins.
  struct Position {
    size_t family = 0;
    size_t part = 0;
    size_t table = 0;
    size_t row = 0;
    size_t foreign = 0;
    size_t sample = 0;
  };

  void add_tables(const std::vector<Table>& tables);
  void add_foreign(const std::vector<ForeignFamily>& families);
  // These write until the piece is full; false if it is before they are done.
  bool write_rows(std::string& chunk, const Catalog::Family& family);
  bool write_foreign(std::string& chunk, const Catalog::Family& family);
  bool write_families(std::string& chunk);
  void begin_family(std::string& chunk, const Catalog::Family& family);
  void write_row(std::string& chunk, const Catalog::Family& family, const Table& table,
                 size_t column, size_t row);
  void write_process_families(std::string& chunk) const;
  void write_header(std::string& chunk, std::string_view name, Type type, std::string_view help,
                    std::string_view source) const;

  const Catalog& catalog_;
  std::shared_ptr<const Snapshot> snapshot_;  // keeps the tables alive
  Options options_;
  std::vector<std::vector<Table>> own_tables_;
  std::vector<std::vector<const Table*>> by_schema_;
  std::vector<std::vector<const ForeignFamily*>> foreign_;  // by place in the catalogue
  Position at_;
  bool header_written_ = false;
  bool families_done_ = false;
  bool done_ = false;
};

// The whole of a source, for `lagwatch scrape` and tests.
std::string read_all(BodySource& source);

}  // namespace lagwatch
