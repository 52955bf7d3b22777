// SPDX-License-Identifier: Apache-2.0
#include "discover/postgres_discovery.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "base/account.h"
#include "base/text.h"
#include "discover/access.h"
#include "discover/postgres_clusters.h"
#include "discover/postgres_processes.h"
#include "discover/postgres_words.h"

namespace lagwatch {
namespace {

constexpr std::string_view kNameIt =
    "name it in lagwatch.yml, as in: postgres: [{ dsn: \"host=/run/postgresql port=5432 "
    "user=lagwatch dbname=postgres\" }]";

// What libpq takes as one host, and a configuration can hold.
bool plain_socket(std::string_view path) {
  constexpr size_t kMaxBytes = sizeof(sockaddr_un::sun_path) - 1;
  return path.size() <= kMaxBytes && printable(path) == path &&
         path.find(',') == std::string_view::npos;
}

std::string directory_of(const std::string& socket) {
  const std::string directory = socket.substr(0, socket.rfind('/'));
  return directory.empty() ? "/" : directory;
}

// Gives each cluster a name by which it stays known over restarts. One object a discovery.
class Names {
 public:
  Names(const std::vector<PostgresCluster>& clusters, const Discovery& found)
      : taken_(taken_names(found)) {
    // Those that do not run count too: starting them renames nobody.
    for (const PostgresCluster& cluster : clusters) ++count_[cluster.debian_name];
  }

  std::string name(const PostgresCluster& cluster) {
    const bool only = count_[cluster.debian_name] == 1;
    const std::string& debian = cluster.debian_name;
    std::string wanted = only ? debian : cluster.version + "-" + debian;
    if (debian.empty()) wanted = only ? "postgres" : "postgres-" + std::to_string(cluster.port);
    for (char& c : wanted) {
      if (kPlain.find(c) == std::string_view::npos) c = '_';
    }
    return take_name(taken_, wanted);
  }

 private:
  static constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-";

  std::map<std::string, size_t> count_;
  std::set<std::string> taken_;
};

// Says how to ask each cluster, or what is in the way. One object a discovery.
class PostgresDiscoverer {
 public:
  PostgresDiscoverer(const DiscoverOptions& options, Discovery& found)
      : options_(options), found_(found), user_(user_name(geteuid())) {}

  void find() {
    const PostgresClusters all = find_postgres_clusters(options_.proc, options_.root);
    if (all.cut) {
      problem(
          "too many processes run here to look at each: a PostgreSQL may be missing from this "
          "list");
    }
    Names names(all.clusters, found_);
    for (const PostgresCluster& cluster : all.clusters) from_cluster(cluster, names.name(cluster));
  }

 private:
  void problem(std::string text) { found_.problems.push_back(std::move(text)); }

  static std::string who(const PostgresCluster& cluster) {
    std::string text = "PostgreSQL";
    if (!cluster.version.empty()) text += " " + cluster.version;
    if (!cluster.debian_name.empty()) return text + "/" + printable(cluster.debian_name);
    return cluster.pid == 0 ? text : text + " (pid " + std::to_string(cluster.pid) + ")";
  }

  void from_cluster(const PostgresCluster& cluster, const std::string& name) {
    if (cluster.container) {
      return problem(who(cluster) +
                     " runs in a container, so its files are not seen from here: give it a socket "
                     "in a directory that both share, or TCP, and name that in lagwatch.yml");
    }
    const auto hidden = unreadable(cluster);
    if (!cluster.running) return not_running(cluster, hidden);
    if (const std::string* socket = first_socket(cluster, SocketState::kUsable)) {
      by_socket(cluster, *socket, name, hidden);
    } else if (const std::string* denied = first_socket(cluster, SocketState::kDenied)) {
      // TCP would be a way round it that wants a password: the socket is mended more easily.
      const std::string conf =
          cluster.config_path.empty() ? "postgresql.conf" : printable(cluster.config_path);
      problem(who(cluster) + ": " + denied_postgres_socket(options_.root, *denied, user_, conf));
    } else {
      by_tcp(cluster, name, hidden);
    }
  }

  void not_running(const PostgresCluster& cluster, const std::vector<std::string>& hidden) {
    if (!hidden.empty()) {
      for (const std::string& text : hidden) problem(text);
      return;
    }
    if (cluster.debian_name.empty()) return;
    found_.notes.push_back(who(cluster) + " is configured (" + printable(cluster.config_path) +
                           ") and does not run: pg_lsclusters says down, \"pg_ctlcluster " +
                           cluster.version + " " + shell_word(printable(cluster.debian_name)) +
                           " start\" starts it");
  }

