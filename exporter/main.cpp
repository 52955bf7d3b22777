// SPDX-License-Identifier: Apache-2.0
// Picks the subcommand.
#include <csignal>
#include <string>
#include <string_view>

#include "cli/options.h"

namespace {

using Command = int (*)(const lagwatch::Arguments&);

struct Entry {
  std::string_view name;
  Command run;
  std::string_view help;
};

constexpr Entry kCommands[] = {
    {"run", lagwatch::run_command, "watch and serve (the default)"},
    {"discover", lagwatch::discover_command, "what runs on this host, as a configuration to keep"},
    {"check", lagwatch::check_command, "the configuration; with --live each target too"},
    {"scrape", lagwatch::scrape_command, "collect once, print the exposition"},
    {"inflight", lagwatch::inflight_command, "requests in flight now: age, state, pid, route"},
    {"metrics", lagwatch::metrics_command, "every metric: name, type, labels, source, help"},
};

std::string usage() {
  std::string text = "usage: lagwatch [COMMAND] [FLAGS]\n\n";
  for (const Entry& entry : kCommands) {
    text += "  " + std::string(entry.name) + std::string(10 - entry.name.size(), ' ') +
            std::string(entry.help) + "\n";
  }
  return text + "\n`lagwatch COMMAND --help` lists the flags of each.\n";
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  lagwatch::Arguments arguments(argv + 1, argv + argc);
  const std::string first = arguments.empty() ? "" : arguments.front();
  if (first == "help" || first == "--help" || first == "-h" || first == "-help") {
    lagwatch::print(usage());
    return lagwatch::kFine;
  }
  if (first == "version" || first == "--version" || first == "-version") {
    lagwatch::print("lagwatch " + lagwatch::version() + "\n");
    return lagwatch::kFine;
  }
  if (first.empty() || first.front() == '-') return lagwatch::run_command(arguments);
  for (const Entry& entry : kCommands) {
    if (entry.name != first) continue;
    arguments.erase(arguments.begin());
    return entry.run(arguments);
  }
  lagwatch::print_error("lagwatch: there is no command \"" + first + "\"\n\n" + usage());
  return lagwatch::kUsage;
}
