// SPDX-License-Identifier: Apache-2.0
// The command line: what subcommands share.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "discover/discover.h"

namespace CLI {
class App;
}

namespace lagwatch {

inline constexpr const char* kDefaultConfig = "/etc/lagwatch/lagwatch.yml";
inline constexpr const char* kDefaultStorage = "/var/lib/lagwatch";

enum ExitCode { kFine = 0, kFailed = 1, kUsage = 2 };

// Arguments behind the subcommand; one or two dashes, `--flag value` and `--flag=value`.
using Arguments = std::vector<std::string>;

int run_command(const Arguments& arguments);
int discover_command(const Arguments& arguments);
int check_command(const Arguments& arguments);
int scrape_command(const Arguments& arguments);
int inflight_command(const Arguments& arguments);
int metrics_command(const Arguments& arguments);

std::string version();

// Parses; an exit code where that is all there is to do (help, a mistake).
std::optional<int> parse_arguments(CLI::App& app, const Arguments& arguments);

struct CommonOptions {
  std::string config_file = kDefaultConfig;
  std::string storage_path = kDefaultStorage;
  std::string log_level = "info";
  std::string log_format = "logfmt";
};
void add_common_options(CLI::App& app, CommonOptions& options);

// The configuration and what discovery adds to it. The file may be missing where it was not named.
struct Loaded {
  Config config;
  bool from_file = false;
  std::optional<Discovery> found;  // where the configuration leaves something to it
};
// Prints the mistakes, one a line, and is empty if there are any.
std::optional<Loaded> load(const CommonOptions& options);

// What one command prints on standard output.
void print(const std::string& text);
void print_error(const std::string& text);

}  // namespace lagwatch
