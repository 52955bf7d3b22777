// SPDX-License-Identifier: Apache-2.0
#include "discover/elasticsearch_discovery.h"

#include <unistd.h>

#include <set>
#include <string>
#include <string_view>

#include "base/account.h"
#include "base/file.h"
#include "base/text.h"
#include "discover/access.h"
#include "discover/elasticsearch_conf.h"
#include "discover/procfs.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxConf = 1U << 20U;
constexpr std::string_view kFirstPort = "9200";
constexpr std::string_view kSite = "_site_";

constexpr std::string_view kCredentials =
    "with security on it needs a user: PUT /_security/role/lagwatch {\"cluster\":[\"monitor\"],"
    "\"indices\":[{\"names\":[\"INDEX\"],\"privileges\":[\"read\"]}]}, PUT "
    "/_security/user/lagwatch "
    "{\"password\":\"...\",\"roles\":[\"lagwatch\"]}; then set username and password_file, a file "
    "with the password, or api_key_file";

// One object a discovery.
class ElasticsearchDiscoverer {
 public:
  ElasticsearchDiscoverer(const DiscoverOptions& options, Discovery& found)
      : options_(options), found_(found), names_(taken_names(found)) {}

  void find() {
    bool cut = false;
    for (const int pid : list_pids(options_.proc, cut)) {
      if (process_name(options_.proc, pid) != "java") continue;
      ElasticsearchProcess process;
      if (!read_elasticsearch_process(process_arguments(options_.proc, pid), process)) continue;
      const int parent = process_status(options_.proc, pid).parent;
      const std::string conf =
          elasticsearch_launcher_conf(process_arguments(options_.proc, parent));
      if (!conf.empty()) process.conf = conf;
      from_process(pid, process);
    }
    if (cut)
      found_.problems.emplace_back(
          "too many processes run here to look at each: an Elasticsearch may be missing from this "
          "list");
  }

 private:
  void from_process(int pid, ElasticsearchProcess& process) {
    const std::string who = std::string(process.opensearch ? "OpenSearch" : "Elasticsearch") +
                            " (pid " + std::to_string(pid) + ")";
    if (process_status(options_.proc, pid).container) {
      found_.problems.push_back(
          who +
          " runs in a container, so its configuration is not seen from here: name its URL in "
          "lagwatch.yml, as in: elasticsearch: [{ url: \"http://127.0.0.1:9200\" }]");
      return;
    }
    DiscoveredElasticsearch target;
    ElasticsearchSettings settings = read_conf(process, who, target);
    for (const auto& [name, value] : process.settings) settings.insert_or_assign(name, value);
    target.url = url_of(settings);
    if (!urls_.insert(target.url).second) return;
    target.name = take_name(names_, "elasticsearch");
    describe(settings, who, target);
    found_.elasticsearch.push_back(std::move(target));
  }

  // What its file says; where it may not be read, says so and what is taken instead.
  ElasticsearchSettings read_conf(const ElasticsearchProcess& process, const std::string& who,
                                  DiscoveredElasticsearch& target) const {
    if (process.conf.empty()) return {};
    const std::string path =
        process.conf + (process.opensearch ? "/opensearch.yml" : "/elasticsearch.yml");
    const FileText file = read_regular_file(options_.root + path, kMaxConf);
    if (file.error == 0) return read_elasticsearch_yaml(file.text);
    target.notes.push_back(unreadable_file(
        options_.root, path, user_name(geteuid()), "configuration of " + who, file.error,
        "correct the URL below: taken for granted are port 9200 and no TLS"));
    return {};
  }

  static std::string setting(const ElasticsearchSettings& settings, std::string_view name) {
    const auto found = settings.find(name);
    return found == settings.end() ? "" : found->second;
  }

  static bool tls(const ElasticsearchSettings& settings) {
    return setting(settings, "xpack.security.http.ssl.enabled") == "true" ||
           setting(settings, "plugins.security.ssl.http.enabled") == "true";
  }

  static std::string url_of(const ElasticsearchSettings& settings) {
    std::string host;
    for (const std::string_view name :
         {"http.publish_host", "http.bind_host", "http.host", "network.publish_host",
          "network.bind_host", "network.host"}) {
      if (host.empty() || host.starts_with('_')) host = setting(settings, name);
    }
    std::string port = setting(settings, "http.port");
    port = port.substr(0, port.find('-'));  // of a range the first
    const auto number = parse_number<unsigned>(port);
    if (!number || *number == 0 || *number > 65535) port = kFirstPort;
    return (tls(settings) ? "https://" : "http://") + elasticsearch_host(host) + ":" + port;
  }

  static void describe(const ElasticsearchSettings& settings, const std::string& who,
                       DiscoveredElasticsearch& target) {
    if (setting(settings, "network.host").starts_with(kSite)) {
      target.notes.push_back(who + " listens on the host's own address (_site_): name that in url");
    }
    if (tls(settings)) {
      target.notes.push_back(
          who +
          " has TLS: set ca_file (8.x: a copy of config/certs/http_ca.crt that lagwatch may "
          "read) or pinned_key, and let url have a name or address of the certificate");
    }
    target.notes.push_back(who + ": " + std::string(kCredentials));
    target.notes.emplace_back(
        "probe: { index: products } adds a small search of that index, which measures what users "
        "wait for");
  }

  const DiscoverOptions& options_;
  Discovery& found_;
  std::set<std::string> names_;
  std::set<std::string> urls_;
};

}  // namespace

void discover_elasticsearch(const DiscoverOptions& options, Discovery& found) {
  ElasticsearchDiscoverer(options, found).find();
}

}  // namespace lagwatch
