// SPDX-License-Identifier: Apache-2.0
// File asks carried out so that a dead NFS server costs one thread and never the loop.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>

#include "base/clock.h"
#include "client/asker.h"
#include "client/file_read.h"
#include "client/loop.h"

namespace lagwatch {

class LoopDoor;

struct FilesOptions {
  // How long a thread without work stays. Long enough to serve every round of a 5 s interval.
  Duration idle = std::chrono::seconds(10);
  FileCalls calls;
};

// Lives on the loop thread. Files under /proc, /sys and /run are read there, in a turn of their
// own. All others are read by threads: one for the files of an owner, and one for each file system
// it asks for, so that a hung one hides no other. Threads start on demand and end when idle. A
// thread that is inside a call when the deadline of its ask passes is stuck: that ask, and every
// further one that needs this thread, fails with kHung until it comes back. Nothing ever waits for
// it, not even the destructor.
class Files {
 public:
  explicit Files(Loop& loop, FilesOptions options = {});
  ~Files();
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;

  // Replies once, never from within, shortly after `deadline` at the latest. `id` is the caller's,
  // unique.
  void ask(AskId id, uint64_t owner, const FileAsk& ask, Deadline deadline,
           Asker::OnReply on_reply);
  void ask(AskId id, uint64_t owner, const FilesystemAsk& ask, Deadline deadline,
           Asker::OnReply on_reply);
  void ask(AskId id, uint64_t owner, const DirectoryAsk& ask, Deadline deadline,
           Asker::OnReply on_reply);

  // Forgets an ask; unknown ids are ignored.
  void cancel(AskId id);

  uint64_t threads() const { return workers_.size(); }
  uint64_t stuck_threads() const;

 private:
  struct Task;
  struct Worker;
  using TaskPtr = std::shared_ptr<Task>;
  using WorkerPtr = std::shared_ptr<Worker>;
  // The path is that of a file system; empty for the owner's files.
  using WorkerKey = std::pair<uint64_t, std::string>;

  using AnyAsk = std::variant<FileAsk, FilesystemAsk, DirectoryAsk>;

  void start(AskId id, WorkerKey key, AnyAsk ask, Deadline deadline, Asker::OnReply on_reply);
  static bool reads_here(const AnyAsk& ask);
  void read_here(const TaskPtr& task);
  void hand_over(const TaskPtr& task);
  bool enqueue(const TaskPtr& task, const WorkerPtr& worker);
  WorkerPtr worker_of(const TaskPtr& task) const;
  void finished(const TaskPtr& task);
  void ended(const WorkerPtr& worker);
  void on_deadline(const TaskPtr& task);
  void deliver(const TaskPtr& task, Reply reply);
  void deliver_later(const TaskPtr& task, Error error);

  static void work(const WorkerPtr& worker, const std::shared_ptr<LoopDoor>& door, Files* files);

  Loop& loop_;
  const FilesOptions options_;
  std::shared_ptr<LoopDoor> door_;
  std::unordered_map<AskId, TaskPtr> tasks_;  // not yet replied to
  std::map<WorkerKey, WorkerPtr> workers_;
};

}  // namespace lagwatch