  // In Debian's layout only. Elsewhere the configuration lies with the data, of which PostgreSQL
  // refuses to start when others may enter: no right may be suggested there.
  std::vector<std::string> unreadable(const PostgresCluster& cluster) const {
    std::vector<std::string> out;
    if (cluster.debian_name.empty()) return out;
    for (const UnreadableFile& file : cluster.unreadable) {
      if (file.error == ENOENT) continue;  // then PostgreSQL has not read it either
      out.push_back(unreadable_file(options_.root, file.path, user_,
                                    "configuration of " + who(cluster), file.error, kNameIt));
    }
    return out;
  }

  const std::string* first_socket(const PostgresCluster& cluster, SocketState wanted) const {
    for (const std::string& socket : cluster.sockets) {
      if (!plain_socket(socket)) continue;
      const bool abstract = socket.starts_with('@');  // nobody's file, so open to all
      if ((abstract ? SocketState::kUsable : socket_state(options_.root, socket)) == wanted)
        return &socket;
    }
    return nullptr;
  }

  void by_socket(const PostgresCluster& cluster, const std::string& socket, const std::string& name,
                 const std::vector<std::string>& hidden) {
    const std::string directory = directory_of(socket);
    DiscoveredPostgres target{.name = name, .dsn = postgres_dsn(directory, cluster.port)};
    if (cluster.debian_name.empty() && cluster.pid == 0)
      target.notes.push_back(socket + " is listened on; by which server is not known");
    const PostgresWay way{directory, cluster.port, owner_of(socket)};
    keep(std::move(target), cluster, way, kPeerNote, hidden);
  }

  // No socket can be used.
  void by_tcp(const PostgresCluster& cluster, const std::string& name,
              const std::vector<std::string>& hidden) {
    const auto host = cluster.port == 0 ? std::nullopt : tcp_host(cluster.listen_addresses);
    const bool listens = host && tcp_port_listens(options_.proc, cluster.port).value_or(true);
    if (!listens) return no_way(cluster, hidden);
    DiscoveredPostgres target{.name = name, .dsn = postgres_dsn(*host, cluster.port)};
    if (!cluster.sockets.empty())
      target.notes.push_back(gone(cluster) + "; until then it is asked over TCP");
    const PostgresWay way{*host, cluster.port, "postgres"};
    keep(std::move(target), cluster, way, kTcpNote, hidden);
  }

  void keep(DiscoveredPostgres target, const PostgresCluster& cluster, const PostgresWay& way,
            std::string_view note, const std::vector<std::string>& hidden) {
    target.notes.push_back(who(cluster) + ": " + postgres_role(cluster.version, way));
    if (auto remark = postgres_role_remark(cluster.version))
      target.notes.push_back(std::move(*remark));
    target.notes.emplace_back(note);
    target.notes.insert(target.notes.end(), hidden.begin(), hidden.end());
    found_.postgres.push_back(std::move(target));
  }

  static std::string gone(const PostgresCluster& cluster) {
    return "the file of its socket " + printable(cluster.sockets[0]) +
           " is gone or cannot be used: a restart of PostgreSQL makes it anew";
  }

  void no_way(const PostgresCluster& cluster, const std::vector<std::string>& hidden) {
    if (!cluster.sockets.empty()) return problem(who(cluster) + ": " + gone(cluster));
    for (const std::string& text : hidden) problem(text);
    if (!hidden.empty()) return;
    std::string text = who(cluster) + " runs";
    if (!cluster.data_directory.empty()) text += " on " + printable(cluster.data_directory);
    problem(text + ", and where it listens is not seen by user " + user_ + ": " +
            std::string(kNameIt));
  }

  // Whom peer authentication takes for the superuser.
  std::string owner_of(const std::string& socket) const {
    struct stat info = {};
    const bool known = stat((options_.root + socket).c_str(), &info) == 0 && info.st_uid != 0;
    return known ? user_name(info.st_uid) : "postgres";
  }

  const DiscoverOptions& options_;
  Discovery& found_;
  const std::string user_;
};

}  // namespace

void discover_postgres(const DiscoverOptions& options, Discovery& found) {
  PostgresDiscoverer(options, found).find();
}

std::string postgres_places() {
  return "/etc/postgresql/VERSION/CLUSTER, and for sockets .s.PGSQL.PORT that are listened on";
}

}  // namespace lagwatch
