// SPDX-License-Identifier: Apache-2.0
#include "collector/haproxy_states.h"

#include <algorithm>
#include <iterator>
#include <span>

namespace lagwatch {
namespace {

std::string_view base_word(std::string_view status) {
  return status.substr(0, status.find_first_of(" ("));
}

std::optional<size_t> index_in(std::span<const std::string_view> list, std::string_view word) {
  const auto found = std::find(list.begin(), list.end(), word);
  if (found == list.end()) return std::nullopt;
  return static_cast<size_t>(found - list.begin());
}

int badness(std::string_view status) {
  switch (server_state(status).value_or(ServerState::kUp)) {
    case ServerState::kDown:
      return 4;
    case ServerState::kMaint:
      return 3;
    case ServerState::kNolb:
      return 2;
    case ServerState::kDrain:
      return 1;
    case ServerState::kUp:
      break;
  }
  return 0;
}

}  // namespace

std::optional<size_t> proxy_state(std::string_view status) {
  const std::string_view word = base_word(status);
  if (word == "DOWN" || word == "STOP") return 0;
  // A paused or full frontend is not stopped: HAProxy's exporter calls it UP.
  if (word == "UP" || word == "OPEN" || word == "PAUSED" || word == "FULL") return 1;
  return std::nullopt;
}

std::optional<size_t> listener_state(std::string_view status) {
  return index_in(kListenerStates, base_word(status));
}

std::optional<ServerState> server_state(std::string_view status) {
  if (status == "no check") return ServerState::kUp;
  const auto index = index_in(kServerStates, base_word(status));
  if (!index) return std::nullopt;
  return static_cast<ServerState>(*index);
}

std::optional<size_t> check_state(std::string_view check_status) {
  return index_in(kCheckStates, check_status);
}

bool is_unverified(std::string_view check_status) {
  return check_status == "INI" || check_status == "UNK";
}

bool worse_status(std::string_view a, std::string_view b) { return badness(a) > badness(b); }

}  // namespace lagwatch
