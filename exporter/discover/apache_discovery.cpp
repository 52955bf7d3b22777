// SPDX-License-Identifier: Apache-2.0
#include "discover/apache_discovery.h"

#include <fnmatch.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "base/account.h"
#include "base/file.h"
#include "base/text.h"
#include "discover/access.h"
#include "discover/procfs.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxFiles = 300;
constexpr size_t kMaxFileBytes = 1U << 20U;
constexpr std::string_view kDefaults[] = {"/etc/apache2/apache2.conf", "/etc/httpd/conf/httpd.conf",
                                          "/usr/local/apache2/conf/httpd.conf"};

bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return (x >= 'A' && x <= 'Z' ? x + 32 : x) == (y >= 'A' && y <= 'Z' ? y + 32 : y);
  });
}

std::string unquoted(std::string_view word) {
  if (word.size() >= 2 && (word.front() == '"' || word.front() == '\'') &&
      word.back() == word.front())
    word = word.substr(1, word.size() - 2);
  return std::string(word);
}

// What of a configuration discovery wants, its includes followed.
class ApacheConfig {
 public:
  explicit ApacheConfig(std::string root) : root_(std::move(root)) {}

  void read(const std::string& path) {
    if (server_root_.empty()) server_root_ = path.substr(0, path.rfind('/'));
    if (files_.size() >= kMaxFiles || !files_.insert(path).second) return;
    const FileText file = read_regular_file(root_ + path, kMaxFileBytes);
    if (file.error != 0) {
      unreadable.emplace_back(path, file.error);
      return;
    }
    std::string location;  // of the enclosing <Location>
    for (std::string_view rest = file.text; !rest.empty();) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      take(split_words(trim(rest.substr(0, end))), location);
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }

  std::vector<std::string> listens;  // "80", "127.0.0.1:8080"; not those of https
  std::string status_path;           // empty: no mod_status
  std::vector<std::pair<std::string, int>> unreadable;  // path, errno

 private:
  void take(const std::vector<std::string_view>& words, std::string& location) {
    if (words.empty()) return;
    const std::string_view first = words[0];
    if (same_word(first, "<Location") && words.size() > 1) {
      location = unquoted(words[1].substr(0, words[1].find('>')));
    } else if (same_word(first, "</Location>")) {
      location.clear();
    } else if (same_word(first, "SetHandler") && words.size() > 1 &&
               same_word(unquoted(words[1]), "server-status") && location.starts_with('/')) {
      if (status_path.empty()) status_path = location;
    } else if (same_word(first, "Listen") && words.size() > 1) {
      const bool tls = words.size() > 2 && same_word(words[2], "https");
      if (!tls && words[1] != "443" && !words[1].ends_with(":443")) listens.emplace_back(words[1]);
    } else if (same_word(first, "ServerRoot") && words.size() > 1) {
      server_root_ = unquoted(words[1]);
    } else if ((same_word(first, "Include") || same_word(first, "IncludeOptional")) &&
               words.size() > 1) {
      include(unquoted(words[1]));
    }
  }

  // Patterns in the last part of the path only, as Debian's and Red Hat's configurations have them.
  void include(const std::string& wanted) {
    const std::string path = wanted.starts_with('/') ? wanted : server_root_ + "/" + wanted;
    const size_t slash = path.rfind('/');
    const std::string directory = path.substr(0, slash);
    const std::string pattern = path.substr(slash + 1);
    if (pattern.find_first_of("*?[") == std::string::npos && !is_directory(root_ + path))
      return read(path);
    const std::string& where = is_directory(root_ + path) ? path : directory;
    for (const std::string& name : list_directory(root_ + where).value_or(Names{})) {
      if (name.starts_with('.')) continue;
      if (where == path || fnmatch(pattern.c_str(), name.c_str(), FNM_PERIOD) == 0)
        read(where + "/" + name);
    }
  }

  using Names = std::vector<std::string>;
  std::string root_;
  std::string server_root_;
  std::set<std::string> files_;
};

