// SPDX-License-Identifier: Apache-2.0
// `lagwatch scrape`: collect once, print the exposition.
#include <CLI/CLI.hpp>
#include <algorithm>

#include "cli/options.h"
#include "cli/session.h"
#include "expose/exposition.h"

namespace lagwatch {
namespace {

// Keeps the targets that are named; false, with words, if a name is not known.
bool keep_named(std::vector<TargetSpec>& specs, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (std::any_of(specs.begin(), specs.end(),
                    [&](const auto& spec) { return spec.options.name == name; }))
      continue;
    std::string known;
    for (const TargetSpec& spec : specs) known += " " + spec.options.name;
    print_error("lagwatch: there is no target \"" + name + "\"; there is:" + known + "\n");
    return false;
  }
  if (!names.empty()) {
    std::erase_if(specs, [&](const TargetSpec& spec) {
      return std::find(names.begin(), names.end(), spec.options.name) == names.end();
    });
  }
  return true;
}

}  // namespace

int scrape_command(const Arguments& arguments) {
  CLI::App app("Collects once and prints the exposition. Exit code 1 if a target failed.",
               "lagwatch scrape");
  CommonOptions common;
  std::vector<std::string> names;
  add_common_options(app, common);
  app.add_option("target", names, "Only these targets");
  if (const auto code = parse_arguments(app, arguments)) return *code;
  const auto loaded = load(common);
  if (!loaded) return kUsage;
  std::vector<TargetSpec> specs =
      make_targets(loaded->config, loaded->found ? &*loaded->found : nullptr, common.storage_path);
  if (!keep_named(specs, names)) return kUsage;

  Session session;
  for (TargetSpec& spec : specs) session.add(std::move(spec));
  session.run_until_tried();
  const Catalog catalog(all_schemas());
  const auto snapshot = session.board().read();
  ExpositionSource source(catalog, snapshot, now(), {});
  print(read_all(source));
  const bool failed = std::any_of(snapshot->targets.begin(), snapshot->targets.end(),
                                  [](const auto& target) { return !target->up; });
  return failed ? kFailed : kFine;
}

}  // namespace lagwatch
