// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <time.h>
#include <unistd.h>

#include <atomic>

#include "base/text.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxValueBytes = 1024;

std::atomic<LogLevel> g_level{LogLevel::kInfo};
std::atomic<LogFormat> g_format{LogFormat::kLogfmt};

constexpr std::string_view kLevelNames[] = {"debug", "info", "warn", "error"};

void append_value(std::string& out, LogFormat format, std::string_view value) {
  const std::string safe = printable(value, kMaxValueBytes);
  const bool bare = !safe.empty() && safe.find_first_of(" \"=\\") == std::string::npos;
  if (format == LogFormat::kLogfmt && bare) {
    out += safe;
  } else {
    append_json_string(out, safe);
  }
}

void append_field(std::string& out, LogFormat format, std::string_view key,
                  std::string_view value) {
  const bool json = format == LogFormat::kJson;
  if (!out.empty()) out += json ? ',' : ' ';
  if (json) {
    append_json_string(out, key);
  } else {
    out += key;
  }
  out += json ? ':' : '=';
  append_value(out, format, value);
}

std::string timestamp() {
  timespec t{};
  clock_gettime(CLOCK_REALTIME, &t);
  tm parts{};
  gmtime_r(&t.tv_sec, &parts);
  char buffer[40];
  const size_t length = strftime(buffer, sizeof buffer, "%Y-%m-%dT%H:%M:%S", &parts);
  const long ms = t.tv_nsec / 1000000;
  std::string out(buffer, length);
  out += '.';
  out += static_cast<char>('0' + ms / 100);
  out += static_cast<char>('0' + ms / 10 % 10);
  out += static_cast<char>('0' + ms % 10);
  return out + 'Z';
}

std::string body(LogFormat format, LogLevel level, std::string_view msg,
                 std::initializer_list<LogField> fields, std::string_view time) {
  std::string out;
  if (!time.empty()) append_field(out, format, "ts", time);
  append_field(out, format, "level", kLevelNames[static_cast<size_t>(level)]);
  append_field(out, format, "msg", msg);
  for (const LogField& field : fields) {
    if (!field.value.empty()) append_field(out, format, field.key, field.value);
  }
  return format == LogFormat::kJson ? "{" + out + "}" : out;
}

}  // namespace

void set_log(LogLevel level, LogFormat format) {
  g_level = level;
  g_format = format;
}

std::string format_log(LogFormat format, LogLevel level, std::string_view msg,
                       std::initializer_list<LogField> fields) {
  return body(format, level, msg, fields, {});
}

void log(LogLevel level, std::string_view msg, std::initializer_list<LogField> fields) {
  if (level < g_level.load()) return;
  const std::string line = body(g_format.load(), level, msg, fields, timestamp()) + "\n";
  // Nothing can be done about a log that cannot be written.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace lagwatch
