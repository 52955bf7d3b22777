// SPDX-License-Identifier: Apache-2.0
#include "client/command.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/fd.h"
#include "base/text.h"

namespace lagwatch {

struct CommandClient::Process {
  AskId id = 0;
  CommandAsk ask;
  Deadline deadline;
  Asker::OnReply on_reply;
  Loop::TimerId timer = 0;
  pid_t pid = 0;        // and of its group
  UniqueFd alive;       // pidfd: readable once it ended
  UniqueFd output;      // closed at its end
  UniqueFd complaints;  // likewise
  std::string body;
  std::string words;  // the end of its standard error

  const std::string& name() const { return ask.arguments.front(); }
};

namespace {

constexpr size_t kMaxComplaints = 2048;

// glibc 2.36 has pidfd_open(2) without a C++-friendly declaration everywhere.
UniqueFd open_pidfd(pid_t pid) {
  return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

bool make_pipe(Pipe& out) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return false;
  out.read = UniqueFd(ends[0]);
  out.write = UniqueFd(ends[1]);
  return ::fcntl(out.read.get(), F_SETFL, O_NONBLOCK) == 0;
}

// posix_spawnp's two helpers, freed whatever happens.
class SpawnSettings {
 public:
  SpawnSettings(int output, int complaints) {
    posix_spawn_file_actions_init(&actions_);
    posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions_, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions_, complaints, STDERR_FILENO);
    posix_spawnattr_init(&attributes_);
    posix_spawnattr_setflags(
        &attributes_, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes_, &signals);
    sigfillset(&signals);
    posix_spawnattr_setsigdefault(&attributes_, &signals);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  int spawn(const std::vector<std::string>& arguments, pid_t& pid) const {
    std::vector<char*> argv;
    for (const std::string& argument : arguments)
      argv.push_back(const_cast<char*>(argument.c_str()));  // NOLINT: as exec(3) wants it
    argv.push_back(nullptr);
    return ::posix_spawnp(&pid, argv[0], &actions_, &attributes_, argv.data(), environ);
  }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

Error spawn_error(const std::string& name, int error) {
  const std::string words = printable(name) + ": " + strerrordesc_np(error);
  if (error == EACCES || error == EPERM)
    return {Reason::kPermission, words, "chmod 755 " + printable(name)};
  if (error == ENOENT)
    return {Reason::kRefused, printable(name) + ": there is no such program",
            "name its whole path"};
  return {Reason::kProtocol, words, {}};
}

// All there is to read now; false at the end of the pipe. `keep` takes each piece.
template <typename Keep>
bool drain(int fd, Keep keep) {
  char buffer[16384];
  while (true) {
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    keep(std::string_view(buffer, static_cast<size_t>(got)));
  }
}

int reap(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, WNOHANG) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

CommandClient::CommandClient(Loop& loop) : loop_(loop) {}

CommandClient::~CommandClient() {
  while (!running_.empty()) cancel(running_.begin()->first);
  for (const auto& [pid, process] : left_) unwatch(*process);
  for (const auto& [id, later] : later_) loop_.cancel(later.timer);
}

void CommandClient::ask(AskId id, const CommandAsk& ask, Deadline deadline,
                        Asker::OnReply on_reply) {
  for (const auto& [pid, process] : left_) {
    if (process->ask.arguments != ask.arguments) continue;
    return fail_later(id, std::move(on_reply),
                      {Reason::kHung,
                       printable(ask.arguments.front()) + ": an earlier run, process " +
                           std::to_string(pid) + ", has not ended and may not be killed",
                       "kill it, and see why it hangs"});
  }
  auto process = std::make_unique<Process>();
  process->id = id;
  process->ask = ask;
  process->deadline = deadline;
  const Status started = start(*process);
  if (!started.ok()) return fail_later(id, std::move(on_reply), started.error());
  process->on_reply = std::move(on_reply);
  process->timer = loop_.at(deadline, [this, id] { on_deadline(id); });
  loop_.watch(process->output.get(), EPOLLIN, [this, id](uint32_t) { on_output(id, false); });
  loop_.watch(process->complaints.get(), EPOLLIN, [this, id](uint32_t) { on_output(id, true); });
  loop_.watch(process->alive.get(), EPOLLIN, [this, id](uint32_t) { on_exit(id); });
  running_.emplace(id, std::move(process));
}

void CommandClient::fail_later(AskId id, Asker::OnReply on_reply, Error error) {
  const auto timer = loop_.at(Instant::min(), [this, id, error = std::move(error)] {
    const Asker::OnReply reply = std::move(later_.at(id).on_reply);
    later_.erase(id);
    reply(error);
  });
  later_.emplace(id, Later{timer, std::move(on_reply)});
}

Status CommandClient::start(Process& process) {
  Pipe output;
  Pipe complaints;
  if (!make_pipe(output) || !make_pipe(complaints))
    return Error{Reason::kProtocol, std::string("no pipe: ") + strerrordesc_np(errno), {}};
  const SpawnSettings settings(output.write.get(), complaints.write.get());
  if (const int error = settings.spawn(process.ask.arguments, process.pid); error != 0)
    return spawn_error(process.name(), error);
  process.alive = open_pidfd(process.pid);
  if (!process.alive) {
    const int error = errno;
    ::kill(-process.pid, SIGKILL);
    ::waitpid(process.pid, nullptr, 0);
    return Error{Reason::kUnsupported, std::string("pidfd_open: ") + strerrordesc_np(error),
                 "commands need Linux 5.3 or later"};
  }
  process.output = std::move(output.read);
  process.complaints = std::move(complaints.read);
  return {};
}

void CommandClient::on_output(AskId id, bool complaints) {
  Process& process = *running_.at(id);
  UniqueFd& fd = complaints ? process.complaints : process.output;
  bool too_large = false;
  const bool open = drain(fd.get(), [&](std::string_view piece) {
    std::string& text = complaints ? process.words : process.body;
    if (!complaints && text.size() + piece.size() > process.ask.max_bytes) {
      too_large = true;
      return;
    }
    text.append(piece);
    if (complaints && text.size() > kMaxComplaints) text.erase(0, text.size() - kMaxComplaints);
  });
  if (too_large) {
    return finish(id, Error{Reason::kTooLarge,
                            printable(process.name()) + ": more than " +
                                std::to_string(process.ask.max_bytes) + " bytes of output",
                            {}});
  }
  if (open) return;
  loop_.unwatch(fd.get());
  fd.reset();
}

// What it wrote before it ended is in the pipe; what its children still write is not waited for.
void CommandClient::on_exit(AskId id) {
  if (running_.at(id)->output) on_output(id, false);
  if (!running_.contains(id)) return;  // too large
  if (running_.at(id)->complaints) on_output(id, true);
  Process& process = *running_.at(id);
  Answer answer;
  ::kill(-process.pid, SIGKILL);  // children it left behind; before its number is free again
  answer.command = CommandEnd{reap(process.pid), std::move(process.words)};
  answer.body = std::move(process.body);
  process.pid = 0;
  finish(id, std::move(answer));
}

void CommandClient::on_deadline(AskId id) {
  Process& process = *running_.at(id);
  process.timer = 0;
  finish(id, Error{process.body.empty() ? Reason::kHung : Reason::kStalled,
                   printable(process.name()) + ": has not ended in time and was killed",
                   {}});
}

void CommandClient::finish(AskId id, Reply reply) {
  const Asker::OnReply on_reply = std::move(running_.at(id)->on_reply);
  cancel(id);
  on_reply(std::move(reply));
}

void CommandClient::cancel(AskId id) {
  if (const auto later = later_.find(id); later != later_.end()) {
    loop_.cancel(later->second.timer);
    later_.erase(later);
  }
  const auto found = running_.find(id);
  if (found == running_.end()) return;
  std::unique_ptr<Process> process = std::move(found->second);
  running_.erase(found);
  if (process->timer != 0) loop_.cancel(process->timer);
  unwatch(*process);
  if (process->pid != 0) give_up(std::move(process));
}

void CommandClient::unwatch(Process& process) {
  for (UniqueFd* fd : {&process.output, &process.complaints, &process.alive}) {
    if (*fd) loop_.unwatch(fd->get());
  }
}

// Kills it, and reaps it when it is gone.
void CommandClient::give_up(std::unique_ptr<Process> process) {
  const pid_t pid = process->pid;
  ::kill(-pid, SIGKILL);
  process->output.reset();
  process->complaints.reset();
  loop_.watch(process->alive.get(), EPOLLIN, [this, pid](uint32_t) {
    ::kill(-pid, SIGKILL);
    reap(pid);
    loop_.unwatch(left_.at(pid)->alive.get());
    left_.erase(pid);
  });
  left_.emplace(pid, std::move(process));
}

}  // namespace lagwatch
