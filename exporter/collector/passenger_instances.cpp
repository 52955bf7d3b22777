// SPDX-License-Identifier: Apache-2.0
#include "collector/passenger_instances.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/passenger_words.h"
#include "base/text.h"
#include "collector/passenger.h"

namespace lagwatch {
namespace {

// In the order of DirectoryAsk::files.
enum File : size_t {
  kProperties,
  kFinalized,
  kCorePid,
  kPassword,
  kCoreApi,      // 5.0.14 and later; sockets: only whether they are there is of interest
  kServerApi,    // 5.0.10 to 5.0.11
  kServerAdmin,  // before
  kWatchdogApi,
  kFileCount
};
constexpr const char* kFiles[kFileCount] = {"properties.json",
                                            "creation_finalized",
                                            "core.pid",
                                            "read_only_admin_password.txt",
                                            "agents.s/core_api",
                                            "agents.s/server_api",
                                            "agents.s/server_admin",
                                            "agents.s/watchdog_api"};

// Where the tools of 6.0 look; the last are what a unit with PrivateTmp has as its /tmp.
constexpr const char* kRegistries[] = {"/run/passenger-instreg",
                                       "/var/run/passenger-instreg",
                                       "/tmp",
                                       "/tmp/systemd-private-*-apache2.service-*/tmp",
                                       "/tmp/systemd-private-*-httpd.service-*/tmp",
                                       "/tmp/systemd-private-*-nginx.service-*/tmp"};

std::string text_of(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

double number_of(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

std::optional<PassengerInstance> read_instance(const Listing::Directory& directory) {
  if (directory.files.size() != kFileCount || directory.files[kFinalized].error != 0)
    return std::nullopt;
  const auto properties =
      nlohmann::json::parse(directory.files[kProperties].text, nullptr, /*exceptions=*/false);
  if (!properties.is_object()) return std::nullopt;
  PassengerInstance out;
  out.id = text_of(properties, "instance_id");
  if (out.id.empty()) return std::nullopt;
  out.directory = directory.path;
  out.version = text_of(properties, "passenger_version");
  const auto made = properties.find("instance_dir");
  if (made != properties.end() && made->is_object()) {
    out.created = number_of(*made, "created_at_monotonic_usec") / 1e6;
    if (out.created == 0) out.created = number_of(*made, "created_at");
  }
  size_t socket = kCoreApi;
  for (const size_t one : {kServerApi, kServerAdmin}) {
    const bool missing = directory.files[socket].error == ENOENT;
    if (missing && directory.files[one].error != ENOENT) socket = one;
  }
  out.socket = directory.path + "/" + kFiles[socket];
  out.watchdog_socket = directory.path + "/" + kFiles[kWatchdogApi];
  out.has_watchdog_socket = directory.files[kWatchdogApi].error != ENOENT;
  out.core_pid = parse_number<int64_t>(trim(directory.files[kCorePid].text)).value_or(0);
  out.password = std::string(trim(directory.files[kPassword].text));
  return out;
}

Error no_instance(const Listing& listing, const PassengerOptions& options) {
  const auto four = std::find_if(
      listing.directories.begin(), listing.directories.end(),
      [](const auto& one) { return one.path.find("/passenger.1.0.") != std::string::npos; });
  if (four != listing.directories.end()) {
    return {Reason::kUnsupported, printable(four->path) + " is of Passenger 4, which has no API",
            "set status_command: [sudo, -n, passenger-status], or status_file"};
  }
  if (!listing.problems.empty()) {
    const Listing::Problem& problem = listing.problems.front();
    const bool denied = problem.error == EACCES || problem.error == EPERM;
    return {denied ? Reason::kPermission : Reason::kRefused,
            "no instance of Passenger is seen, and " + printable(problem.path) + ": " +
                strerrordesc_np(problem.error) +
                (denied ? ": what is in a unit's private /tmp only root sees" : ""),
            denied ? std::string(kPassengerRegistryFix) : std::string()};
  }
  if (!options.registry.empty()) {
    return {Reason::kRefused, "no instance of Passenger in " + printable(options.registry),
            "start the web server, or set registry to its PassengerInstanceRegistryDir"};
  }
  return {Reason::kRefused, "no instance of Passenger in /run/passenger-instreg or /tmp",
          "start the web server, or set registry to its PassengerInstanceRegistryDir; if its tmp "
          "was cleaned, restart it"};
}

}  // namespace

DirectoryAsk instances_ask(const PassengerOptions& options) {
  DirectoryAsk ask;
  if (!options.registry.empty()) {
    ask.patterns.push_back(options.registry + "/passenger.*");
  } else {
    for (const char* registry : kRegistries)
      ask.patterns.push_back(std::string(registry) + "/passenger.*");
  }
  ask.files.assign(std::begin(kFiles), std::end(kFiles));
  return ask;
}

Result<std::vector<PassengerInstance>> read_instances(const Listing& listing,
                                                      const PassengerOptions& options) {
  std::vector<PassengerInstance> out;
  for (const Listing::Directory& directory : listing.directories) {
    auto instance = read_instance(directory);
    // /var/run is /run, mostly.
    const bool known = instance && std::any_of(out.begin(), out.end(), [&](const auto& other) {
                         return other.id == instance->id;
                       });
    if (instance && !known) out.push_back(std::move(*instance));
  }
  if (out.empty()) return no_instance(listing, options);
  std::stable_sort(out.begin(), out.end(),
                   [](const auto& a, const auto& b) { return a.created > b.created; });
  out.front().newest = true;
  return out;
}

HttpAsk core_ask(const PassengerInstance& instance, const PassengerOptions& options,
                 const std::string& path, size_t max_bytes) {
  HttpAsk ask{.url = "http://localhost" + path,
              .unix_socket = instance.socket,
              .accept = HttpAccept::kAnything,
              .max_bytes = max_bytes};
  if (!options.username.empty()) {
    ask.user = options.username;
    ask.password_file = options.password_file;
  } else if (!instance.password.empty()) {
    ask.user = "ro_admin";
    ask.password = instance.password;
  }
  return ask;
}

HttpAsk watchdog_ask(const PassengerInstance& instance) {
  return {.url = "http://localhost/ping.json",
          .unix_socket = instance.watchdog_socket,
          .accept = HttpAccept::kAnything,
          .max_bytes = 4096};
}

Error denied_error(const std::string& what) {
  return {Reason::kPermission,
          what +
              ": refused; root, the core's own user or an account may ask (if the pool is empty, "
              "an application's user is refused too)",
          std::string(kPassengerAccountFix)};
}

bool is_silent(Reason reason) {
  return reason == Reason::kHung || reason == Reason::kStalled || reason == Reason::kConnectTimeout;
}

InstanceVerdict judge(const PassengerInstance& instance, const HttpDetail& core,
                      const HttpDetail& watchdog) {
  const std::string who = printable(instance.directory);
  if (!core.failure) {
    if (core.status == 200) return {};
    if (core.status == 401 || core.status == 403)
      return {InstanceState::kDenied, denied_error(who)};
    return {InstanceState::kHung,
            Error{Reason::kHttpStatus, who + ": status " + std::to_string(core.status), {}}};
  }
  Error error = *core.failure;
  if (is_silent(error.reason)) {
    const bool left = watchdog.failure && !is_silent(watchdog.failure->reason);
    // Where the watchdog cannot be asked: one that another has replaced.
    if (left && (instance.has_watchdog_socket || !instance.newest)) {
      return {InstanceState::kDraining,
              Error{Reason::kRefused,
                    who + ": being stopped: its core finishes the requests it has, 30 s at most",
                    "start the web server, if it was not restarted"}};
    }
    error.message = who + ": its core (pid " + std::to_string(instance.core_pid) +
                    ") accepts connections and does not answer, its watchdog does not mind";
    error.fix = "systemctl restart apache2 (or nginx); before, for the cause: cat /proc/" +
                std::to_string(instance.core_pid) + "/wchan";
    return {InstanceState::kHung, std::move(error)};
  }
  switch (error.reason) {
    case Reason::kRefused:
    case Reason::kReset:
      error.fix = "start the web server; passenger-status removes what it left behind";
      return {InstanceState::kStale, std::move(error)};
    case Reason::kPermission:
      error.fix = kPassengerRegistryFix;
      return {InstanceState::kDenied, std::move(error)};
    case Reason::kAuth:
      return {InstanceState::kDenied, std::move(error)};
    default:
      return {InstanceState::kHung, std::move(error)};
  }
}

Error worst_of(std::span<const InstanceVerdict> verdicts) {
  for (const InstanceState state : {InstanceState::kHung, InstanceState::kDenied,
                                    InstanceState::kDraining, InstanceState::kStale}) {
    for (const InstanceVerdict& verdict : verdicts) {
      if (verdict.state == state && verdict.error) return *verdict.error;
    }
  }
  return {Reason::kProtocol, "no instance of Passenger answered", {}};
}

}  // namespace lagwatch
