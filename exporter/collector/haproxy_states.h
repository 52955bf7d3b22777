// SPDX-License-Identifier: Apache-2.0
// HAProxy's status texts as the states its own exporter (2.4 and later) writes.
#pragma once

#include <optional>
#include <string_view>

namespace lagwatch {

inline constexpr std::string_view kProxyStates[] = {"DOWN", "UP"};
inline constexpr std::string_view kListenerStates[] = {"WAITING", "OPEN", "FULL"};
inline constexpr std::string_view kServerStates[] = {"DOWN", "UP", "MAINT", "DRAIN", "NOLB"};
enum class ServerState { kDown, kUp, kMaint, kDrain, kNolb };

// The results of a check that has ended. INI and UNK (none yet) and CHECKED (of agents) are none of
// them.
inline constexpr std::string_view kCheckStates[] = {
    "HANA",   "SOCKERR", "L4OK", "L4TOUT", "L4CON", "L6OK",    "L6TOUT",   "L6RSP",
    "L7TOUT", "L7RSP",   "L7OK", "L7OKC",  "L7STS", "PROCERR", "PROCTOUT", "PROCOK"};

// Indexes into the lists above; nothing for a text that is not known.
// "UP 1/3", "DOWN (agent)", "MAINT (via be/srv)", "MAINT(via)", "no check": the word before the
// tail counts.
std::optional<size_t> proxy_state(std::string_view status);
std::optional<size_t> listener_state(std::string_view status);
std::optional<ServerState> server_state(std::string_view status);
std::optional<size_t> check_state(std::string_view check_status);

// The check is on and has no result yet: what the status says is configuration, not observation.
bool is_unverified(std::string_view check_status);

// Whether status `a` is worse news than `b`: DOWN, then MAINT, NOLB, DRAIN, then all others.
bool worse_status(std::string_view a, std::string_view b);

}  // namespace lagwatch
