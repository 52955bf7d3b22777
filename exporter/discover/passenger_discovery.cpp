// SPDX-License-Identifier: Apache-2.0
#include "discover/passenger_discovery.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "base/account.h"
#include "base/file.h"
#include "base/passenger_words.h"
#include "base/text.h"
#include "discover/access.h"
#include "discover/procfs.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxTableBytes = 8U << 20U;
constexpr size_t kMaxInstances = 64;
// Sockets of the API, of 5.0 and later.
constexpr std::string_view kSockets[] = {"/agents.s/core_api", "/agents.s/server_api",
                                         "/agents.s/server_admin"};
// Where a target without a registry looks.
constexpr std::string_view kUsualRegistries[] = {"/run/passenger-instreg",
                                                 "/var/run/passenger-instreg", "/tmp"};

struct Cores {
  int count = 0;
  int first_pid = 0;
  bool container = false;  // one of them is in one
  bool four = false;       // one of them is Passenger 4's
};

// "Passenger core" is what it calls itself, "PassengerAgent core" how it is started.
Cores find_cores(const std::string& proc, bool& cut) {
  Cores out;
  for (const int pid : list_pids(proc, cut)) {
    const std::string name = process_name(proc, pid);
    if (!name.starts_with("Passenger")) continue;
    const auto arguments = process_arguments(proc, pid);
    if (arguments.empty()) continue;
    const bool four = name.starts_with("PassengerHelper");
    const bool core =
        arguments[0] == "Passenger core" || (base_name(arguments[0]) == "PassengerAgent" &&
                                             arguments.size() > 1 && arguments[1] == "core");
    if (!core && !four) continue;
    out.first_pid = out.count++ == 0 ? pid : out.first_pid;
    out.container = out.container || process_status(proc, pid).container;
    out.four = out.four || four;
  }
  return out;
}

// Directories of instances whose API is listened on, as their cores see them. Columns of
// /proc/net/unix: Num RefCount Protocol Flags Type St Inode Path; flags 00010000: listens.
std::set<std::string> listening_instances(const std::string& proc) {
  std::set<std::string> out;
  const std::string text = read_regular_file(proc + "/net/unix", kMaxTableBytes).text;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const size_t begin = line.find(" /");
    if (begin == std::string_view::npos || line.find(" 00010000 ") > begin) continue;
    const std::string_view path = line.substr(begin + 1);
    for (const std::string_view socket : kSockets) {
      if (path.ends_with(socket) && out.size() < kMaxInstances)
        out.emplace(path.substr(0, path.size() - socket.size()));
    }
  }
  return out;
}

// With the rights that opening it would have.
bool may_read(const std::string& path) {
  return faccessat(AT_FDCWD, path.c_str(), R_OK, AT_EACCESS) == 0;
}

std::string parent_of(const std::string& path) {
  return path.substr(0, std::max<size_t>(path.rfind('/'), 1));
}

// Finds the instances of one host. One object a discovery.
class PassengerDiscoverer {
 public:
  PassengerDiscoverer(const DiscoverOptions& options, Discovery& found)
      : options_(options), found_(found), user_(user_name(geteuid())) {}

  void find() {
    bool cut = false;
    const Cores cores = find_cores(options_.proc, cut);
    const auto instances = listening_instances(options_.proc);
    for (const std::string& instance : instances) take(instance);
    if (!found_.passenger.empty() || cores.count == 0) return;
    const std::string who = "Passenger (pid " + std::to_string(cores.first_pid) + ")";
    if (cores.four) {
      problem(who +
              " is of version 4, which has no API: set passenger: [{ status_command: [sudo, "
              "-n, passenger-status] }], and as root: echo 'lagwatch ALL=(root) NOPASSWD: "
              "/usr/bin/passenger-status' > /etc/sudoers.d/lagwatch");
    } else if (cores.container) {
      problem(who +
              " runs in a container: run lagwatch there, or put its "
              "PassengerInstanceRegistryDir where both see it and name that as registry");
    } else {
      problem(who + " runs, and its instance directory is not seen by user " + user_ +
              ": it is in the private /tmp of its unit, or was deleted (then restart it); " +
              std::string(kPassengerRegistryFix));
    }
  }

 private:
  void problem(std::string text) { found_.problems.push_back(std::move(text)); }

  void take(const std::string& instance) {
    std::string directory = instance;
    if (!is_directory(options_.root + directory)) directory = in_private_tmp(instance);
    if (directory.empty()) return;
    const std::string registry = parent_of(instance);
    const bool usual = std::find(std::begin(kUsualRegistries), std::end(kUsualRegistries),
                                 registry) != std::end(kUsualRegistries);
    const std::string shown = usual ? "" : registry;
    const bool known = std::any_of(found_.passenger.begin(), found_.passenger.end(),
                                   [&](const auto& one) { return one.registry == shown; });
    if (known) return;
    std::set<std::string> taken = taken_names(found_);
    DiscoveredPassenger& target = found_.passenger.emplace_back();
    target.name = take_name(taken, "passenger");
    target.registry = shown;
    const std::string password = directory + "/read_only_admin_password.txt";
    if (may_read(options_.root + password)) {
      target.notes.push_back(
          "lagwatch asks with the rights of user " + user_ +
          "; with fewer it needs an account: " + std::string(kPassengerAccountFix));
    } else {
      target.notes.push_back("user " + user_ +
                             " needs an account of its API: " + std::string(kPassengerAccountFix));
    }
  }

  // "/tmp/passenger.X" of a unit with PrivateTmp, as others see it; empty: it is not seen.
  std::string in_private_tmp(const std::string& instance) const {
    if (!instance.starts_with("/tmp/")) return {};
    for (const std::string& name :
         list_directory(options_.root + "/tmp").value_or(std::vector<std::string>{})) {
      if (!name.starts_with("systemd-private-")) continue;
      const std::string directory = "/tmp/" + name + instance;
      if (is_directory(options_.root + directory)) return directory;
    }
    return {};
  }

  const DiscoverOptions& options_;
  Discovery& found_;
  const std::string user_;
};

}  // namespace

void discover_passenger(const DiscoverOptions& options, Discovery& found) {
  PassengerDiscoverer(options, found).find();
}

}  // namespace lagwatch
