// SPDX-License-Identifier: Apache-2.0
// `lagwatch inflight`: the requests that application servers have not answered yet, the oldest
// first: what passenger-status --show=requests was asked for at night.
#include "expose/inflight.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "base/text.h"
#include "cli/options.h"
#include "cli/session.h"

namespace lagwatch {
namespace {

constexpr size_t kShownPath = 80;

bool tells_requests(const TargetSpec& spec) {
  return std::any_of(spec.collectors.begin(), spec.collectors.end(),
                     [](const Collector* one) { return one->lane == Lane::kRequests; }) &&
         spec.kind->name == "passenger";
}

std::string line_of(const std::string& target, const InflightRequest& request) {
  char age[32] = "?";
  if (request.age) std::snprintf(age, sizeof age, "%.1f", *request.age);
  std::string pid = request.pid == 0 ? "-" : std::to_string(request.pid);
  char columns[160];
  std::snprintf(columns, sizeof columns, "%8s  %-9s  %7s  %-20.20s  %-12.12s  %-7.7s  ", age,
                std::string(request_state_name(request.state)).c_str(), pid.c_str(),
                printable(request.route, 20).c_str(), printable(target, 12).c_str(),
                printable(request.method, 7).c_str());
  std::string line = columns + printable(request.path, kShownPath);
  if (request.abandoned) line += "  (whoever asked has gone)";
  if (request.short_query) line += "  (short query)";
  return line + "\n";
}

std::string table_of(const Snapshot& snapshot) {
  std::string out;
  size_t left_out = 0;
  for (const auto& target : snapshot.targets) {
    for (const CollectorView& view : target->collectors) {
      if (!view.output || !view.output->inflight) continue;
      left_out += view.output->inflight->left_out;
      for (const InflightRequest& request : view.output->inflight->requests)
        out += line_of(target->info->name, request);
    }
  }
  if (out.empty()) return "No request is in flight.\n";
  if (left_out > 0) out += "... and " + std::to_string(left_out) + " younger ones\n";
  return " AGE (s)  STATE          PID  ROUTE                 TARGET        METHOD   PATH\n" + out;
}

void print_failure(const TargetView& target, const Error& error) {
  print_error("lagwatch: " + target.info->name + ": " + error.message +
              (error.fix.empty() ? "" : "\n  fix: " + error.fix) + "\n");
}

// Whether there was one.
bool print_failures(const Snapshot& snapshot) {
  bool any = false;
  for (const auto& target : snapshot.targets) {
    if (target->error) print_failure(*target, *target->error);
    any = any || !target->up;
    for (const CollectorView& view : target->collectors) {
      if (!view.output) continue;
      for (const Error& limit : view.output->limits) print_failure(*target, limit);
      any = any || !view.output->limits.empty();
    }
  }
  return any;
}

}  // namespace

int inflight_command(const Arguments& arguments) {
  CLI::App app(
      "Asks Passenger which requests are in flight, the oldest first. Exit code 1 if a target "
      "failed.",
      "lagwatch inflight");
  CommonOptions common;
  std::string format = "table";
  add_common_options(app, common);
  app.add_option("--format", format, "table, or json as /api/v1/inflight of a running agent")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  if (const auto code = parse_arguments(app, arguments)) return *code;
  const auto loaded = load(common);
  if (!loaded) return kUsage;
  std::vector<TargetSpec> specs =
      make_targets(loaded->config, loaded->found ? &*loaded->found : nullptr, {});
  std::erase_if(specs, [](const TargetSpec& spec) { return !tells_requests(spec); });
  if (specs.empty()) {
    print_error(
        "lagwatch: no Passenger is configured, and none was found: `lagwatch discover` says why\n");
    return kFailed;
  }
  Session session;
  for (TargetSpec& spec : specs) session.add(std::move(spec));
  session.run_until_tried();
  const auto snapshot = session.board().read();
  print(format == "json" ? inflight_json(*snapshot, now().steady) : table_of(*snapshot));
  return print_failures(*snapshot) ? kFailed : kFine;
}

}  // namespace lagwatch
