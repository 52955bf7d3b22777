// SPDX-License-Identifier: Apache-2.0
#include "collector/passenger_text.h"

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace lagwatch {
namespace {

constexpr std::string_view kEmpty = "(empty)";
constexpr std::string_view kAgo = " sec ago)";

RequestState state_of(std::string_view name, bool has_session) {
  if (name == "CHECKING_OUT_SESSION") return RequestState::kQueued;
  if (name == "SENDING_HEADER_TO_APP" || name == "FORWARDING_BODY_TO_APP" || has_session)
    return RequestState::kRunning;
  return RequestState::kReceiving;
}

// "2014-11-24 10:00:00 (17 sec ago)"
std::optional<double> age_of(std::string_view text) {
  if (!text.ends_with(kAgo)) return std::nullopt;
  text.remove_suffix(kAgo.size());
  return parse_number<double>(text.substr(text.rfind('(') + 1));
}

// "1234 (/srv/shop)"
void read_session(std::string_view text, PassengerRequest& request) {
  const size_t blank = std::min(text.find(' '), text.size());
  request.pid = parse_number<int64_t>(text.substr(0, blank)).value_or(0);
  std::string_view group = trim(text.substr(blank));
  if (group.starts_with('(') && group.ends_with(')'))
    request.group = group.substr(1, group.size() - 2);
}

class TextReader {
 public:
  explicit TextReader(const OnRequest& on_request) : on_request_(on_request) {}

  void take(std::string_view line) {
    const std::string_view words = trim(line);
    // Indented by two, the fields of a client by four. What clients sent stands behind " = ".
    if (line.starts_with("  Client ") && words.ends_with(':')) {
      flush();
      in_client_ = true;
      ++clients_;
      return;
    }
    const size_t equals = line.find(" = ");
    if (!in_client_ || equals == std::string_view::npos) return;
    const std::string_view key = trim(line.substr(0, equals));
    std::string_view value = trim(line.substr(equals + 3));
    if (value == kEmpty) value = {};
    if (key == "uri") request_.target = value;
    if (key == "host") request_.host = value;
    if (key == "connected at") request_.age = age_of(value);
    if (key == "state") state_ = value;
    if (key == "session pid") read_session(value, request_);
    if (key == "session gupid") request_.gupid = value;
  }

  void flush() {
    // One that has sent nothing yet is a connection, no request.
    if (in_client_ && !(request_.target.empty() && request_.host.empty())) {
      request_.state = state_of(state_, request_.pid != 0);
      on_request_(request_);
    }
    request_ = {};
    state_ = {};
    in_client_ = false;
  }

  size_t clients() const { return clients_; }

 private:
  const OnRequest& on_request_;
  PassengerRequest request_;
  std::string_view state_;
  bool in_client_ = false;
  size_t clients_ = 0;
};

// Lines that say that there is text of this sort.
bool is_heading(std::string_view line) {
  const std::string_view words = trim(line);
  const size_t blank = words.find(' ');
  return blank != std::string_view::npos && parse_number<size_t>(words.substr(0, blank)) &&
         words.substr(blank + 1).starts_with("client");
}

}  // namespace

Result<ServerCounts> parse_requests_text(std::string_view text, const OnRequest& on_request) {
  TextReader reader(on_request);
  bool headed = false;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    headed = headed || is_heading(line);
    reader.take(line);
  }
  reader.flush();
  if (!headed && reader.clients() == 0) {
    return Error{
        Reason::kProtocol,
        "not what passenger-status --show=requests prints: \"" + printable(text, 120) + "\"",
        {}};
  }
  ServerCounts counts;
  counts.active = static_cast<double>(reader.clients());
  return counts;
}

}  // namespace lagwatch