bool is_apache(std::string_view name) { return name == "apache2" || name == "httpd"; }

// The configuration that `arguments` name; empty: the default one. Nothing: it serves nobody.
std::optional<std::string> config_of(const std::vector<std::string>& arguments) {
  std::string file;
  std::string root;
  for (size_t i = 1; i < arguments.size(); ++i) {
    const bool has_value = i + 1 < arguments.size();
    if (arguments[i] == "-f" && has_value)
      file = arguments[++i];
    else if (arguments[i] == "-d" && has_value)
      root = arguments[++i];
    else if (arguments[i] == "-t" || arguments[i] == "-v" || arguments[i] == "-V")
      return std::nullopt;
  }
  if (!file.empty() && !file.starts_with('/') && !root.empty()) file = root + "/" + file;
  return file;
}

// "80" and "*:80" are asked on loopback.
std::string authority_of(std::string_view listen) {
  const size_t colon = listen.rfind(':');
  if (colon == std::string_view::npos) return "127.0.0.1:" + std::string(listen);
  const std::string_view host = listen.substr(0, colon);
  if (host == "*" || host == "0.0.0.0" || host == "[::]")
    return "127.0.0.1" + std::string(listen.substr(colon));
  return std::string(listen);
}

class Discoverer {
 public:
  Discoverer(const DiscoverOptions& options, Discovery& found) : options_(options), found_(found) {}

  void find() {
    bool cut = false;
    std::set<int> apaches;
    for (const int pid : list_pids(options_.proc, cut)) {
      if (is_apache(process_name(options_.proc, pid))) apaches.insert(pid);
    }
    for (const int pid : apaches) {
      const ProcessStatus status = process_status(options_.proc, pid);
      // Workers, the servers of containers, and what apachectl asks are not looked at.
      if (apaches.contains(status.parent) || status.container) continue;
      const auto arguments = process_arguments(options_.proc, pid);
      if (arguments.empty()) continue;  // it has ended
      const auto config = config_of(arguments);
      if (config && seen_.insert(*config).second) look(pid, *config);
    }
  }

 private:
  void look(int pid, const std::string& named) {
    std::string path = named;
    for (const std::string_view file : kDefaults) {
      if (path.empty() && access((options_.root + std::string(file)).c_str(), F_OK) == 0)
        path = file;
    }
    const std::string who = "Apache (pid " + std::to_string(pid) + ")";
    if (path.empty()) {
      found_.notes.push_back(who +
                             ": its configuration was not found; name its mod_status under apache");
      return;
    }
    ApacheConfig config(options_.root);
    config.read(path);
    if (!config.unreadable.empty() && (config.listens.empty() || config.status_path.empty())) {
      const auto& [file, error] = config.unreadable.front();
      found_.problems.push_back(
          unreadable_file(options_.root, file, user_name(geteuid()), "the configuration of " + who,
                          error, "name its mod_status under apache in lagwatch.yml"));
    } else if (config.status_path.empty()) {
      found_.notes.push_back(
          who +
          " does not tell its status: a2enmod status, or SetHandler server-status in a "
          "<Location> of " +
          printable(path));
    } else if (!config.listens.empty()) {
      add(authority_of(config.listens.front()), config.status_path, path);
    }
  }

  void add(const std::string& authority, const std::string& status_path,
           const std::string& config) {
    const std::string port = authority.substr(authority.rfind(':') + 1);
    DiscoveredApache apache;
    std::set<std::string> taken = taken_names(found_);
    apache.name = take_name(taken, found_.apache.empty() ? "apache" : "apache-" + port);
    apache.url = "http://" + authority + status_path + "?auto";
    apache.notes.push_back("As " + printable(config) + " says.");
    found_.apache.push_back(std::move(apache));
  }

  const DiscoverOptions& options_;
  Discovery& found_;
  std::set<std::string> seen_;  // configurations
};

}  // namespace

void discover_apaches(const DiscoverOptions& options, Discovery& found) {
  Discoverer(options, found).find();
}

}  // namespace lagwatch
