// SPDX-License-Identifier: Apache-2.0
#include "discover/postgres_words.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/account.h"
#include "base/text.h"
#include "discover/postgres_conf.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxHostBytes = 253;

std::string dsn_value(const std::string& value) {
  if (!value.empty() && value.find_first_of(" \t\r\n\f\v'\\") == std::string::npos) return value;
  std::string quoted = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "'";
}

// 0: not known.
unsigned major_of(const std::string& version) {
  return parse_number<unsigned>(version.substr(0, version.find('.'))).value_or(0);
}

bool plain_host(std::string_view host) {
  return host.size() <= kMaxHostBytes &&
         host.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:%") ==
             std::string_view::npos;
}

}  // namespace

const std::string_view kPeerNote =
    "the line \"local all all peer\" in its pg_hba.conf, which Debian has, lets OS user lagwatch "
    "in "
    "as role lagwatch: no password is needed";
const std::string_view kTcpNote =
    "over TCP its pg_hba.conf commonly asks for a password: ALTER ROLE lagwatch PASSWORD '...', "
    "and "
    "password_file, a file with the password; with a socket (unix_socket_directories = "
    "'/run/postgresql') none is needed";

std::string postgres_dsn(const std::string& host, unsigned port) {
  return "host=" + dsn_value(host) + " port=" + std::to_string(port) +
         " user=lagwatch dbname=postgres";
}

std::optional<std::string> tcp_host(const std::string& listen_addresses) {
  std::optional<std::string> found;
  for (const std::string& address : split_postgres_list(listen_addresses)) {
    if (address == "*" || address == "0.0.0.0" || address == "localhost" ||
        address.starts_with("127."))
      return address.starts_with("127.") ? address : "127.0.0.1";
    if (found || !plain_host(address)) continue;
    found = address == "::" ? "::1" : address;
  }
  return found;
}

std::string postgres_role(const std::string& version, const PostgresWay& way) {
  const unsigned major = major_of(version);
  const bool known = major > 0;
  std::string sql = "CREATE ROLE lagwatch LOGIN;";
  if (!known || major >= 10) {
    sql +=
        " GRANT pg_read_all_stats TO lagwatch; GRANT EXECUTE ON FUNCTION pg_ls_waldir() TO "
        "lagwatch;";
  }
  if (!known || major >= 12)
    sql += " GRANT EXECUTE ON FUNCTION pg_ls_archive_statusdir() TO lagwatch;";
  std::string text = "its role, made once (for a standby, on its primary): sudo -u " +
                     shell_word(way.superuser) + " psql -h " + shell_word(way.host) + " -p " +
                     std::to_string(way.port) + " -d postgres -c \"" + sql + "\"";
  return text;
}

std::optional<std::string> postgres_role_remark(const std::string& version) {
  constexpr std::string_view kFunctions =
      "README.md, SECURITY DEFINER, has functions for what lagwatch may not see there";
  const unsigned major = major_of(version);
  if (major >= 10) return std::nullopt;
  if (major > 0)
    return "before version 10 no role shows such things to others: " + std::string(kFunctions);
  return "before version 12 without the last GRANT; before 10 with none: " +
         std::string(kFunctions);
}

std::string denied_postgres_socket(const std::string& root, const std::string& path,
                                   const std::string& user, const std::string& conf) {
  std::string text = path + " may not be used by user " + user;
  const auto barrier = find_barrier(root + path, W_OK);
  if (!barrier)
    return text + ": set unix_socket_permissions = 0777 in " + conf + " and restart PostgreSQL";
  text += " (" + describe(*barrier) + "): ";
  // pg_hba.conf decides who gets in, so PostgreSQL's own default for its socket is open to all.
  text += barrier->directory
              ? "run \"setfacl -m u:" + shell_word(user) + ":x " + shell_word(barrier->path) + "\""
              : "set unix_socket_permissions = 0777 in " + conf + " and restart PostgreSQL";
  // Never suggested for group root, and not where the group may do no more than we.
  const mode_t needed = barrier->directory ? S_IXGRP : S_IWGRP;
  if (barrier->group == 0 || (barrier->mode & needed) == 0) return text;
  return text + "; or run \"usermod -aG " + shell_word(group_name(barrier->group)) + " " +
         shell_word(user) + "\" and restart lagwatch";
}

}  // namespace lagwatch
