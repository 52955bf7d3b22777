// SPDX-License-Identifier: Apache-2.0
// What is said of a PostgreSQL: how to connect to it, and what lets lagwatch in.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace lagwatch {

// As libpq takes it, for role lagwatch and database postgres.
std::string postgres_dsn(const std::string& host, unsigned port);

// The host to ask when PostgreSQL listens on `listen_addresses`; nothing when on none.
std::optional<std::string> tcp_host(const std::string& listen_addresses);

// How its administrator gets in.
struct PostgresWay {
  std::string host;  // or the socket's directory
  unsigned port = 0;
  std::string superuser;  // an OS user
};

// The command that makes the role, with the fewest rights that do. `version` may be empty.
std::string postgres_role(const std::string& version, const PostgresWay& way);

// Which of that command's rights older versions do not have.
std::optional<std::string> postgres_role_remark(const std::string& version);

extern const std::string_view kPeerNote;
extern const std::string_view kTcpNote;

// What must be done before a denied socket can be used. `conf` is the file that would be changed.
std::string denied_postgres_socket(const std::string& root, const std::string& path,
                                   const std::string& user, const std::string& conf);

}  // namespace lagwatch
