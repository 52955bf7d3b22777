// SPDX-License-Identifier: Apache-2.0
// The facts of another agent's targets, rebuilt from the samples that agent exposes: every fact is
// also an exported family (model/facts.h, model/postgres_facts.h name them).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "model/facts.h"

namespace lagwatch {

// One sample as it was read. Borrows from whoever read it. Untrusted.
struct RemoteSample {
  std::string_view name;
  std::vector<std::pair<std::string_view, std::string_view>> labels;  // none empty, each name once
  double value = 0;

  // Empty where there is none, which Prometheus takes for the same.
  std::string_view label(std::string_view wanted) const;
};

using OwnLabels = std::vector<std::pair<std::string, std::string>>;

// The sample's labels but `without`, and those of `own` that it lacks; rendered.
std::string render_labels(const RemoteSample& sample, const OwnLabels& own,
                          std::string_view without = {});

// Collects samples of one answer, in any order.
class RemoteFacts {
 public:
  struct Source {
    std::string host;  // of the agent's URL
    OwnLabels own;     // what all samples of the agent get where they lack it
    Instant at{};      // when the answer was complete
  };

  explicit RemoteFacts(Source source);
  ~RemoteFacts();
  RemoteFacts(const RemoteFacts&) = delete;
  RemoteFacts& operator=(const RemoteFacts&) = delete;

  void add(const RemoteSample& sample);

  // The targets that have facts, by name. A fact is as old as its agent says
  // (lagwatch_target_age_seconds); one that should have an age and has none is left out. What is
  // out of range is absent.
  std::vector<RemoteTarget> take();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lagwatch
