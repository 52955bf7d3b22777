// SPDX-License-Identifier: Apache-2.0
// `GET /`: which server this is. Before 7.0 its status is 503 without a master, and it says the
// same.
#include "base/text.h"
#include "collector/elasticsearch.h"
#include "collector/elasticsearch_json.h"

namespace lagwatch {
namespace {

using simdjson::ondemand::value;

// "8.19.5", "9.1.0-SNAPSHOT" as 81905, 90100; 0 where it is no version.
int version_number(std::string_view text) {
  int number = 0;
  for (int part = 0; part < 3; ++part) {
    const size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
    const auto digits = parse_number<int>(text.substr(0, end));
    if (!digits || *digits > 99) return 0;
    number = number * 100 + *digits;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return number;
}

void read_version(ElasticsearchServer& server, value version) {
  json_fields(version, [&](std::string_view key, value field) {
    if (key == "number") server.number = json_text(field);
    if (key == "distribution") server.opensearch = json_text(field) == "opensearch";
    if (key == "build_date" || key == "build_timestamp") server.build_date = json_text(field);
    if (key == "build_hash") server.build_hash = json_text(field);
    if (key == "lucene_version") server.lucene_version = json_text(field);
    return true;
  });
  server.version = version_number(server.number);
}

}  // namespace

void read_root(ElasticsearchState& state, Reply& reply) {
  if (!reply.ok()) return;
  const int status = reply->http->status;
  if (status != 200 && status != 503) return;
  ElasticsearchServer server;
  std::string cluster;
  JsonDocument document(reply->body);
  simdjson::ondemand::object object;
  if (document.object().get(object) != simdjson::SUCCESS) return;
  const bool whole = json_fields(object, [&](std::string_view key, value field) {
    if (key == "cluster_name") cluster = json_text(field);
    if (key == "cluster_uuid") server.cluster_uuid = json_text(field);
    if (key == "version") read_version(server, field);
    return true;
  });
  if (!whole || server.version == 0) return;
  state.server = std::move(server);
  if (!cluster.empty()) state.cluster = std::move(cluster);  // 1.x does not say it
}

}  // namespace lagwatch
