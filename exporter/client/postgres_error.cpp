// SPDX-License-Identifier: Apache-2.0
#include "client/postgres_error.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "base/text.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxMessageBytes = 400;
constexpr size_t kStateBytes = 5;

// What a server says when it refuses. PostgreSQL, appendix A: error codes.
struct Refusal {
  std::string_view sqlstate;
  Reason reason;
  std::string_view fix;
};
constexpr std::string_view kWhoHoldsThem =
    "find who holds them (SELECT usename, state, count(*) FROM pg_stat_activity GROUP BY 1, 2), or "
    "raise max_connections";
constexpr Refusal kRefusals[] = {
    {"28P01", Reason::kAuth, "check user and password_file"},
    {"28000", Reason::kAuth,
     "create the role (CREATE ROLE lagwatch LOGIN) and let it in: a line for it in pg_hba.conf, "
     "then "
     "SELECT pg_reload_conf()"},
    {"53300", Reason::kTooManyConnections, kWhoHoldsThem},
    {"57P03", Reason::kStartingUp, ""},
    {"57P01", Reason::kReset, ""},
    {"57P02", Reason::kReset, ""},
    {"3D000", Reason::kProtocol, "name a database that exists: dbname=postgres in dsn"},
    {"42704", Reason::kUnsupported, "a setting in the options of dsn is unknown to this server"},
    {"08P01", Reason::kUnsupported,
     "connect to PostgreSQL itself: a pooler takes neither options nor pipelines"},
};

// What libpq says by itself: always English, since the process has no locale.
struct Words {
  std::string_view part;
  Reason reason;
  std::string_view fix;
};
// The first that fits counts: what cut a TLS connection off is no matter of TLS.
constexpr Words kWords[] = {
    {"Permission denied", Reason::kPermission,
     "allow user lagwatch into the socket's directory, or correct unix_socket_permissions"},
    {"could not fork", Reason::kTooManyConnections, "the host is out of processes or memory"},
    {"No such file or directory", Reason::kRefused,
     "start the server, or correct host and port in dsn"},
    {"Connection refused", Reason::kRefused, "start the server, or correct host and port in dsn"},
    {"Resource temporarily unavailable", Reason::kHung, ""},
    {"Transport endpoint is not connected", Reason::kHung, ""},
    {"Connection timed out", Reason::kConnectTimeout, "check the host and the way to it"},
    {"No route to host", Reason::kConnectTimeout, "check the host and the way to it"},
    {"Network is unreachable", Reason::kConnectTimeout, "check the host and the way to it"},
    {"expected authentication request", Reason::kProtocol, "no PostgreSQL listens there"},
    {"no password supplied", Reason::kAuth, "set password_file"},
    {"authentication", Reason::kAuth, "check user and password_file"},
    {"could not translate host name", Reason::kResolve, ""},
    {"server closed the connection", Reason::kReset, ""},
    {"closed unexpectedly", Reason::kReset, ""},
    {"Connection reset by peer", Reason::kReset, ""},
    {"Broken pipe", Reason::kReset, ""},
    {"EOF detected", Reason::kReset, ""},
    {"certificate", Reason::kTls, "check the certificate, or sslrootcert and sslmode in dsn"},
    {"SSL", Reason::kTls, "check sslmode in dsn, and ssl on the server"},
};

// The line that holds `part`, made safe: of several addresses libpq says one each, and asks
// questions below.
std::string line_with(std::string_view message, std::string_view part) {
  const size_t at = std::min(message.find(part), message.size());
  const size_t before = at == 0 ? std::string_view::npos : message.rfind('\n', at - 1);
  const size_t begin = before == std::string_view::npos ? 0 : before + 1;
  const std::string_view line = message.substr(begin, message.find('\n', at) - begin);
  return printable(trim(line), kMaxMessageBytes);
}

}  // namespace

std::string_view sqlstate_in(std::string_view message) {
  // "SEVERITY:  XXXXX: text": two blanks before it, a colon behind.
  for (size_t at = message.find(":  "); at != std::string_view::npos;
       at = message.find(":  ", at + 1)) {
    const std::string_view state = message.substr(at + 3, kStateBytes);
    const bool formed =
        state.size() == kStateBytes && std::all_of(state.begin(), state.end(), [](char c) {
          return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
        });
    if (formed && message.substr(at + 3 + kStateBytes, 1) == ":") return state;
  }
  return {};
}

Error postgres_connect_error(std::string_view message) {
  const std::string_view state = sqlstate_in(message);
  if (!state.empty()) {
    const auto refusal = std::find_if(std::begin(kRefusals), std::end(kRefusals),
                                      [&](const Refusal& one) { return one.sqlstate == state; });
    const std::string line = line_with(message, state);
    if (refusal == std::end(kRefusals)) return {Reason::kProtocol, line, {}};
    return {refusal->reason, line, std::string(refusal->fix)};
  }
  for (const Words& words : kWords) {
    if (message.find(words.part) != std::string_view::npos)
      return {words.reason, line_with(message, words.part), std::string(words.fix)};
  }
  return {Reason::kProtocol, line_with(message, ""), {}};
}

Error postgres_lost_error(std::string_view message) {
  Error error = postgres_connect_error(message);
  if (error.reason == Reason::kProtocol || error.reason == Reason::kRefused)
    error.reason = Reason::kReset;
  if (error.message.empty()) error.message = "the connection was lost";
  return error;
}

}  // namespace lagwatch
