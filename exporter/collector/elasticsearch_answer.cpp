// SPDX-License-Identifier: Apache-2.0
#include "collector/elasticsearch_answer.h"

#include "base/text.h"
#include "collector/elasticsearch_json.h"

namespace lagwatch {
namespace {

constexpr size_t kMostErrorBytes = 64U << 10U;

constexpr std::string_view kRole =
    "make a role with the cluster privilege monitor (and read on the probe's index), a user with "
    "it: PUT /_security/role/lagwatch {\"cluster\":[\"monitor\"],\"indices\":[{\"names\":"
    "[\"INDEX\"],\"privileges\":[\"read\"]}]}, PUT /_security/user/lagwatch {\"password\":\"...\","
    "\"roles\":[\"lagwatch\"]}";

// How a kind of error is called: in snake case, before 2.0 in camel case.
struct Word {
  std::string_view now;
  std::string_view before;
  Refusal refusal;
};
// In the order of what explains most: a full pool fails shards.
constexpr Word kWords[] = {
    {"es_rejected_execution_exception", "EsRejectedExecutionException", Refusal::kRejected},
    {"circuit_breaking_exception", "CircuitBreakingException", Refusal::kBreaker},
    {"master_not_discovered_exception", "MasterNotDiscoveredException", Refusal::kNoMaster},
    {"cluster_manager_not_discovered_exception", "ClusterManagerNotDiscoveredException",
     Refusal::kNoMaster},
    {"index_not_found_exception", "IndexMissingException", Refusal::kIndexMissing},
    {"no_shard_available_action_exception", "NoShardAvailableActionException",
     Refusal::kShardsFailed},
    {"search_phase_execution_exception", "SearchPhaseExecutionException", Refusal::kShardsFailed},
};

std::optional<Refusal> refusal_of(int status, std::string_view error) {
  for (const Word& word : kWords) {
    if (error.find(word.now) != std::string_view::npos ||
        error.find(word.before) != std::string_view::npos)
      return word.refusal;
  }
  // Of an index that is read-only the status is 403; 503 is the cluster's own block.
  const bool block = error.find("cluster_block_exception") != std::string_view::npos ||
                     error.find("ClusterBlockException") != std::string_view::npos;
  if (block && status == 503) return Refusal::kNoMaster;
  return std::nullopt;
}

// Whether the body is one of Elasticsearch's that tells an error.
bool tells_error(std::string_view body) {
  if (body.size() > kMostErrorBytes) return false;
  std::string text(body);
  JsonDocument document(text);
  simdjson::ondemand::object object;
  return document.object().get(object) == simdjson::SUCCESS &&
         object.find_field_unordered("error").error() == simdjson::SUCCESS;
}

Error denied(int status, const std::string& words, bool authenticated) {
  if (!authenticated)
    return {Reason::kAuth, words + ", and no credentials are configured",
            std::string(kRole) +
                "; then set username and password_file, or api_key_file with the `encoded` key of "
                "POST /_security/api_key"};
  if (status == 401)
    return {Reason::kAuth, words + ": the credentials are not taken",
            "check username and password_file, or api_key_file: one line, the `encoded` form"};
  return {Reason::kAuth, words + ": the user may not do this", std::string(kRole)};
}

}  // namespace

std::string_view refusal_name(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNoMaster:
      return "no_master";
    case Refusal::kRejected:
      return "rejected";
    case Refusal::kBreaker:
      return "breaker";
    case Refusal::kShardsFailed:
      return "shards_failed";
    case Refusal::kIndexMissing:
      break;
  }
  return "index_missing";
}

std::optional<Trouble> trouble_of(int status, std::string_view body, const std::string& who,
                                  bool authenticated) {
  if (status == 200) return std::nullopt;
  const std::string words = who + ": status " + std::to_string(status);
  const bool tells = tells_error(body);
  if (tells) {
    if (const auto refusal = refusal_of(status, body))
      return Trouble{refusal,
                     {Reason::kHttpStatus, words + ": " + std::string(refusal_name(*refusal)), {}}};
  }
  if (status == 401 || status == 403)
    return Trouble{std::nullopt, denied(status, words, authenticated)};
  if (!tells)
    return Trouble{std::nullopt,
                   {Reason::kHttpStatus, words + ", not from Elasticsearch",
                    "check what stands between: a load balancer without a server answers so"}};
  return Trouble{std::nullopt, {Reason::kHttpStatus, words + ": " + printable(trim(body)), {}}};
}

}  // namespace lagwatch
