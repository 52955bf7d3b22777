// SPDX-License-Identifier: Apache-2.0
// What may not be written: at 95 % of a disk Elasticsearch makes every index on it read-only, and
// saving raises.
// Source: /_cluster/state/blocks. Privilege: cluster monitor.
#include <algorithm>
#include <array>
#include <iterator>

#include "collector/elasticsearch.h"
#include "collector/elasticsearch_json.h"

namespace lagwatch {
namespace {

using simdjson::ondemand::value;

// Elasticsearch's numbers of blocks, as keys of the answer.
constexpr std::string_view kIndexBlocks[] = {"12", "5", "8"};
constexpr std::string_view kIndexNames[] = {"read_only_allow_delete", "read_only", "write"};
constexpr std::string_view kClusterBlocks[] = {"6", "13"};

constexpr std::string_view kLabels[] = {"cluster"};
constexpr Column kColumns[] = {
    gauge("elasticsearch_cluster_read_only", "blocks.global",
          "1 if the setting cluster.blocks.read_only or read_only_allow_delete is on."),
    gauge("elasticsearch_cluster_blocks", "blocks.global",
          "Blocks on the whole cluster, one without a master and one that is not recovered "
          "included."),
    Column{.name = "elasticsearch_index_read_only",
           .source = "blocks.indices",
           .help =
               "Indices with this block; read_only_allow_delete is set by itself when a disk is "
               "nearly full (6.0+).",
           .label = "block",
           .values = kIndexNames,
           .expand = Expand::kEach},
};
constexpr Schema kSchema{kLabels, kColumns};
constexpr const Schema* kSchemas[] = {&kSchema};

// As the node that is asked knows it: also without a master, and while that hangs.
Asks begin(State& base) {
  return {ask_elasticsearch(elasticsearch_state(base),
                            "/_cluster/state/blocks?local=true&filter_path=cluster_name,"
                            "blocks.global.*.retryable,blocks.indices.*.*.retryable")};
}

struct Blocks {
  double global = 0;
  bool read_only = false;
  std::array<double, std::size(kIndexBlocks)> indices{};

  bool take(std::string_view key, value part) {
    if (key == "global") {
      return json_fields(part, [this](std::string_view number, value) {
        ++global;
        read_only = read_only ||
                    std::count(std::begin(kClusterBlocks), std::end(kClusterBlocks), number) > 0;
        return true;
      });
    }
    return key != "indices" || json_fields(part, [this](std::string_view, value index) {
             return json_fields(index, [this](std::string_view number, value) {
               for (size_t i = 0; i < indices.size(); ++i)
                 indices[i] += kIndexBlocks[i] == number ? 1 : 0;
               return true;
             });
           });
  }
};

// Without a block there is nothing but the cluster's name.
bool parse(std::string& body, Blocks& blocks) {
  JsonDocument document(body);
  simdjson::ondemand::object object;
  bool named = false;
  return document.object().get(object) == simdjson::SUCCESS &&
         json_fields(object,
                     [&](std::string_view key, value field) {
                       named = named || key == "cluster_name";
                       return key != "blocks" ||
                              json_fields(field, [&](std::string_view part, value one) {
                                return blocks.take(part, one);
                              });
                     }) &&
         named;
}

Step read(State& base, std::span<Reply> replies, const Moment&, Output& out) {
  const ElasticsearchState& state = elasticsearch_state(base);
  Answer* const answered = elasticsearch_answer(state, replies[0], out);
  if (answered == nullptr) return Done{};
  Blocks blocks;
  if (!parse(answered->body, blocks)) {
    say_unread(state, "/_cluster/state/blocks", out);
    return Done{};
  }
  const std::string_view labels[] = {state.cluster};
  Table& table = out.table(kSchema);
  table.add_row(labels);
  table.set(0, 0, blocks.read_only ? 1 : 0);
  table.set(0, 1, blocks.global);
  table.set_each(0, 2, blocks.indices);
  return Done{};
}

}  // namespace

extern const Collector elasticsearch_blocks{
    "elasticsearch_blocks", &kElasticsearchKind, Lane::kBasics, kSchemas, begin, read};

}  // namespace lagwatch
