// SPDX-License-Identifier: Apache-2.0
#include "discover/haproxy_discovery.h"

#include <unistd.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "base/account.h"
#include "base/file.h"
#include "base/text.h"
#include "discover/haproxy_choice.h"
#include "discover/haproxy_config.h"
#include "discover/haproxy_processes.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxConfigBytes = 4U << 20U;
constexpr size_t kMaxConfigFiles = 256;
constexpr std::string_view kNameIt =
    "name its socket in lagwatch.yml, as in: haproxy: [{ sockets: /run/haproxy/lagwatch.sock }]";
constexpr const char* kUsualConfig = "/etc/haproxy/haproxy.cfg";
// Ours first, then where packages and manuals put it.
constexpr const char* kUsualSockets[] = {"/run/haproxy/lagwatch.sock", "/run/haproxy/admin.sock",
                                         "/var/run/haproxy.sock", "/var/lib/haproxy/stats"};

// The configuration of one HAProxy as far as it can be read.
struct ConfigFiles {
  std::vector<HaproxyConfigText> texts;
  std::vector<std::string> unreadable;  // "PATH ... : what allows it", one each
};

// Finds the HAProxys of one host. One object a discovery.
class HaproxyDiscoverer {
 public:
  HaproxyDiscoverer(const DiscoverOptions& options, Discovery& found)
      : options_(options), found_(found) {
    asker_.root = options.root;
    asker_.user = user_name(geteuid());
    const gid_t group = getegid();
    const std::string name = group_name(group);
    // `stats socket` takes a name or a number, by different words.
    asker_.group_words = (name == std::to_string(group) ? "gid " : "group ") + name;
  }

  void find() {
    const HaproxyProcesses processes = find_haproxys(options_.proc);
    if (processes.cut) {
      found_.problems.push_back(
          "too many processes run here to look at each: an HAProxy may be missing from this list");
    }
    size_t number = 0;
    for (const HaproxyInstance& instance : processes.instances) from_instance(instance, ++number);
    for (auto& [name, why] : without_socket_) from_usual_socket(name, std::move(why));
    if (processes.instances.empty()) without_process();
    // Names follow the instances, whichever of them can be used.
    std::sort(found_.haproxy.begin(), found_.haproxy.end(), [](const auto& a, const auto& b) {
      return std::pair(a.name.size(), a.name) < std::pair(b.name.size(), b.name);
    });
  }

 private:
  static std::string name_of(size_t number) {
    return number == 1 ? "haproxy" : "haproxy-" + std::to_string(number);
  }

  void from_instance(const HaproxyInstance& instance, size_t number) {
    const std::string name = name_of(number);
    const std::string who = "HAProxy (pid " + std::to_string(instance.pid) + ")";
    asker_.socket_name = number == 1 ? "lagwatch" : "lagwatch-" + name;
    if (instance.container) {
      without_socket_.emplace_back(
          name,
          std::vector<std::string>{
              who + " runs in a container, so its files are not seen from here: give it a stats "
                    "socket in a directory that both share, or on TCP, and name that in "
                    "lagwatch.yml"});
      return;
    }
    ConfigFiles files = read_config(instance.files, who);
    if (files.texts.empty()) {
      without_socket_.emplace_back(name, std::move(files.unreadable));
      return;
    }
    take(name, choose(files), std::move(files.unreadable));
  }

  HaproxyChoice choose(const ConfigFiles& files) const {
    return choose_haproxy_sockets(parse_haproxy_config(files.texts), files.texts.front().path,
                                  asker_);
  }

  // Keeps a choice as a target, or as problems. `more` is said, too.
  void take(const std::string& name, HaproxyChoice choice, std::vector<std::string> more) {
    auto& said = choice.sockets.empty() ? choice.problems : choice.notes;
    said.insert(said.end(), more.begin(), more.end());
    if (choice.sockets.empty()) {
      found_.problems.insert(found_.problems.end(), choice.problems.begin(), choice.problems.end());
      return;
    }
    used_.insert(choice.sockets.begin(), choice.sockets.end());
    found_.haproxy.push_back({name, std::move(choice.sockets), std::move(choice.notes)});
  }

