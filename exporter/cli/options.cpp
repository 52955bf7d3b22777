// SPDX-License-Identifier: Apache-2.0
#include "cli/options.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <utility>

#include "base/log.h"
#include "cli/session.h"

#ifndef LAGWATCH_VERSION
#error "the build sets LAGWATCH_VERSION"
#endif

namespace lagwatch {
namespace {

void write_all(int fd, const std::string& text) {
  size_t sent = 0;
  while (sent < text.size()) {
    const ssize_t wrote = ::write(fd, text.data() + sent, text.size() - sent);
    if (wrote <= 0) return;
    sent += static_cast<size_t>(wrote);
  }
}

}  // namespace

std::string version() { return LAGWATCH_VERSION; }

void print(const std::string& text) { write_all(STDOUT_FILENO, text); }
void print_error(const std::string& text) { write_all(STDERR_FILENO, text); }

std::optional<int> parse_arguments(CLI::App& app, const Arguments& arguments) {
  Arguments reversed;  // as CLI11 takes them
  for (const std::string& argument : arguments) {
    const bool one_dash = argument.size() > 2 && argument[0] == '-' && argument[1] != '-';
    reversed.push_back(one_dash ? "-" + argument : argument);
  }
  std::reverse(reversed.begin(), reversed.end());
  try {
    app.parse(std::move(reversed));
  } catch (const CLI::ParseError& error) {
    const bool help = error.get_exit_code() == 0;
    std::ostringstream out;
    std::ostringstream err;
    app.exit(error, out, err);
    print(out.str());
    print_error(err.str());
    return help ? kFine : kUsage;
  }
  return std::nullopt;
}

void add_common_options(CLI::App& app, CommonOptions& options) {
  app.add_option(
         "--config.file", options.config_file,
         "Configuration; without one, and without this flag, what runs on this host is found")
      ->capture_default_str();
  app.add_option("--storage.path", options.storage_path, "Directory for state")
      ->capture_default_str();
  app.add_option("--log.level", options.log_level, "debug, info, warn or error")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
      ->capture_default_str();
  app.add_option("--log.format", options.log_format, "logfmt or json")
      ->check(CLI::IsMember({"logfmt", "json"}))
      ->capture_default_str();
}

std::optional<Loaded> load(const CommonOptions& options) {
  LogLevel level = LogLevel::kInfo;
  if (options.log_level == "debug") level = LogLevel::kDebug;
  if (options.log_level == "warn") level = LogLevel::kWarn;
  if (options.log_level == "error") level = LogLevel::kError;
  set_log(level, options.log_format == "json" ? LogFormat::kJson : LogFormat::kLogfmt);

  Loaded loaded;
  const bool named = options.config_file != kDefaultConfig;
  if (named || access(kDefaultConfig, F_OK) == 0) {
    ConfigResult result = load_config(options.config_file, label_taken);
    for (const std::string& error : result.errors) print_error(error + "\n");
    if (!result.errors.empty()) return std::nullopt;
    loaded.config = std::move(result.config);
    loaded.from_file = true;
  } else {
    loaded.config = parse_config("defaults", "").config;
  }
  const Config& config = loaded.config;
  if (!config.haproxy || !config.postgres || !config.passenger || !config.apache ||
      !config.elasticsearch)
    loaded.found = discover({});
  return loaded;
}

}  // namespace lagwatch
