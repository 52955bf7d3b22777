// SPDX-License-Identifier: Apache-2.0
#include "collector/passenger_status.h"

#include <cmath>
#include <utility>

#include "base/text.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxBytes = 16U << 20U;

std::string whole_seconds(double value) {
  return std::to_string(static_cast<int64_t>(std::llround(value))) + " s";
}

Error failed_command(const PassengerOptions& options, const std::string& body,
                     const CommandEnd& end) {
  const std::string program = printable(options.status_command.front());
  std::string words = end.complaints.empty() ? body : end.complaints;
  Error error{Reason::kProtocol,
              program + " ended with code " + std::to_string(end.exit_code) + ": " +
                  printable(trim(words), 300),
              {}};
  if (body.find("multiple") != std::string::npos) {
    error.reason = Reason::kUnsupported;
    error.message = program + ": several instances of Passenger run, it shows none of them";
    error.fix =
        "run passenger-status by hand and append the name of one to status_command; "
        "Passenger 5 and later is asked without it";
  } else if (words.find("password") != std::string::npos ||
             words.find("ermission") != std::string::npos || end.exit_code == 2) {
    error.reason = Reason::kPermission;
    error.fix =
        "as root: echo 'lagwatch ALL=(root) NOPASSWD: /usr/bin/passenger-status' > "
        "/etc/sudoers.d/lagwatch; status_command: [sudo, -n, /usr/bin/passenger-status]; "
        "or let a timer of root's write status_file";
  }
  return error;
}

}  // namespace

Ask status_ask(const PassengerOptions& options, StatusPart part) {
  const bool pool = part == StatusPart::kPool;
  if (!options.status_command.empty()) {
    CommandAsk ask{.arguments = options.status_command, .max_bytes = kMaxBytes};
    ask.arguments.emplace_back(pool ? "--show=xml" : "--show=requests");
    return ask;
  }
  return FileAsk{.path = pool ? options.status_file : options.requests_file,
                 .max_bytes = kMaxBytes};
}

Result<std::string_view> status_text(const PassengerOptions& options, StatusPart part,
                                     const Reply& reply, const Moment& now) {
  if (!reply.ok()) return reply.error();
  if (reply->command) {
    if (reply->command->exit_code != 0)
      return failed_command(options, reply->body, *reply->command);
    return std::string_view(reply->body);
  }
  if (reply->modified) {
    const double age = seconds(now.wall - *reply->modified);
    if (age > seconds(options.status_max_age)) {
      const bool pool = part == StatusPart::kPool;
      return Error{Reason::kStalled,
                   printable(pool ? options.status_file : options.requests_file) + ": written " +
                       whole_seconds(age) + " ago, " +
                       whole_seconds(seconds(options.status_max_age)) + " at most are an answer",
                   "mend the timer that writes it: systemctl list-timers; it must run every " +
                       whole_seconds(seconds(options.status_max_age) / 3) +
                       ", AccuracySec=1s, and write another file that it renames"};
    }
  }
  return std::string_view(reply->body);
}

}  // namespace lagwatch