  // An HAProxy that runs, and whose configuration is hidden from us by `why`.
  void from_usual_socket(const std::string& name, std::vector<std::string> why) {
    HaproxyChoice choice;
    for (const char* path : kUsualSockets) {
      if (used_.contains(path)) continue;
      const SocketState state = socket_state(asker_.root, path);
      if (state == SocketState::kUsable) {
        choice.sockets = {path};
        choice.notes.push_back(
            std::string(path) +
            " is a usual place; whose socket it is, and of what level, is not known");
        break;
      }
      if (state == SocketState::kDenied)
        choice.problems.push_back(denied_socket(asker_, path, "", kUsualConfig));
    }
    take(name, std::move(choice), std::move(why));
  }

  void without_process() {
    const ConfigFiles files = read_config({kUsualConfig}, "HAProxy");
    // Where nothing runs (or /proc hides it), only a socket that exists says that HAProxy is there.
    HaproxyConfig config = parse_haproxy_config(files.texts);
    config.pages.clear();
    std::erase_if(config.sockets, [this](const HaproxyStatsSocket& socket) {
      return socket.path.empty() || socket_state(asker_.root, socket.path) == SocketState::kMissing;
    });
    if (!config.sockets.empty()) {
      return take(name_of(1), choose_haproxy_sockets(config, kUsualConfig, asker_), {});
    }
    const size_t before = found_.problems.size();
    from_usual_socket(name_of(1), {});
    if (!found_.haproxy.empty() || found_.problems.size() > before) return;
    if (!files.texts.empty()) {
      found_.problems.push_back(std::string("no HAProxy is seen to run, though ") + kUsualConfig +
                                " is there");
    }
  }

  // -f may name a directory: its *.cfg in the C locale's order.
  std::vector<std::string> expand(const std::string& path) const {
    const auto names = list_directory(options_.root + path);
    if (!names) return {path};
    std::vector<std::string> files;
    for (const std::string& name : *names) {
      if (name.starts_with('.') || !name.ends_with(".cfg") || files.size() == kMaxConfigFiles)
        continue;
      files.push_back(path + (path.ends_with('/') ? "" : "/") + name);
    }
    return files;
  }

  ConfigFiles read_config(const std::vector<std::string>& paths, const std::string& who) const {
    ConfigFiles files;
    size_t left = kMaxConfigBytes;
    for (const std::string& given : paths) {
      if (!given.starts_with('/')) {
        files.unreadable.push_back(printable(given) + ", the configuration of " + who +
                                   ", is relative to a directory that user " + asker_.user +
                                   " may not see: " + std::string(kNameIt));
        continue;
      }
      for (const std::string& path : expand(given)) {
        FileText file = read_regular_file(options_.root + path, left);
        if (file.error != 0) {
          files.unreadable.push_back(unreadable_file(options_.root, path, asker_.user,
                                                     "the configuration of " + who, file.error,
                                                     kNameIt));
          continue;
        }
        left -= file.text.size();
        files.texts.push_back({printable(path), std::move(file.text)});
      }
    }
    return files;
  }

  const DiscoverOptions& options_;
  HaproxyAsker asker_;
  Discovery& found_;
  std::set<std::string> used_;  // sockets that are some target's
  // Names of those that run and could not be asked where their socket is, and why.
  std::vector<std::pair<std::string, std::vector<std::string>>> without_socket_;
};

}  // namespace

void discover_haproxys(const DiscoverOptions& options, Discovery& found) {
  HaproxyDiscoverer(options, found).find();
}

std::string haproxy_places() {
  std::string places = kUsualConfig;
  for (const char* path : kUsualSockets) places += std::string(", ") + path;
  return places;
}

}  // namespace lagwatch
