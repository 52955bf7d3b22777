// SPDX-License-Identifier: Apache-2.0
#include "discover/postgres_clusters.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "base/file.h"
#include "base/text.h"
#include "discover/access.h"
#include "discover/postgres_processes.h"
#include "discover/procfs.h"

namespace lagwatch {
namespace {

constexpr const char* kDebianRoot = "/etc/postgresql";
constexpr size_t kMaxClusters = 64;
constexpr size_t kMaxSmallFile = 16384;
constexpr unsigned kDefaultPort = 5432;
// Debian's, and PostgreSQL's own.
constexpr const char* kUsualDirectories[] = {"/run/postgresql", "/tmp"};

std::string setting(const PostgresSettings& settings, std::string_view name) {
  const auto found = settings.find(name);
  return found == settings.end() ? std::string() : found->second;
}

std::vector<std::string> lines_of(const FileText& file) {
  std::vector<std::string> lines;
  std::string_view rest = file.text;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    lines.emplace_back(trim(rest.substr(0, end)));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return lines;
}

// What is known of one cluster while it is put together.
struct Draft {
  PostgresCluster cluster;
  PostgresSettings settings;
  PostgresSettings of_process;
  int pid_in_file = 0;        // of external_pid_file
  bool conf_is_read = false;  // else port and directories may be others than thought
};

// Puts clusters together. One object a discovery.
class ClusterFinder {
 public:
  ClusterFinder(const std::string& proc, const std::string& root) : proc_(proc), root_(root) {}

  PostgresClusters find() {
    if (auto paths = listening_postgres_sockets(proc_)) {
      listening_.emplace();
      for (const std::string& path : *paths) listening_->insert(canonical(path));
    }
    add_debian();
    const PostgresProcesses processes = find_postmasters(proc_);
    for (const Postmaster& postmaster : processes.postmasters) add_process(postmaster);
    for (Draft& draft : drafts_) settle(draft);
    add_rest();
    PostgresClusters found{.cut = processes.cut};
    for (Draft& draft : drafts_) found.clusters.push_back(std::move(draft.cluster));
    std::sort(found.clusters.begin(), found.clusters.end(), precedes);
    return found;
  }

 private:
  static bool precedes(const PostgresCluster& a, const PostgresCluster& b) {
    const bool a_other = a.debian_name.empty();
    const bool b_other = b.debian_name.empty();
    if (a_other != b_other) return b_other;
    if (a_other) return std::tie(a.port, a.sockets, a.pid) < std::tie(b.port, b.sockets, b.pid);
    if (a.version != b.version) return older_postgres(a.version, b.version);
    return a.debian_name < b.debian_name;
  }

  // /var/run is another name of /run, save where it is a directory of its own.
  std::string canonical(const std::string& path) {
    constexpr std::string_view kOld = "/var/run/";
    if (!path.starts_with(kOld)) return path;
    if (!var_run_is_run_) {
      const std::string target = read_link(root_ + "/var/run");
      var_run_is_run_ = !target.empty() || !is_directory(root_ + "/var/run");
    }
    return *var_run_is_run_ ? path.substr(4) : path;
  }

  void add_debian() {
    for (const std::string& version : names_in(kDebianRoot)) {
      if (!is_postgres_version(version)) continue;
      const std::string directory = std::string(kDebianRoot) + "/" + version;
      for (const std::string& name : names_in(directory)) {
        if (name.starts_with('.')) continue;
        if (drafts_.size() == kMaxClusters) return;
        add_debian_cluster(version, name, directory + "/" + name + "/postgresql.conf");
      }
    }
  }

  std::vector<std::string> names_in(const std::string& path) const {
    return list_directory(root_ + path).value_or(std::vector<std::string>{});
  }

  void add_debian_cluster(const std::string& version, const std::string& name,
                          const std::string& path) {
    Draft draft;
    draft.cluster.version = version;
    draft.cluster.debian_name = name;
    read_conf(draft, path);
    // What is left of a cluster that was removed.
    const auto gone = [&](const UnreadableFile& file) {
      return file.path == path && (file.error == ENOENT || file.error == ENOTDIR);
    };
    const auto& unreadable = draft.cluster.unreadable;
    if (std::any_of(unreadable.begin(), unreadable.end(), gone)) return;
    const std::string pid_file = setting(draft.settings, "external_pid_file");
    if (pid_file.starts_with('/')) {
      const auto lines = lines_of(read_regular_file(root_ + pid_file, kMaxSmallFile));
      if (!lines.empty()) draft.pid_in_file = parse_number<int>(lines[0]).value_or(0);
    }
    drafts_.push_back(std::move(draft));
  }

  void read_conf(Draft& draft, const std::string& path) {
    PostgresConf conf = read_postgres_conf(root_, path);
    draft.cluster.config_path = path;
    draft.settings = std::move(conf.settings);
    draft.cluster.unreadable = std::move(conf.unreadable);
    draft.conf_is_read =
        std::none_of(draft.cluster.unreadable.begin(), draft.cluster.unreadable.end(),
                     [&](const UnreadableFile& file) { return file.path == path; });
    if (draft.cluster.data_directory.empty())
      draft.cluster.data_directory = setting(draft.settings, "data_directory");
  }

