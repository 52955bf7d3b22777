// SPDX-License-Identifier: Apache-2.0
// `lagwatch check [--live]`: the configuration, and each target: reachable, allowed, and the exact
// fix if not.
#include <CLI/CLI.hpp>

#include "base/text.h"
#include "cli/options.h"
#include "cli/session.h"

namespace lagwatch {
namespace {

std::vector<const Error*> limits_of(const TargetView& target) {
  std::vector<const Error*> limits;
  for (const CollectorView& collector : target.collectors) {
    if (!collector.output) continue;
    for (const Error& limit : collector.output->limits) limits.push_back(&limit);
  }
  return limits;
}

int check_live(std::vector<TargetSpec> specs) {
  Session session;
  for (TargetSpec& spec : specs) session.add(std::move(spec));
  session.run_until_tried();
  bool failed = false;
  for (const auto& target : session.board().read()->targets) {
    std::string line(target->info->kind->name);
    line += " " + target->info->name + ": ";
    const auto limits = limits_of(*target);
    if (target->up && limits.empty()) {
      line += "ok\n";
    } else if (target->up) {
      failed = true;
      line += "in part\n";
      for (const Error* limit : limits) {
        line += "  " + std::string(reason_name(limit->reason)) + ": " + printable(limit->message) +
                "\n";
        if (!limit->fix.empty()) line += "  fix: " + printable(limit->fix, 1000) + "\n";
      }
    } else {
      failed = true;
      line += std::string(reason_name(target->error->reason)) + ": " +
              printable(target->error->message) + "\n";
      if (!target->error->fix.empty())
        line += "  fix: " + printable(target->error->fix, 1000) + "\n";
    }
    print(line);
  }
  return failed ? kFailed : kFine;
}

}  // namespace

int check_command(const Arguments& arguments) {
  CLI::App app("Checks the configuration; with --live asks each target once.", "lagwatch check");
  CommonOptions common;
  bool live = false;
  add_common_options(app, common);
  app.add_flag("--live", live, "Ask each target: reachable, allowed, and the exact fix if not");
  if (const auto code = parse_arguments(app, arguments)) return *code;
  common.log_level = "error";  // what fails is printed below
  const auto loaded = load(common);
  if (!loaded) return kUsage;
  print(loaded->from_file ? common.config_file + ": ok\n"
                          : std::string("no configuration: what runs on this host is watched\n"));
  if (loaded->found) {
    for (const std::string& problem : loaded->found->problems)
      print("discovery: " + printable(problem, 4000) + "\n");
  }
  std::vector<TargetSpec> specs =
      make_targets(loaded->config, loaded->found ? &*loaded->found : nullptr, common.storage_path);
  if (!live) {
    for (const TargetSpec& spec : specs)
      print(std::string(spec.kind->name) + " " + spec.options.name + "\n");
    return kFine;
  }
  return check_live(std::move(specs));
}

}  // namespace lagwatch
