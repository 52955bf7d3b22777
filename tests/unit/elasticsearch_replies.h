// SPDX-License-Identifier: Apache-2.0
// Elasticsearch's collectors driven without a server: replies that were recorded, or made by hand.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "collector/elasticsearch.h"
#include "golden.h"

namespace lagwatch::elasticsearch_replies {

namespace fs = std::filesystem;

inline const Collector& collector(std::string_view name) {
  for (const Collector* one : collectors()) {
    if (one->name == name) return *one;
  }
  ADD_FAILURE() << "no collector " << name;
  std::abort();
}

inline Reply answer(std::string body, int status = 200, double total = 0.004) {
  Answer out{.body = std::move(body)};
  out.http = HttpDetail{};
  out.http->status = status;
  out.http->total = total;
  return out;
}

// A failure of the transport, as an ask with HttpAccept::kAnything has it.
inline Reply failure(Reason reason, double total) {
  Answer out;
  out.http = HttpDetail{};
  out.http->total = total;
  out.http->failure = Error{reason, "as in a test", {}};
  return out;
}

// Answers an ask by its URL without the server: "/_cluster/health?...".
using Answerer = std::function<Reply(const std::string& path)>;

// One server, asked by all its collectors.
class Server {
 public:
  explicit Server(Answerer answerer, ElasticsearchOptions options = {})
      : answerer_(std::move(answerer)) {
    options.url = kUrl;
    state_ = make_elasticsearch_state(std::move(options));
  }

  // One exchange of this collector, to its end.
  Step collect(std::string_view name, const Moment& now = golden::moment()) {
    const Collector& one = collector(name);
    output_ = std::make_shared<Output>("target=\"t\"");
    Asks asks = one.begin(*state_);
    for (;;) {
      std::vector<Reply> replies;
      for (const Ask& ask : asks) {
        const std::string path = std::get<HttpAsk>(ask).url.substr(kUrl.size());
        asked.push_back(path);
        replies.push_back(answerer_(path));
      }
      Step step = one.read(*state_, replies, now, *output_);
      More* const more = std::get_if<More>(&step);
      if (more == nullptr) return step;
      asks = std::move(more->asks);
    }
  }

  // The samples of one exchange that must not fail.
  std::string samples(std::string_view name, const Moment& now = golden::moment()) {
    const Step step = collect(name, now);
    if (const Error* error = std::get_if<Error>(&step))
      ADD_FAILURE() << name << ": " << error->message;
    return golden::samples(output_, now, kElasticsearchKind);
  }
  Error error(std::string_view name) {
    const Step step = collect(name);
    if (const Error* error = std::get_if<Error>(&step)) return *error;
    ADD_FAILURE() << name << " did not fail";
    return {};
  }

  const Output& output() const { return *output_; }
  ElasticsearchState& state() { return elasticsearch_state(*state_); }
  void answers(Answerer answerer) { answerer_ = std::move(answerer); }
  std::vector<std::string> asked;

  static inline const std::string kUrl = "http://search1:9200";

 private:
  Answerer answerer_;
  std::unique_ptr<State> state_;
  std::shared_ptr<Output> output_;
};

// Which recorded file answers an ask.
inline std::string file_of(const std::string& path) {
  if (path == "/") return "root.json";
  if (path.starts_with("/_cluster/health")) return "health.json";
  if (path.starts_with("/_cluster/state/blocks")) return "blocks.json";
  if (path.starts_with("/_tasks")) return "tasks.json";
  if (path.find("/_search") != std::string::npos) return "probe.json";
  if (path.find("stats/http?") != std::string::npos) return "routes.json";
  if (path.find("stats/indices,jvm") != std::string::npos) return "nodes.json";
  return "nodes_full.json";
}

inline Answerer recorded(const fs::path& directory) {
  return [directory](const std::string& path) {
    const fs::path file = directory / file_of(path);
    if (!fs::exists(file)) return Reply(Error{Reason::kProtocol, "not recorded", {}});
    const std::string status = golden::read_file(file.string() + ".status");
    return answer(golden::read_file(file), status.empty() ? 200 : std::stoi(status));
  };
}

}  // namespace lagwatch::elasticsearch_replies
