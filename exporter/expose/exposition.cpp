// SPDX-License-Identifier: Apache-2.0
#include "expose/exposition.h"

#include <cmath>
#include <utility>

#include "base/text.h"
#include "expose/self.h"

namespace lagwatch {
namespace {

constexpr size_t kChunkBytes = 64U << 10U;
constexpr std::string_view kTotal = "_total";

void append_help(std::string& out, std::string_view help, bool openmetrics) {
  for (const char c : help) {
    if (c == '\n') {
      out += "\\n";
    } else {
      if (c == '\\' || (openmetrics && c == '"')) out += '\\';
      out += c;
    }
  }
}

// `name{labels,extra="value"} number\n`. `labels` is rendered; both may be empty.
void append_sample(std::string& out, std::string_view name, std::string_view labels,
                   std::string_view extra, std::string_view extra_value, double number) {
  out += name;
  if (!labels.empty() || !extra.empty()) {
    out += '{';
    out += labels;
    if (!extra.empty()) {
      if (!labels.empty()) out += ',';
      out += extra;
      out += "=\"";
      out += extra_value;
      out += '"';
    }
    out += '}';
  }
  out += ' ';
  append_double(out, number);
  out += '\n';
}

void append_histogram(std::string& out, const Column& column, const Table& table, size_t row,
                      size_t offset) {
  const std::string name(column.name);
  const std::string_view labels = table.labels(row);
  const size_t bounds = column.values.size();
  if (std::isnan(table.cell(row, offset + bounds))) return;
  for (size_t i = 0; i < bounds; ++i) {
    append_sample(out, name + "_bucket", labels, "le", column.values[i],
                  table.cell(row, offset + i));
  }
  const double count = table.cell(row, offset + bounds);
  append_sample(out, name + "_bucket", labels, "le", "+Inf", count);
  const double sum = table.cell(row, offset + bounds + 1);
  if (!std::isnan(sum)) append_sample(out, name + "_sum", labels, {}, {}, sum);
  append_sample(out, name + "_count", labels, {}, {}, count);
}

std::string client_labels(const prometheus::ClientMetric& metric) {
  std::string block;
  for (const auto& label : metric.label) append_label(block, label.name, label.value);
  return block;
}

void append_client_metric(std::string& out, const prometheus::MetricFamily& family,
                          const prometheus::ClientMetric& metric) {
  const std::string labels = client_labels(metric);
  if (family.type == prometheus::MetricType::Counter) {
    append_sample(out, family.name, labels, {}, {}, metric.counter.value);
  } else if (family.type == prometheus::MetricType::Gauge) {
    append_sample(out, family.name, labels, {}, {}, metric.gauge.value);
  } else if (family.type == prometheus::MetricType::Histogram) {
    for (const auto& bucket : metric.histogram.bucket) {
      std::string bound;
      append_double(bound, bucket.upper_bound);
      append_sample(out, family.name + "_bucket", labels, "le", bound,
                    static_cast<double>(bucket.cumulative_count));
    }
    append_sample(out, family.name + "_sum", labels, {}, {}, metric.histogram.sample_sum);
    append_sample(out, family.name + "_count", labels, {}, {},
                  static_cast<double>(metric.histogram.sample_count));
  }
}

Type client_type(prometheus::MetricType type) {
  if (type == prometheus::MetricType::Counter) return Type::kCounter;
  return type == prometheus::MetricType::Histogram ? Type::kHistogram : Type::kGauge;
}

}  // namespace

ExpositionSource::ExpositionSource(const Catalog& catalog, std::shared_ptr<const Snapshot> snapshot,
                                   const Moment& now, Options options)
    : catalog_(catalog),
      snapshot_(std::move(snapshot)),
      options_(std::move(options)),
      by_schema_(catalog.schemas().size()),
      foreign_(catalog.families().size()) {
  own_tables_.reserve(snapshot_->targets.size());
  for (size_t i = 0; i < snapshot_->targets.size(); ++i) {
    const TargetView& target = *snapshot_->targets[i];
    if (options_.target && *options_.target != target.info->name) continue;
    own_tables_.push_back(self_tables(target, now));
    add_tables(own_tables_.back());
    for (const CollectorView& collector : target.collectors) {
      if (!collector.output || now.steady >= collector.expires_at) continue;
      add_tables(collector.output->tables);
      add_foreign(collector.output->foreign);
    }
    if (i < snapshot_->joined.size() && snapshot_->joined[i]) add_tables(*snapshot_->joined[i]);
  }
}

void ExpositionSource::add_tables(const std::vector<Table>& tables) {
  for (const Table& table : tables) {
    const size_t index = catalog_.index(&table.schema());
    if (index < by_schema_.size()) by_schema_[index].push_back(&table);
  }
}

void ExpositionSource::add_foreign(const std::vector<ForeignFamily>& families) {
  for (const ForeignFamily& family : families) {
    const size_t place = catalog_.family(family.name);
    if (place < foreign_.size()) foreign_[place].push_back(&family);
  }
}

void ExpositionSource::next(std::string& chunk) {
  chunk.clear();
  if (done_) return;
  chunk.reserve(kChunkBytes + 4096);
  if (!families_done_) families_done_ = write_families(chunk);
  if (!families_done_) return;
  write_process_families(chunk);
  if (options_.format == Exposition::kOpenMetrics100) chunk += "# EOF\n";
  done_ = true;
}

bool ExpositionSource::write_families(std::string& chunk) {
  const auto families = catalog_.families();
  while (at_.family < families.size()) {
    const Catalog::Family& family = families[at_.family];
    if (!write_rows(chunk, family) || !write_foreign(chunk, family)) return false;
    at_ = Position{.family = at_.family + 1};
    header_written_ = false;
  }
  return true;
}

bool ExpositionSource::write_rows(std::string& chunk, const Catalog::Family& family) {
  for (; at_.part < family.parts.size(); ++at_.part, at_.table = 0) {
    const Catalog::Part& part = family.parts[at_.part];
    const std::vector<const Table*>& tables = by_schema_[part.schema];
    for (; at_.table < tables.size(); ++at_.table, at_.row = 0) {
      const Table& table = *tables[at_.table];
      for (; at_.row < table.rows(); ++at_.row) {
        if (chunk.size() >= kChunkBytes) return false;
        write_row(chunk, family, table, part.column, at_.row);
      }
    }
  }
  return true;
}

bool ExpositionSource::write_foreign(std::string& chunk, const Catalog::Family& family) {
  const std::vector<const ForeignFamily*>& sent = foreign_[at_.family];
  std::string name(family.column->name);
  const size_t bare = name.size();
  for (; at_.foreign < sent.size(); ++at_.foreign, at_.sample = 0) {
    const auto& samples = sent[at_.foreign]->samples;
    for (; at_.sample < samples.size(); ++at_.sample) {
      if (chunk.size() >= kChunkBytes) return false;
      const ForeignFamily::Sample& sample = samples[at_.sample];
      begin_family(chunk, family);
      name.resize(bare);
      name += sample.suffix;
      append_sample(chunk, name, sample.labels, {}, {}, sample.value);
    }
  }
  return true;
}

// HELP and TYPE, before the first sample.
void ExpositionSource::begin_family(std::string& chunk, const Catalog::Family& family) {
  if (std::exchange(header_written_, true)) return;
  write_header(chunk, family.column->name, family.column->type, family.column->help,
               family.column->source);
}

void ExpositionSource::write_row(std::string& chunk, const Catalog::Family& family,
                                 const Table& table, size_t column_index, size_t row) {
  const Column& column = table.schema().columns[column_index];
  const size_t offset = table.offset(column_index);
  const size_t cells = cell_count(column);
  bool any = false;
  for (size_t i = 0; i < cells && !any; ++i) any = !std::isnan(table.cell(row, offset + i));
  if (!any) return;
  begin_family(chunk, family);
  const std::string_view labels = table.labels(row);
  switch (column.expand) {
    case Expand::kOne:
      append_sample(chunk, column.name, labels, {}, {}, table.cell(row, offset));
      break;
    case Expand::kEach:
      for (size_t i = 0; i < cells; ++i) {
        const double value = table.cell(row, offset + i);
        if (!std::isnan(value))
          append_sample(chunk, column.name, labels, column.label, column.values[i], value);
      }
      break;
    case Expand::kState: {
      const double state = table.cell(row, offset);
      for (size_t i = 0; i < column.values.size(); ++i) {
        const bool active = state == static_cast<double>(i);
        if (active || !table.sparse_states()) {
          append_sample(chunk, column.name, labels, column.label, column.values[i], active ? 1 : 0);
        }
      }
      break;
    }
    case Expand::kHistogram:
      append_histogram(chunk, column, table, row, offset);
      break;
  }
}

void ExpositionSource::write_process_families(std::string& chunk) const {
  for (const prometheus::MetricFamily& family : options_.families) {
    write_header(chunk, family.name, client_type(family.type), family.help, {});
    for (const prometheus::ClientMetric& metric : family.metric)
      append_client_metric(chunk, family, metric);
  }
}

void ExpositionSource::write_header(std::string& chunk, std::string_view name, Type type,
                                    std::string_view help, std::string_view source) const {
  const bool openmetrics = options_.format == Exposition::kOpenMetrics100;
  std::string_view type_word = type_name(type);
  if (openmetrics && type == Type::kCounter) {
    // A counter's family has no suffix; one whose sample has none either cannot be called a
    // counter.
    if (name.ends_with(kTotal)) {
      name.remove_suffix(kTotal.size());
    } else {
      type_word = "unknown";
    }
  }
  chunk += "# HELP ";
  chunk += name;
  chunk += ' ';
  append_help(chunk, help, openmetrics);
  if (!source.empty()) {
    chunk += " Source: ";
    append_help(chunk, source, openmetrics);
    chunk += '.';
  }
  chunk += "\n# TYPE ";
  chunk += name;
  chunk += ' ';
  chunk += type_word;
  chunk += '\n';
}

std::string read_all(BodySource& source) {
  std::string whole;
  std::string chunk;
  for (source.next(chunk); !chunk.empty(); source.next(chunk)) whole += chunk;
  return whole;
}

}  // namespace lagwatch
