// SPDX-License-Identifier: Apache-2.0
// Collectors, an asker and a clock that tests of the scheduler hold in their hands.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "scrape/scheduler.h"

namespace lagwatch {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Keeps asks until the test answers them.
class FakeAsker : public Asker {
 public:
  struct Open {
    uint64_t owner;
    Ask ask;
    Deadline deadline;
    OnReply on_reply;
  };

  AskId ask(uint64_t owner, const Ask& ask, Deadline deadline, OnReply on_reply) override {
    open[++last_] = Open{owner, ask, deadline, std::move(on_reply)};
    ++asked;
    return last_;
  }
  void cancel(AskId id) override { open.erase(id); }
  uint64_t connections_opened(uint64_t) const override { return asked; }

  std::map<AskId, Open> open;
  uint64_t asked = 0;

 private:
  AskId last_ = 0;
};

inline constexpr Column kColumns[] = {{.name = "x", .help = "X."}};
inline constexpr Schema kSchema{{}, kColumns};
inline constexpr const Schema* kSchemas[] = {&kSchema};
inline const Kind kKind{"x", "", nullptr};

inline Asks ask_once(State&) { return {SocketAsk{.address = "/s", .send = "q\n"}}; }

inline Step read_number(State&, std::span<Reply> replies, const Moment&, Output& out) {
  if (!replies[0].ok()) return replies[0].error();
  if (replies[0]->body == "more") return More{{SocketAsk{.address = "/s2", .send = "q\n"}}};
  Table& table = out.table(kSchema);
  table.set(table.add_row(), 0, 1);
  return Done{};
}

inline const Collector kMain{"main", &kKind, Lane::kMain, kSchemas, ask_once, read_number};
inline const Collector kSlow{"slow", &kKind, Lane::kBasics, kSchemas, ask_once, read_number};

inline const Collector kProbe{"probe", &kKind, Lane::kProbe, kSchemas, ask_once, read_number};

// A target whose answer costs it more the deeper its queue.
struct DeepState : State {
  Duration wish{};
};
inline Duration wished(const State& state) { return static_cast<const DeepState&>(state).wish; }
inline const Collector kDeep{"deep",   &kKind,      Lane::kRequests, kSchemas,
                             ask_once, read_number, wished};

class SchedulerTest : public testing::Test {
 protected:
  void add(const std::string& name, std::vector<const Collector*> collectors = {&kMain}) {
    TargetOptions options;
    options.name = name;
    options.interval = seconds(5);
    scheduler.add(TargetSpec{options, &kKind, std::move(collectors), std::make_unique<State>()});
  }

  // Lets time pass in steps, running what is due; answers nothing.
  void pass(Duration duration) {
    const Instant end = now_.steady + duration;
    while (now_.steady < end) {
      const Instant next = std::max(std::min(end, wanted_), now_.steady + milliseconds(1));
      advance(next - now_.steady);
      scheduler.run_due();
    }
  }
  void advance(Duration duration) {
    now_.steady += duration;
    now_.wall += duration;
    wanted_ = Instant::max();
  }
  // Answers the oldest open ask.
  void answer(Reply reply = Answer{"1", {}}) {
    ASSERT_FALSE(asker.open.empty());
    const auto on_reply = asker.open.begin()->second.on_reply;
    asker.open.erase(asker.open.begin());
    on_reply(std::move(reply));
    scheduler.run_due();
    pass(milliseconds(15));
  }
  void fail(Reason reason = Reason::kRefused) { answer(Error{reason, "no", {}}); }

  const TargetView& view(size_t i = 0) {
    last_ = board.read();
    return *last_->targets.at(i);
  }
  bool shown() { return view().collectors[0].output != nullptr; }

  FakeAsker asker;
  SnapshotBoard board;
  Moment now_{Instant(std::chrono::hours(1)), WallTime(seconds(1795352000))};
  Instant wanted_ = Instant::max();
  Scheduler scheduler{
      asker,
      board,
      {[this] { return now_; }, [this](Instant when) { wanted_ = std::min(wanted_, when); }}};
  std::shared_ptr<const Snapshot> last_;
};

}  // namespace lagwatch
