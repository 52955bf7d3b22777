// SPDX-License-Identifier: Apache-2.0
// Settings of Elasticsearch as elasticsearch.yml, opensearch.yml and command lines write them.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace lagwatch {

// By full name ("http.port"), of a file whose mappings may be nested or dotted; quotes taken off,
// of a list its first item. What is no such line is passed over: this is not a reader of all of
// YAML.
using ElasticsearchSettings = std::map<std::string, std::string, std::less<>>;
ElasticsearchSettings read_elasticsearch_yaml(std::string_view text);

// What a Java process' command line says, where it is a node's.
struct ElasticsearchProcess {
  bool opensearch = false;
  std::string conf;  // directory; empty: not known
  ElasticsearchSettings settings;
};

// Whether these are the arguments of a node: the launcher of 8.x and tools are none.
bool read_elasticsearch_process(const std::vector<std::string>& arguments,
                                ElasticsearchProcess& process);

// The directory of the configuration as the launcher of 8.x and later has it, which tells its
// child, the node, in private; empty: these are not its arguments.
std::string elasticsearch_launcher_conf(const std::vector<std::string>& arguments);

// The host under which a node that is bound to `host` answers from here.
std::string elasticsearch_host(std::string_view host);

}  // namespace lagwatch
