// SPDX-License-Identifier: Apache-2.0
#include "expose/self.h"

#include <array>
#include <utility>

namespace lagwatch {
namespace {

std::array<std::string_view, kReasonCount> make_reason_names() {
  std::array<std::string_view, kReasonCount> names;
  for (size_t i = 0; i < kReasonCount; ++i) names[i] = reason_name(static_cast<Reason>(i));
  return names;
}
const std::array<std::string_view, kReasonCount> kReasonNames = make_reason_names();

constexpr std::string_view kKind[] = {"kind"};
constexpr std::string_view kKindReason[] = {"kind", "reason"};
constexpr std::string_view kKindCollector[] = {"kind", "collector"};

const Column kTarget[] = {
    {.name = "lagwatch_target_up",
     .help = "1 if the last exchange with the target succeeded, 0 if it failed; absent before the "
             "first one ended."},
    {.name = "lagwatch_target_failures_total",
     .type = Type::kCounter,
     .help = "Exchanges with the target that failed, by reason.",
     .label = "reason",
     .values = kReasonNames,
     .expand = Expand::kEach},
    {.name = "lagwatch_target_connections_opened_total",
     .type = Type::kCounter,
     .help = "Connections opened to the target."},
    {.name = "lagwatch_target_series_dropped_total",
     .type = Type::kCounter,
     .help = "Rows of the target left out because a cap was reached, added up over exchanges."},
};
constexpr Column kFailing[] = {
    {.name = "lagwatch_target_failing",
     .help = "1 while the last exchange with the target has failed, with the reason; absent "
             "otherwise."},
};
constexpr std::string_view kKindCollectorReason[] = {"kind", "collector", "reason"};
constexpr Column kLimited[] = {
    {.name = "lagwatch_target_limited",
     .help = "1 while part of what the collector asks is refused or cannot be had; `lagwatch check "
             "--live` says what and how to mend it."},
};
constexpr Column kCollector[] = {
    {.name = "lagwatch_target_scrape_duration_seconds",
     .help = "Time the collector's last exchange took, well or badly ended."},
    {.name = "lagwatch_target_last_success_timestamp_seconds",
     .help = "When the samples shown were complete, by the agent's wall clock."},
    {.name = "lagwatch_target_age_seconds",
     .help =
         "Age of the samples shown, by the agent's monotonic clock; absent while none are shown."},
};

const Schema kTargetSchema{kKind, kTarget};
constexpr Schema kFailingSchema{kKindReason, kFailing};
constexpr Schema kCollectorSchema{kKindCollector, kCollector};
constexpr Schema kLimitedSchema{kKindCollectorReason, kLimited};
const Schema* const kSchemas[] = {&kTargetSchema, &kFailingSchema, &kLimitedSchema,
                                  &kCollectorSchema};

void add_limits(const TargetView& target, const Moment& now, std::vector<Table>& tables) {
  Table limited(kLimitedSchema, target.info->label_block);
  for (const CollectorView& collector : target.collectors) {
    if (!collector.output || now.steady >= collector.expires_at) continue;
    std::array<bool, kReasonCount> said{};
    for (const Error& limit : collector.output->limits) {
      if (std::exchange(said[static_cast<size_t>(limit.reason)], true)) continue;
      const std::string_view labels[] = {target.info->kind->name, collector.name,
                                         reason_name(limit.reason)};
      limited.set(limited.add_row(labels), 0, 1);
    }
  }
  if (limited.rows() > 0) tables.push_back(std::move(limited));
}

}  // namespace

std::span<const Schema* const> self_schemas() { return kSchemas; }

std::vector<Table> self_tables(const TargetView& target, const Moment& now) {
  std::vector<Table> tables;
  if (!target.tried) return tables;
  const TargetInfo& info = *target.info;
  const std::string_view kind = info.kind->name;

  Table& about = tables.emplace_back(kTargetSchema, info.label_block);
  const std::string_view kind_label[] = {kind};
  about.add_row(kind_label);
  about.set(0, 0, target.up ? 1 : 0);
  for (size_t i = 0; i < kReasonCount; ++i) {
    about.set(0, 1, static_cast<double>(target.failures[i]), i);
  }
  about.set(0, 2, static_cast<double>(target.connections_opened));
  about.set(0, 3, static_cast<double>(target.series_dropped));

  if (target.error) {
    Table& failing = tables.emplace_back(kFailingSchema, info.label_block);
    const std::string_view labels[] = {kind, reason_name(target.error->reason)};
    failing.add_row(labels);
    failing.set(0, 0, 1);
  }

  Table& collectors = tables.emplace_back(kCollectorSchema, info.label_block);
  for (const CollectorView& collector : target.collectors) {
    if (!collector.tried) continue;
    const std::string_view labels[] = {kind, collector.name};
    const size_t row = collectors.add_row(labels);
    collectors.set(row, 0, seconds(collector.last_duration));
    if (collector.good_wall != WallTime{})
      collectors.set(row, 1, unix_seconds(collector.good_wall));
    if (collector.output && now.steady < collector.expires_at) {
      collectors.set(row, 2, seconds(now.steady - collector.good_at));
    }
  }

  add_limits(target, now, tables);

  if (info.kind->up_schema != nullptr) {
    Table& up = tables.emplace_back(*info.kind->up_schema, info.label_block);
    up.add_row();
    up.set(0, 0, target.up ? 1 : 0);
    if (info.kind->up_schema->columns.size() > 1) up.set(0, 1, target.up ? 0 : 1);
  }
  return tables;
}

}  // namespace lagwatch