  // The cluster that a server is of, by the surest sign first.
  Draft* cluster_of(const Postmaster& postmaster) {
    if (postmaster.container) return nullptr;
    const auto same = [](const std::string& a, const std::string& b) {
      return !a.empty() && a == b;
    };
    for (Draft& draft : drafts_) {
      if (same(draft.cluster.config_path, postmaster.config_path)) return &draft;
    }
    for (Draft& draft : drafts_) {
      if (same(draft.cluster.data_directory, postmaster.data_directory)) return &draft;
    }
    for (Draft& draft : drafts_) {
      if (draft.pid_in_file == postmaster.pid) return &draft;
    }
    return nullptr;
  }

  void add_process(const Postmaster& postmaster) {
    Draft* draft = cluster_of(postmaster);
    if (draft == nullptr || draft->cluster.pid != 0) {
      Draft fresh;
      fresh.cluster.version = postmaster.version;
      fresh.cluster.data_directory = postmaster.data_directory;
      if (!postmaster.container && !postmaster.config_path.empty())
        read_conf(fresh, postmaster.config_path);
      draft = &drafts_.emplace_back(std::move(fresh));
    }
    draft->cluster.pid = postmaster.pid;
    draft->cluster.container = postmaster.container;
    draft->cluster.running = true;
    draft->of_process = postmaster.settings;
  }

  // Reads what the settings mean, and takes the sockets that are its own.
  void settle(Draft& draft) {
    PostgresCluster& cluster = draft.cluster;
    if (cluster.container) return;
    read_data_directory(draft);
    for (const auto& [name, value] : draft.of_process) draft.settings[name] = value;
    const auto port = draft.settings.find("port");
    if (port != draft.settings.end()) {
      cluster.port = parse_number<unsigned>(port->second).value_or(0);
      if (cluster.port > 65535) cluster.port = 0;
    } else if (draft.conf_is_read) {
      cluster.port = kDefaultPort;
    }
    const auto listen = draft.settings.find("listen_addresses");
    cluster.listen_addresses = listen != draft.settings.end() ? listen->second : "localhost";
    if (cluster.port == 0) return;
    for (const std::string& directory : directories(draft)) {
      const std::string path = directory + "/.s.PGSQL." + std::to_string(cluster.port);
      if (listens(path, draft)) take(draft, path);
    }
    if (!cluster.running && cluster.sockets.empty() && only_tcp(draft))
      cluster.running = tcp_port_listens(proc_, cluster.port).value_or(false);
  }

  void read_data_directory(Draft& draft) {
    const std::string& directory = draft.cluster.data_directory;
    if (!directory.starts_with('/')) return;
    // ALTER SYSTEM writes there. No more than a look: it is nearly always hidden from us.
    const std::string path = directory + "/postgresql.auto.conf";
    for (auto& [name, value] : read_postgres_conf(root_, path).settings)
      draft.settings[name] = value;
    if (!draft.cluster.version.empty()) return;
    const auto lines = lines_of(read_regular_file(root_ + directory + "/PG_VERSION", 64));
    if (!lines.empty() && is_postgres_version(lines[0])) draft.cluster.version = lines[0];
  }

  static bool only_tcp(const Draft& draft) {
    const auto found = draft.settings.find("unix_socket_directories");
    return found != draft.settings.end() && trim(found->second).empty();
  }

  // Without a setting it is the directory that PostgreSQL was built with.
  std::vector<std::string> directories(const Draft& draft) {
    const auto list = draft.settings.find("unix_socket_directories");
    const std::string one = setting(draft.settings, "unix_socket_directory");  // before 9.3
    std::vector<std::string> found;
    if (list != draft.settings.end()) {
      found = split_postgres_list(list->second);
    } else if (!one.empty()) {
      found = {one};
    } else {
      found.assign(std::begin(kUsualDirectories), std::end(kUsualDirectories));
      if (!draft.cluster.debian_name.empty()) found.resize(1);
    }
    for (std::string& directory : found) {
      while (directory.size() > 1 && directory.ends_with('/')) directory.pop_back();
      if (!directory.starts_with('/') && !directory.starts_with('@'))
        directory = draft.cluster.data_directory + "/" + directory;
      directory = canonical(directory + "/");
      directory.pop_back();
    }
    return found;
  }

  bool listens(const std::string& path, const Draft& draft) const {
    if (taken_.contains(path)) return false;
    if (listening_ && listening_->contains(path)) return true;
    const bool relative = !draft.cluster.data_directory.empty() &&
                          path.starts_with(draft.cluster.data_directory + "/");
    if (listening_ && !(relative && draft.cluster.running)) return false;
    const SocketState state = socket_state(root_, path);
    return state == SocketState::kUsable || state == SocketState::kDenied;
  }

  void take(Draft& draft, const std::string& path) {
    taken_.insert(path);
    draft.cluster.sockets.push_back(path);
    draft.cluster.running = true;
    draft.cluster.port = port_of_socket(path).value_or(0);
  }

