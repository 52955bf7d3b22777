// SPDX-License-Identifier: Apache-2.0
#include "client/files.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <variant>
#include <vector>

#include "base/text.h"
#include "client/detached.h"
#include "client/directories.h"

namespace lagwatch {

// One ask. Shared by the loop and the thread that carries it out.
struct Files::Task {
  Task(AskId id_, WorkerKey key_, AnyAsk ask_, Deadline deadline_)
      : id(id_), key(std::move(key_)), ask(std::move(ask_)), deadline(deadline_) {}

  const AskId id;
  const WorkerKey key;
  const AnyAsk ask;
  const Deadline deadline;

  // The loop's.
  Asker::OnReply on_reply;  // null: replied to or cancelled
  Loop::TimerId timer = 0;  // 0: no worker has it

  std::atomic<bool> abandoned{false};  // nobody waits any more
  std::optional<Reply> reply;          // the thread's until it posts finished(), then the loop's

  std::string path() const {
    if (const auto* directory = std::get_if<DirectoryAsk>(&ask))
      return directory->patterns.empty() ? "" : directory->patterns.front();
    if (const auto* file = std::get_if<FileAsk>(&ask)) return file->path;
    return std::get<FilesystemAsk>(ask).path;
  }
};

// One thread and what it has to do. Shared by the loop and the thread.
struct Files::Worker {
  Worker(WorkerKey key_, const FilesOptions& options_) : key(std::move(key_)), options(options_) {}

  const WorkerKey key;
  const FilesOptions options;

  TaskPtr stuck;  // the loop's: the task whose deadline passed inside a call

