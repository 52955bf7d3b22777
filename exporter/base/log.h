// SPDX-License-Identifier: Apache-2.0
// Log lines on stderr, logfmt or JSON, one write(2) a line, from any thread.
// Log changes of state (up to down once, down to up once); count the rest in metrics. Never a
// secret.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

namespace lagwatch {

enum class LogLevel { kDebug, kInfo, kWarn, kError };
enum class LogFormat { kLogfmt, kJson };

// Set once, before other threads start.
void set_log(LogLevel level, LogFormat format);

struct LogField {
  std::string_view key;
  std::string value;
};

// `fields` follow level and msg. Values are escaped, and cut at 1 KiB;
// a field without a value is left out.
void log(LogLevel level, std::string_view msg, std::initializer_list<LogField> fields = {});

// The line that log() would write, without its time: for tests.
std::string format_log(LogFormat format, LogLevel level, std::string_view msg,
                       std::initializer_list<LogField> fields);

}  // namespace lagwatch
