// SPDX-License-Identifier: Apache-2.0
// Programs whose output is an answer: each in a process group of its own, none of which outlives
// its deadline.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "client/asker.h"
#include "client/loop.h"

namespace lagwatch {

// Lives on the loop thread. A program runs without a shell, with an empty standard input, default
// signals and this process' environment. When it has ended, or at the deadline, or on cancel(), its
// process group is killed. One that may not be killed (sudo's children run as another user) is
// waited for, and not started again meanwhile: the ask fails with kHung.
class CommandClient {
 public:
  explicit CommandClient(Loop& loop);
  ~CommandClient();
  CommandClient(const CommandClient&) = delete;
  CommandClient& operator=(const CommandClient&) = delete;

  // Replies once, through the loop, never from within. An exit code other than 0 is an answer.
  void ask(AskId id, const CommandAsk& ask, Deadline deadline, Asker::OnReply on_reply);
  // Forgets an ask; unknown ids are ignored.
  void cancel(AskId id);

  // Programs that were given up and have not ended.
  size_t left_running() const { return left_.size(); }

 private:
  struct Process;

  void fail_later(AskId id, Asker::OnReply on_reply, Error error);
  Status start(Process& process);
  void on_output(AskId id, bool complaints);
  void on_exit(AskId id);
  void on_deadline(AskId id);
  void finish(AskId id, Reply reply);
  void give_up(std::unique_ptr<Process> process);
  void unwatch(Process& process);

  Loop& loop_;
  std::unordered_map<AskId, std::unique_ptr<Process>> running_;
  std::unordered_map<int, std::unique_ptr<Process>> left_;  // by pid
  struct Later {
    Loop::TimerId timer;
    Asker::OnReply on_reply;
  };
  std::unordered_map<AskId, Later> later_;
};

}  // namespace lagwatch