  std::mutex mutex;  // guards what follows
  std::condition_variable wake;
  std::deque<TaskPtr> queue;
  TaskPtr current;
  bool running = false;
  bool closed = false;
};

namespace {

constexpr std::string_view kFix = "see whether the server of a network file system answers";

Error still_hangs(const std::string& path) {
  return {Reason::kHung, "an earlier read of " + printable(path) + " still hangs",
          std::string(kFix)};
}

Error hung(const std::string& path, std::string_view why) {
  return {Reason::kHung, "reading " + printable(path) + ": " + std::string(why), std::string(kFix)};
}

}  // namespace

bool Files::reads_here(const AnyAsk& ask) {
  if (const auto* file = std::get_if<FileAsk>(&ask)) return never_hangs(file->path);
  const auto* directory = std::get_if<DirectoryAsk>(&ask);
  return directory != nullptr &&
         std::all_of(directory->patterns.begin(), directory->patterns.end(), never_hangs);
}

Files::Files(Loop& loop, FilesOptions options)
    : loop_(loop), options_(std::move(options)), door_(std::make_shared<LoopDoor>(loop)) {}

Files::~Files() {
  door_->close();
  for (const auto& [id, task] : tasks_) {
    task->abandoned = true;
    task->on_reply = nullptr;
    loop_.cancel(task->timer);
  }
  for (const auto& [key, worker] : workers_) {
    worker->stuck.reset();
    const std::lock_guard lock(worker->mutex);
    worker->closed = true;
    worker->queue.clear();
    worker->wake.notify_one();
  }
}

void Files::ask(AskId id, uint64_t owner, const FileAsk& ask, Deadline deadline,
                Asker::OnReply on_reply) {
  start(id, {owner, ""}, ask, deadline, std::move(on_reply));
}

void Files::ask(AskId id, uint64_t owner, const FilesystemAsk& ask, Deadline deadline,
                Asker::OnReply on_reply) {
  start(id, {owner, ask.path}, ask, deadline, std::move(on_reply));
}

void Files::ask(AskId id, uint64_t owner, const DirectoryAsk& ask, Deadline deadline,
                Asker::OnReply on_reply) {
  start(id, {owner, ""}, ask, deadline, std::move(on_reply));
}

void Files::start(AskId id, WorkerKey key, AnyAsk ask, Deadline deadline, Asker::OnReply on_reply) {
  const auto task = std::make_shared<Task>(id, std::move(key), std::move(ask), deadline);
  task->on_reply = std::move(on_reply);
  tasks_[id] = task;
  if (reads_here(task->ask)) {
    door_->post([this, task] { read_here(task); });
  } else {
    hand_over(task);
  }
}

void Files::cancel(AskId id) {
  const auto found = tasks_.find(id);
  if (found == tasks_.end()) return;
  const TaskPtr task = found->second;
  task->on_reply = nullptr;
  task->abandoned = true;
  if (const WorkerPtr worker = task->timer != 0 ? worker_of(task) : nullptr) {
    const std::lock_guard lock(worker->mutex);
    // Inside a call: it stays, so that the thread counts as stuck should its deadline pass there.
    if (std::erase(worker->queue, task) == 0) return;
  }
  loop_.cancel(task->timer);
  tasks_.erase(id);
}

uint64_t Files::stuck_threads() const {
  const auto stuck = [](const auto& entry) { return entry.second->stuck != nullptr; };
  return static_cast<uint64_t>(std::count_if(workers_.begin(), workers_.end(), stuck));
}

void Files::read_here(const TaskPtr& task) {
  if (!task->on_reply) return;
  if (const auto* directory = std::get_if<DirectoryAsk>(&task->ask)) {
    deliver(task, list_directories(*directory, task->abandoned));
    return;
  }
  auto reply = read_unless_link(options_.calls, std::get<FileAsk>(task->ask));
  if (!reply) return hand_over(task);
  deliver(task, *std::move(reply));
}

void Files::hand_over(const TaskPtr& task) {
  WorkerPtr& worker = workers_[task->key];
  if (!worker) worker = std::make_shared<Worker>(task->key, options_);
  if (worker->stuck) return deliver_later(task, still_hangs(worker->stuck->path()));
  if (enqueue(task, worker)) {
    task->timer = loop_.at(task->deadline, [this, task] { on_deadline(task); });
    return;
  }
  workers_.erase(task->key);
  deliver_later(task, {Reason::kRefused,
                       "reading " + printable(task->path()) + ": no thread can be started", ""});
}

bool Files::enqueue(const TaskPtr& task, const WorkerPtr& worker) {
  const std::lock_guard lock(worker->mutex);
  if (!worker->running) {
    worker->running =
        start_detached("files", [worker, door = door_, this] { work(worker, door, this); });
    if (!worker->running) return false;
  }
  worker->queue.push_back(task);
  worker->wake.notify_one();
  return true;
}

Files::WorkerPtr Files::worker_of(const TaskPtr& task) const {
  const auto found = workers_.find(task->key);
  return found == workers_.end() ? nullptr : found->second;
}

// The thread. `files` may be gone: it is only named in jobs that the door drops then.
void Files::work(const WorkerPtr& worker, const std::shared_ptr<LoopDoor>& door, Files* files) {
  while (true) {
    TaskPtr task;
    {
      std::unique_lock lock(worker->mutex);
      worker->wake.wait_for(lock, worker->options.idle,
                            [&] { return worker->closed || !worker->queue.empty(); });
      if (worker->closed || worker->queue.empty()) {
        worker->running = false;
        break;
      }
      task = std::move(worker->queue.front());
      worker->queue.pop_front();
      worker->current = task;
    }
    const FileCalls& calls = worker->options.calls;
    if (const auto* file = std::get_if<FileAsk>(&task->ask)) {
      task->reply = read_file(calls, *file, task->abandoned);
    } else if (const auto* directory = std::get_if<DirectoryAsk>(&task->ask)) {
      task->reply = list_directories(*directory, task->abandoned);
    } else {
      task->reply = read_filesystem(calls, std::get<FilesystemAsk>(task->ask));
    }
    {
      const std::lock_guard lock(worker->mutex);
      worker->current.reset();
    }
    door->post([files, task] { files->finished(task); });
  }
  door->post([files, worker] { files->ended(worker); });
}

void Files::finished(const TaskPtr& task) {
  const WorkerPtr worker = worker_of(task);
  if (worker && worker->stuck == task) worker->stuck.reset();
  deliver(task, *std::move(task->reply));
}

void Files::ended(const WorkerPtr& worker) {
  {
    const std::lock_guard lock(worker->mutex);
    if (worker->running) return;  // started again meanwhile
  }
  const auto found = workers_.find(worker->key);
  if (found != workers_.end() && found->second == worker) workers_.erase(found);
}

void Files::on_deadline(const TaskPtr& task) {
  const WorkerPtr worker = worker_of(task);
  if (!worker) return;
  std::deque<TaskPtr> behind;
  {
    const std::lock_guard lock(worker->mutex);
    if (worker->current == task) {
      worker->stuck = task;
      behind.swap(worker->queue);
    } else if (std::erase(worker->queue, task) == 0) {
      return;  // just done: finished() is on its way
    }
  }
  const bool inside = worker->stuck == task;
  task->abandoned = true;
  deliver(task, hung(task->path(), inside ? "no answer before the deadline"
                                          : "its turn did not come before the deadline"));
  for (const TaskPtr& next : behind) deliver(next, still_hangs(task->path()));
}

void Files::deliver(const TaskPtr& task, Reply reply) {
  loop_.cancel(task->timer);
  task->timer = 0;
  tasks_.erase(task->id);
  const Asker::OnReply on_reply = std::exchange(task->on_reply, nullptr);
  if (on_reply) on_reply(std::move(reply));
}

void Files::deliver_later(const TaskPtr& task, Error error) {
  door_->post([this, task, error = std::move(error)] { deliver(task, error); });
}

}  // namespace lagwatch
