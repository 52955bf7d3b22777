// SPDX-License-Identifier: Apache-2.0
// Elasticsearch's and OpenSearch's options, and the State that its collectors share.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "collector/collector.h"
#include "collector/elasticsearch_answer.h"

namespace lagwatch {

struct ElasticsearchOptions {
  std::string url;   // of any node, or of what stands before them; no user, no slash at the end
  std::string user;  // basic authentication where not empty
  std::string password_file;
  std::string api_key_file;  // instead of user and password
  std::string ca_file;
  std::string pinned_key;  // "sha256//BASE64"

  // Statistics of the node that answers only: for an agent on each node's host.
  bool local_node = false;

  // A small search of this index measures what users wait for. Empty: there is none.
  std::string probe_index;

  // Of a whole exchange, as the target has it: Elasticsearch is told to give up before.
  Duration timeout = std::chrono::seconds(3);
};

std::unique_ptr<State> make_elasticsearch_state(ElasticsearchOptions options);

extern const Kind kElasticsearchKind;

// What `GET /` says of the server.
struct ElasticsearchServer {
  int version = 0;  // 8.19.5 is 81905; 0: not known
  bool opensearch = false;
  std::string cluster_uuid;
  std::string number;  // as the server writes it
  std::string build_date;
  std::string build_hash;
  std::string lucene_version;

  // Whose interface it is: OpenSearch's is that of 7.10.
  int api() const { return opensearch ? 71000 : version; }
};

// The search probe's results since the process began.
struct ElasticsearchProbe {
  static constexpr std::array kBounds = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                         0.5,   1.0,  2.5,   5.0,  10.0};
  std::array<uint64_t, kBounds.size() + 1> observed{};  // by bucket, the last is +Inf
  double sum = 0;
  std::map<std::string_view, uint64_t> failures;  // by reason
};

struct ElasticsearchState : State {
  ElasticsearchOptions options;
  ElasticsearchServer server;
  std::string cluster;

  // What the main lane waits for.
  bool asked_root = false;
  std::optional<Reply> health;  // kept while the nodes are asked after the version

  // How the last exchange went; nothing before the first.
  std::optional<bool> health_up;
  std::optional<bool> node_stats_up;
  uint64_t health_scrapes = 0;
  uint64_t health_unread = 0;  // answers that could not be parsed
  uint64_t node_stats_scrapes = 0;
  uint64_t node_stats_unread = 0;
  std::array<uint64_t, kRefusalCount> refusals{};

  // A node's search pool was full or queueing at the last statistics.
  bool search_busy = false;

  std::map<int64_t, double> most_nodes;  // by hour of the steady clock, the last 24
  ElasticsearchProbe probe;
};

inline ElasticsearchState& elasticsearch_state(State& state) {
  return static_cast<ElasticsearchState&>(state);
}

// GET of `path` ("/_cluster/health"), whatever status comes back.
HttpAsk ask_elasticsearch(const ElasticsearchState& state, const std::string& path);

// How long the server may take for its own questions, as its parameters have it ("2000ms"):
// `thirds` thirds of the timeout.
std::string server_timeout(const ElasticsearchState& state, int thirds);

// What is wrong with an answer; nothing: it is a result.
std::optional<Trouble> elasticsearch_trouble(const ElasticsearchState& state, const Answer& answer);

// The answer to a lane's only question where it is a result; else says beside the output what it
// lacks, and gives null. Bad news that the main lane tells too are not said.
Answer* elasticsearch_answer(const ElasticsearchState& state, Reply& reply, Output& out);

// Says that an answer to `path` cannot be read.
void say_unread(const ElasticsearchState& state, std::string_view path, Output& out);

// Reads the answer to `GET /` into the State; what it does not say stays as it was.
void read_root(ElasticsearchState& state, Reply& reply);

}  // namespace lagwatch
