// SPDX-License-Identifier: Apache-2.0
// `lagwatch discover`: what runs on this host, as a configuration to keep.
#include "discover/discover.h"

#include <CLI/CLI.hpp>

#include "cli/options.h"

namespace lagwatch {

int discover_command(const Arguments& arguments) {
  CLI::App app(
      "Prints what runs on this host as a configuration to keep, seen with the rights of this "
      "user.",
      "lagwatch discover");
  if (const auto code = parse_arguments(app, arguments)) return *code;
  print(to_yaml(discover({})));
  return kFine;
}

}  // namespace lagwatch
