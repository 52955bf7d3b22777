// SPDX-License-Identifier: Apache-2.0
// The watching half, wired: loop, client, scheduler, targets. `run` adds the serving half, `scrape`
// and `check --live` let it run until every target was tried.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "client/client.h"
#include "client/loop.h"
#include "config/config.h"
#include "discover/discover.h"
#include "expose/catalog.h"
#include "model/snapshot.h"
#include "scrape/scheduler.h"

namespace lagwatch {

// Every schema there is: kinds, targets, collectors, joins.
std::vector<const Schema*> all_schemas();

// Whether a sample of this kind has a label of this name already, so that a constant one would
// stand there twice.
bool label_taken(std::string_view kind, std::string_view label);

// The configuration's targets, `host` last; what it does not name is taken from `found` (may be
// null). Names that are taken already get a number.
std::vector<TargetSpec> make_targets(const Config& config, const Discovery* found,
                                     const std::string& storage_path);

// Owned and used by the thread that runs the loop.
class Session {
 public:
  Session();
  ~Session();

  void add(TargetSpec spec) { scheduler_.add(std::move(spec)); }
  // Whether a target of this name is watched.
  bool watches(const std::string& name) const;

  // Runs the loop until every collector of every target was tried, as far as its target answers.
  void run_until_tried();

  Loop& loop() { return loop_; }
  Client& client() { return client_; }
  Scheduler& scheduler() { return scheduler_; }
  const SnapshotBoard& board() const { return board_; }

 private:
  void wake(Instant when);

  Loop loop_;
  Client client_;
  SnapshotBoard board_;
  Loop::TimerId timer_ = 0;
  Instant timer_at_ = Instant::max();
  Scheduler scheduler_;
};

}  // namespace lagwatch