  // Sockets that no configuration names, or none that we may read.
  void add_rest() {
    std::map<unsigned, std::vector<std::string>> by_port;
    for (const std::string& path : rest()) {
      if (!add_by_lock_file(path)) by_port[*port_of_socket(path)].push_back(path);
    }
    std::vector<size_t> lost;  // with a configuration that is hidden from us
    for (size_t i = 0; i < drafts_.size(); ++i) {
      Draft& draft = drafts_[i];
      if (!draft.cluster.sockets.empty() || draft.cluster.container) continue;
      if (draft.cluster.port == 0) {
        if (!draft.conf_is_read) lost.push_back(i);
      } else if (draft.cluster.pid != 0 && !only_tcp(draft)) {
        // It may have been started with other directories than are configured now.
        const auto paths = by_port.extract(draft.cluster.port);
        if (!paths) continue;
        for (const std::string& path : paths.mapped()) take(draft, path);
      }
    }
    if (lost.size() == 1 && by_port.size() == 1) {
      for (const std::string& path : by_port.begin()->second) take(drafts_[lost[0]], path);
      return;
    }
    add_anonymous(by_port, lost);
  }

  std::vector<std::string> rest() const {
    std::vector<std::string> paths;
    if (listening_) {
      paths.assign(listening_->begin(), listening_->end());
    } else {
      for (const std::string directory : kUsualDirectories) {
        for (const std::string& name : names_in(directory)) paths.push_back(directory + "/" + name);
      }
    }
    std::erase_if(paths, [this](const std::string& path) {
      if (taken_.contains(path) || !port_of_socket(path)) return true;
      if (path.starts_with('@')) return false;
      // One that is not there is that of another mount namespace.
      const SocketState state = socket_state(root_, path);
      return state != SocketState::kUsable && state != SocketState::kDenied;
    });
    return paths;
  }

  // Lines of "/tmp/.s.PGSQL.5432.lock": pid, data directory, ...
  bool add_by_lock_file(const std::string& path) {
    const auto lines = lines_of(read_regular_file(root_ + path + ".lock", kMaxSmallFile));
    const int pid = lines.size() < 2 ? 0 : parse_number<int>(lines[0]).value_or(0);
    if (pid <= 0 || !lines[1].starts_with('/')) return false;
    const auto is_it = [&](const Draft& draft) {
      return !draft.cluster.container &&
             (draft.cluster.pid == pid || draft.cluster.data_directory == lines[1]);
    };
    auto draft = std::find_if(drafts_.begin(), drafts_.end(), is_it);
    if (draft == drafts_.end()) {
      if (drafts_.size() >= kMaxClusters) return true;
      Draft fresh;
      fresh.cluster.data_directory = lines[1];
      fresh.cluster.listen_addresses = "localhost";
      fresh.cluster.pid = pid;
      read_data_directory(fresh);
      draft = drafts_.insert(drafts_.end(), std::move(fresh));
    }
    take(*draft, path);
    return true;
  }

  // `lost` are servers of which it is not known which of the sockets is theirs.
  void add_anonymous(const std::map<unsigned, std::vector<std::string>>& by_port,
                     const std::vector<size_t>& lost) {
    // Servers may share a port in different directories; a single one listens in all of them.
    std::vector<std::vector<std::string>> groups;
    for (const auto& [port, paths] : by_port) {
      if (lost.size() <= 1) groups.push_back(paths);
      if (lost.size() <= 1) continue;
      for (const std::string& path : paths) groups.push_back({path});
    }
    std::set<std::string> versions;
    for (const size_t i : lost) versions.insert(drafts_[i].cluster.version);
    // As many sockets as servers: each server is among them.
    if (groups.size() >= lost.size()) {
      for (size_t i = lost.size(); i-- > 0;) {
        if (drafts_[lost[i]].cluster.debian_name.empty())
          drafts_.erase(drafts_.begin() + static_cast<std::ptrdiff_t>(lost[i]));
      }
    }
    for (const auto& paths : groups) {
      if (drafts_.size() >= kMaxClusters) return;
      Draft fresh;
      if (versions.size() == 1) fresh.cluster.version = *versions.begin();
      for (const std::string& path : paths) take(fresh, path);
      drafts_.push_back(std::move(fresh));
    }
  }

  const std::string& proc_;
  const std::string& root_;
  std::optional<bool> var_run_is_run_;
  std::optional<std::set<std::string>> listening_;  // nothing: /proc does not say
  std::set<std::string> taken_;
  std::vector<Draft> drafts_;
};

}  // namespace

PostgresClusters find_postgres_clusters(const std::string& proc, const std::string& root) {
  return ClusterFinder(proc, root).find();
}

bool older_postgres(const std::string& a, const std::string& b) {
  const auto numbers = [](std::string_view text) {
    std::vector<unsigned> out;
    while (!text.empty()) {
      const size_t dot = std::min(text.find('.'), text.size());
      out.push_back(parse_number<unsigned>(text.substr(0, dot)).value_or(0));
      text.remove_prefix(std::min(dot + 1, text.size()));
    }
    return out;
  };
  return numbers(a) < numbers(b);
}

}  // namespace lagwatch
