// SPDX-License-Identifier: Apache-2.0
// Connection strings of libpq: checked for the configuration, completed for a connection.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "client/ask.h"
#include "client/resolver.h"

namespace lagwatch {

// What is wrong with `dsn`, as the rest of the sentence "dsn ..."; nothing if it can be used.
std::optional<std::string> dsn_problem(const std::string& dsn);

// The value of `keyword`; empty where it is not given.
std::string dsn_value(const std::string& dsn, const std::string& keyword);

// The host whose name must be looked up; empty for sockets and addresses.
std::string dsn_host_to_resolve(const std::string& dsn);

// Keywords and values as PQconnectStartParams takes them.
class DsnParameters {
 public:
  void set(const std::string& keyword, std::string value);
  // Null-terminated; borrowed.
  std::vector<const char*> keywords() const;
  std::vector<const char*> values() const;
  const std::string* find(const std::string& keyword) const;

 private:
  std::vector<std::pair<std::string, std::string>> parameters_;
};

// What `server` is asked with. `addresses` are those of its host's name, if it has one to look up;
// `timeout` is that of an exchange: statements end at two thirds of it.
DsnParameters connect_parameters(const PostgresServer& server, const SocketAddresses& addresses,
                                 const std::string& password, Duration timeout, bool replication);

}  // namespace lagwatch
