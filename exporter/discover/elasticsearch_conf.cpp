// SPDX-License-Identifier: Apache-2.0
#include "discover/elasticsearch_conf.h"

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace lagwatch {
namespace {

std::string_view unquoted(std::string_view text) {
  text = trim(text);
  if (text.starts_with('[')) text = trim(text.substr(1, text.find_first_of(",]") - 1));
  const bool quoted =
      text.size() >= 2 && (text[0] == '"' || text[0] == '\'') && text.back() == text[0];
  return quoted ? text.substr(1, text.size() - 2) : text;
}

// Without what follows a '#' that begins a comment.
std::string_view without_comment(std::string_view line) {
  for (size_t at = line.find('#'); at != std::string_view::npos; at = line.find('#', at + 1)) {
    if (at == 0 || line[at - 1] == ' ' || line[at - 1] == '\t') return line.substr(0, at);
  }
  return line;
}

}  // namespace

ElasticsearchSettings read_elasticsearch_yaml(std::string_view text) {
  ElasticsearchSettings settings;
  std::vector<std::pair<size_t, std::string>> parents;  // indentation and name
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = without_comment(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t indentation = std::min(line.find_first_not_of(' '), line.size());
    const std::string_view word = trim(line);
    if (word.empty()) continue;
    if (word.starts_with("- ")) {  // a list's item
      if (!parents.empty() && !settings.contains(parents.back().second))
        settings[parents.back().second] = unquoted(word.substr(2));
      continue;
    }
    size_t colon = word.find(": ");
    if (colon == std::string_view::npos && word.ends_with(':')) colon = word.size() - 1;
    if (colon == std::string_view::npos) continue;
    while (!parents.empty() && parents.back().first >= indentation) parents.pop_back();
    std::string name = parents.empty() ? "" : parents.back().second + ".";
    name += unquoted(word.substr(0, colon));
    const std::string_view value = unquoted(word.substr(colon + 1));
    if (!value.empty()) settings.insert_or_assign(name, std::string(value));
    parents.emplace_back(indentation, std::move(name));
  }
  return settings;
}

bool read_elasticsearch_process(const std::vector<std::string>& arguments,
                                ElasticsearchProcess& process) {
  bool node = false;
  std::string home;
  const auto value_of = [](std::string_view argument, std::string_view name) -> std::string {
    return std::string(argument.starts_with(name) ? argument.substr(name.size()) : "");
  };
  for (size_t i = 0; i < arguments.size(); ++i) {
    std::string_view argument = arguments[i];
    // "-m MODULE/CLASS" from 8.x on, else CLASS.
    const std::string_view name = argument.substr(argument.rfind('/') + 1);
    if (name == "org.elasticsearch.bootstrap.Elasticsearch") node = true;
    if (name == "org.opensearch.bootstrap.OpenSearch") node = process.opensearch = true;
    for (const std::string_view prefix : {"-Des.", "-Dopensearch."}) {
      if (!argument.starts_with(prefix)) continue;
      const std::string_view setting = argument.substr(prefix.size());
      if (auto conf = value_of(setting, "path.conf="); !conf.empty()) process.conf = conf;
      if (auto conf = value_of(setting, "default.path.conf=");
          !conf.empty() && process.conf.empty())
        process.conf = conf;
      if (auto path = value_of(setting, "path.home="); !path.empty()) home = path;
    }
    // -E NAME=VALUE, -ENAME=VALUE; before 5.0 -Des.NAME=VALUE.
    if (argument == "-E" && i + 1 < arguments.size()) {
      argument = arguments[++i];
    } else if (argument.starts_with("-E")) {
      argument.remove_prefix(2);
    } else if (argument.starts_with("-Des.")) {
      argument.remove_prefix(5);
    } else {
      continue;
    }
    const size_t equals = argument.find('=');
    if (equals == std::string_view::npos) continue;
    process.settings.insert_or_assign(std::string(argument.substr(0, equals)),
                                      std::string(argument.substr(equals + 1)));
  }
  if (const auto conf = process.settings.find("path.conf"); conf != process.settings.end())
    process.conf = conf->second;
  if (process.conf.empty() && !home.empty()) process.conf = home + "/config";
  return node;
}

std::string elasticsearch_launcher_conf(const std::vector<std::string>& arguments) {
  constexpr std::string_view kConf = "-Des.path.conf=";
  for (const std::string& argument : arguments) {
    if (argument.starts_with(kConf)) return argument.substr(kConf.size());
  }
  return {};
}

std::string elasticsearch_host(std::string_view host) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:";
  // _local_, _site_, _eth0_: what each stands for is not known here; most listen on loopback too.
  if (host.empty() || host == "0.0.0.0" || host == "::" || host == "localhost" ||
      host.find_first_not_of(kPlain) != std::string_view::npos)
    return "127.0.0.1";
  return host.find(':') == std::string_view::npos ? std::string(host)
                                                  : "[" + std::string(host) + "]";
}

}  // namespace lagwatch
