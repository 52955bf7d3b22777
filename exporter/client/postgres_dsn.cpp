// SPDX-License-Identifier: Apache-2.0
#include "client/postgres_dsn.h"

#include <arpa/inet.h>
#include <libpq-fe.h>

#include <algorithm>
#include <iterator>
#include <memory>

#include "base/text.h"
#include "client/address.h"

namespace lagwatch {
namespace {

constexpr size_t kMostAddresses = 4;
constexpr std::string_view kSslModes[] = {"disable", "allow",     "prefer",
                                          "require", "verify-ca", "verify-full"};
constexpr Duration kLockTimeout = std::chrono::milliseconds(500);

struct FreeOptions {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};
using OptionsPtr = std::unique_ptr<PQconninfoOption, FreeOptions>;

OptionsPtr parse(const std::string& dsn, std::string& problem) {
  char* message = nullptr;
  OptionsPtr options(PQconninfoParse(dsn.c_str(), &message));
  if (!options) {
    problem = message == nullptr ? "cannot be read" : printable(trim(message));
    PQfreemem(message);
  }
  return options;
}

bool is_address(const std::string& host) {
  in6_addr ignored{};
  return inet_pton(AF_INET, host.c_str(), &ignored) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &ignored) == 1;
}

int64_t milliseconds(Duration duration) {
  return std::chrono::ceil<std::chrono::milliseconds>(duration).count();
}

}  // namespace

std::optional<std::string> dsn_problem(const std::string& dsn) {
  std::string problem;
  const OptionsPtr options = parse(dsn, problem);
  // libpq's message may quote what it could not read, a password among it.
  if (!options)
    return "is not a connection string of libpq such as host=/run/postgresql user=lagwatch";
  for (const PQconninfoOption* one = options.get(); one->keyword != nullptr; ++one) {
    const std::string keyword = one->keyword;
    const std::string value = one->val == nullptr ? "" : one->val;
    if (value.empty()) continue;
    if (keyword == "password") return "must not hold a password: name a file by password_file";
    if (std::string_view(one->dispchar) == "*")
      return "must not hold a secret (" + keyword + "): it would be readable here";
    if (keyword == "sslmode" &&
        std::find(std::begin(kSslModes), std::end(kSslModes), value) == std::end(kSslModes))
      return "must have an sslmode of disable, allow, prefer, require, verify-ca or verify-full";
    if (keyword == "service") return "must not name a service: write its settings here";
    if (keyword == "replication") return "must not set replication";
    const bool many = keyword == "host" || keyword == "hostaddr" || keyword == "port";
    if (many && value.find(',') != std::string::npos)
      return "must name one server: each is a target of its own";
  }
  return std::nullopt;
}

std::string dsn_value(const std::string& dsn, const std::string& keyword) {
  std::string problem;
  const OptionsPtr options = parse(dsn, problem);
  for (const PQconninfoOption* one = options.get(); one != nullptr && one->keyword != nullptr;
       ++one) {
    if (keyword == one->keyword && one->val != nullptr) return one->val;
  }
  return {};
}

std::string dsn_host_to_resolve(const std::string& dsn) {
  if (!dsn_value(dsn, "hostaddr").empty()) return {};
  std::string host = dsn_value(dsn, "host");
  if (host.empty() || host[0] == '/' || host[0] == '@' || is_address(host)) return {};
  return host;
}

void DsnParameters::set(const std::string& keyword, std::string value) {
  for (auto& [known, old] : parameters_) {
    if (known != keyword) continue;
    old = std::move(value);
    return;
  }
  parameters_.emplace_back(keyword, std::move(value));
}

std::vector<const char*> DsnParameters::keywords() const {
  std::vector<const char*> out;
  for (const auto& [keyword, value] : parameters_) out.push_back(keyword.c_str());
  out.push_back(nullptr);
  return out;
}

std::vector<const char*> DsnParameters::values() const {
  std::vector<const char*> out;
  for (const auto& [keyword, value] : parameters_) out.push_back(value.c_str());
  out.push_back(nullptr);
  return out;
}

const std::string* DsnParameters::find(const std::string& keyword) const {
  const auto found = std::find_if(parameters_.begin(), parameters_.end(),
                                  [&](const auto& one) { return one.first == keyword; });
  return found == parameters_.end() ? nullptr : &found->second;
}

DsnParameters connect_parameters(const PostgresServer& server, const SocketAddresses& addresses,
                                 const std::string& password, Duration timeout, bool replication) {
  DsnParameters out;
  std::string problem;
  const OptionsPtr options = parse(server.dsn, problem);
  for (const PQconninfoOption* one = options.get(); one != nullptr && one->keyword != nullptr;
       ++one) {
    if (one->val != nullptr) out.set(one->keyword, one->val);
  }
  const std::string* const host = out.find("host");
  if (host != nullptr && !addresses.empty()) {
    // libpq tries them in turn: as many names as addresses, one port for all.
    std::string names;
    std::string numbers;
    for (size_t i = 0; i < std::min(addresses.size(), kMostAddresses); ++i) {
      names += (i > 0 ? "," : "") + *host;
      numbers += (i > 0 ? "," : "") + to_string(addresses[i]);
    }
    out.set("host", names);
    out.set("hostaddr", numbers);
  }
  if (out.find("application_name") == nullptr) out.set("application_name", "lagwatch");
  if (out.find("dbname") == nullptr) out.set("dbname", "postgres");
  // Otherwise libpq would look for a Kerberos ticket, which may ask the network.
  out.set("gssencmode", "disable");
  if (!password.empty()) out.set("password", password);
  if (replication) {
    out.set("replication", "true");
    return out;
  }
  std::string settings =
      "-c statement_timeout=" + std::to_string(milliseconds(timeout * 2 / 3)) +
      " -c lock_timeout=" + std::to_string(milliseconds(std::min(kLockTimeout, timeout / 3)));
  settings +=
      server.read_only ? " -c default_transaction_read_only=on" : " -c synchronous_commit=local";
  const std::string* const given = out.find("options");
  if (given != nullptr) settings += " " + *given;
  out.set("options", settings);
  return out;
}

}  // namespace lagwatch
