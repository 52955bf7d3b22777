// SPDX-License-Identifier: Apache-2.0
// The key `postgres` of the configuration.
#include <algorithm>

#include "client/postgres_dsn.h"
#include "config/targets.h"

namespace lagwatch {
namespace {

constexpr uint64_t kMostDatabases = 1000;

bool is_plain_name(std::string_view name) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  const auto follower = [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '$'; };
  return !name.empty() && name.size() <= 63 && letter(name[0]) &&
         std::all_of(name.begin(), name.end(), follower);
}

// They become part of SQL: names that need no quotes are the only ones taken.
std::optional<std::string> read_column(const ConfigValue& value) {
  auto text = read_text(value);
  if (!text || is_plain_name(*text)) return text;
  value.error("must be a plain name: letters, digits and _");
  return std::nullopt;
}

std::optional<std::string> read_table(const ConfigValue& value) {
  auto text = read_text(value);
  if (!text) return text;
  const size_t dot = text->find('.');
  const bool plain = dot == std::string::npos ? is_plain_name(*text)
                                              : is_plain_name(text->substr(0, dot)) &&
                                                    is_plain_name(text->substr(dot + 1));
  if (plain) return text;
  value.error("must be SCHEMA.TABLE in plain names: letters, digits and _");
  return std::nullopt;
}

constexpr ConfigField<PostgresHeartbeatOptions> kHeartbeatFields[] = {
    {"table",
     [](const ConfigValue& v, PostgresHeartbeatOptions& h) { assign(h.table, read_table(v)); },
     Need::kRequired},
    {"column",
     [](const ConfigValue& v, PostgresHeartbeatOptions& h) { assign(h.column, read_column(v)); }},
    {"write",
     [](const ConfigValue& v, PostgresHeartbeatOptions& h) { assign(h.write, read_boolean(v)); }},
};

void read_dsn(const ConfigValue& value, PostgresTarget& target) {
  const auto dsn = read_text(value);
  if (!dsn) return;
  if (const auto problem = dsn_problem(*dsn)) {
    value.error(*problem);
    return;
  }
  set_dsn(target.postgres, *dsn);
}

void check_postgres(const ConfigValue&, const PostgresTarget&) {}

constexpr ConfigField<PostgresTarget> kPostgresFields[] = {
    kNameField<PostgresTarget>,
    {"dsn", read_dsn, Need::kRequired},
    {"password_file",
     [](const ConfigValue& v, PostgresTarget& t) {
       assign(t.postgres.password_file, read_absolute_path(v));
     }},
    {"heartbeat",
     [](const ConfigValue& v, PostgresTarget& t) {
       read_mapping<PostgresHeartbeatOptions>(v, kHeartbeatFields, t.postgres.heartbeat);
     }},
    {"data_directory",
     [](const ConfigValue& v, PostgresTarget& t) {
       assign(t.postgres.data_directory, read_absolute_path(v));
     }},
    {"identify",
     [](const ConfigValue& v, PostgresTarget& t) { assign(t.postgres.identify, read_boolean(v)); }},
    {"max_databases",
     [](const ConfigValue& v, PostgresTarget& t) {
       assign(t.postgres.max_databases, read_integer(v, 0, kMostDatabases));
     }},
    kIntervalField<PostgresTarget>,
    kTimeoutField<PostgresTarget>,
    kLabelsField<PostgresTarget>,
};

}  // namespace

void set_dsn(PostgresOptions& options, const std::string& dsn) {
  options.dsn = dsn;
  options.host = dsn_value(dsn, "host");
  options.port = dsn_value(dsn, "port");
}

void read_postgres(const ConfigValue& value, Config& config) {
  read_targets<PostgresTarget>(value, config, kPostgresFields, check_postgres, config.postgres);
}

}  // namespace lagwatch
