// SPDX-License-Identifier: Apache-2.0
// A postgresql.conf with the files it includes, as far as it can be read.
// https://www.postgresql.org/docs/current/config-setting.html
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lagwatch {

// Names in lower case. Values as PostgreSQL sees them, without quotes.
using PostgresSettings = std::map<std::string, std::string, std::less<>>;

struct PostgresAssignment {
  std::string name;  // in lower case
  std::string value;
};

// One line; nothing where it is empty, a comment, or what PostgreSQL would refuse.
std::optional<PostgresAssignment> parse_postgres_line(std::string_view line);

struct UnreadableFile {
  std::string path;
  int error = 0;
};

struct PostgresConf {
  PostgresSettings settings;  // the last assignment wins; includes are followed
  std::vector<UnreadableFile> unreadable;
};

// `root` is put before absolute paths. Bounded in bytes, files and depth: what is beyond is left
// out.
PostgresConf read_postgres_conf(const std::string& root, const std::string& path);

// Elements of a list such as unix_socket_directories: commas, blanks around, "double quotes".
std::vector<std::string> split_postgres_list(std::string_view list);

}  // namespace lagwatch
