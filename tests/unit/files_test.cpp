// SPDX-License-Identifier: Apache-2.0
// File asks: what they read, and what a call that never returns costs (nothing but its thread).
#include "client/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "client/loop.h"

namespace lagwatch {
namespace {

using namespace std::chrono_literals;

// Calls for the paths in it hang until let go: a dead NFS server.
class DeadServer {
 public:
  void hang(const std::string& path) {
    const std::lock_guard lock(mutex_);
    hanging_.insert(path);
  }
  void let_go(const std::string& path) {
    const std::lock_guard lock(mutex_);
    hanging_.erase(path);
    changed_.notify_all();
  }
  // In the thread.
  void call(const std::string& path) {
    std::unique_lock lock(mutex_);
    ++inside_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return !hanging_.contains(path); });
    --inside_;
    changed_.notify_all();
  }
  void wait_for_inside(int calls) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return inside_ == calls; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::string> hanging_;
  int inside_ = 0;
};

FilesOptions with(const std::shared_ptr<DeadServer>& server) {
  FilesOptions options;
  options.calls.open = [server](const char* path, int flags) {
    server->call(path);
    return ::open(path, flags);
  };
  options.calls.statvfs = [server](const char* path, struct statvfs* measures) {
    server->call(path);
    return ::statvfs(path, measures);
  };
  return options;
}

// A reply that has come or not.
class Answered {
 public:
  Asker::OnReply callback() {
    return [this](Reply reply) {
      EXPECT_FALSE(reply_.has_value()) << "replied twice";
      reply_ = std::move(reply);
    };
  }
  explicit operator bool() const { return reply_.has_value(); }
  const Reply& operator*() const { return *reply_; }
  const Reply* operator->() const { return &*reply_; }

 private:
  std::optional<Reply> reply_;
};

class FilesTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/files_test.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string path(const std::string& name) const { return directory_ + "/" + name; }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
    return path(name);
  }

  // Turns the loop until `done`; far too long a time is a failure.
  template <typename Done>
  [[nodiscard]] bool run_until(Done done) {
    const Deadline limit = now().steady + 20s;
    while (!done() && now().steady < limit) loop_.run_once(now().steady + 100ms);
    return done();
  }

  Reply read(Files& files, const FileAsk& ask, uint64_t owner = 1) {
    Answered answer;
    files.ask(++id_, owner, ask, now().steady + 20s, answer.callback());
    EXPECT_FALSE(answer) << "replied from within ask()";
    EXPECT_TRUE(run_until([&] { return static_cast<bool>(answer); }));
    return *answer;
  }
  Reply measure(Files& files, const std::string& path) {
    Answered answer;
    files.ask(++id_, 1, FilesystemAsk{path}, now().steady + 20s, answer.callback());
    EXPECT_FALSE(answer) << "replied from within ask()";
    EXPECT_TRUE(run_until([&] { return static_cast<bool>(answer); }));
    return *answer;
  }

  // Leaves owner 1's thread stuck in `path`.
  void get_stuck(Files& files, DeadServer& server, const std::string& path) {
    server.hang(path);
    Answered answer;
    files.ask(++id_, 1, FileAsk{path}, now().steady + 20ms, answer.callback());
    server.wait_for_inside(1);
    ASSERT_TRUE(run_until([&] { return files.stuck_threads() == 1 && answer; }));
    ASSERT_FALSE(answer->ok());
    EXPECT_EQ(answer->error().reason, Reason::kHung);
    EXPECT_EQ(answer->error().message, "reading " + path + ": no answer before the deadline");
  }

  Loop loop_;
  std::string directory_;
  AskId id_ = 0;
};

TEST_F(FilesTest, ReadsAFileInAThread) {
  Files files(loop_);
  const Reply reply = read(files, {write("f", "hello\n")});
  ASSERT_TRUE(reply.ok()) << reply.error().message;
  EXPECT_EQ(reply->body, "hello\n");
  EXPECT_EQ(files.threads(), 1U);
}

TEST_F(FilesTest, MeasuresAFilesystemInAThread) {
  Files files(loop_);
  const Reply reply = measure(files, "/");
  ASSERT_TRUE(reply.ok()) << reply.error().message;
  EXPECT_EQ(reply->filesystem->mountpoint, "/");
  EXPECT_EQ(files.threads(), 1U);
}

TEST_F(FilesTest, FailureOfTheReadIsTheReply) {
  Files files(loop_);
  for (const std::string& missing : {path("none"), std::string("/run/no/such")}) {
    const Reply reply = read(files, {missing});
    ASSERT_FALSE(reply.ok());
    EXPECT_EQ(reply.error().message, missing + ": no such file");
  }
}

TEST_F(FilesTest, ReadsProcOnTheLoopThoughItSaysSizeZero) {
  Files files(loop_);
  const Reply reply = read(files, {"/proc/self/stat"});
  ASSERT_TRUE(reply.ok()) << reply.error().message;
  EXPECT_TRUE(reply->body.starts_with(std::to_string(getpid()) + " "));
  EXPECT_EQ(files.threads(), 0U);
}

TEST_F(FilesTest, LinkUnderProcIsFollowedInAThread) {
  Files files(loop_);
  const Reply reply = read(files, {"/proc/mounts"});  // a link to self/mounts
  ASSERT_TRUE(reply.ok()) << reply.error().message;
  EXPECT_NE(reply->body.find(" / "), std::string::npos);
  EXPECT_EQ(files.threads(), 1U);
}

TEST_F(FilesTest, HungReadFailsAtItsDeadlineAndTheNextAtOnceUntilItComesBack) {
  const auto server = std::make_shared<DeadServer>();
  Files files(loop_, with(server));
  const std::string hung = write("hung", "at last");
  get_stuck(files, *server, hung);

  const Reply next = read(files, {write("good", "x")});  // its own deadline is far away
  ASSERT_FALSE(next.ok());
  EXPECT_EQ(next.error().reason, Reason::kHung);
  EXPECT_EQ(next.error().message, "an earlier read of " + hung + " still hangs");

  server->let_go(hung);
  ASSERT_TRUE(run_until([&] { return files.stuck_threads() == 0; }));
  const Reply again = read(files, {hung});
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->body, "at last");
  EXPECT_EQ(files.threads(), 1U);
}

TEST_F(FilesTest, StuckThreadOfOneOwnerDelaysNoOtherOwnerAndNotProc) {
  const auto server = std::make_shared<DeadServer>();
  Files files(loop_, with(server));
  const std::string hung = write("hung", "");
  get_stuck(files, *server, hung);
  EXPECT_EQ(read(files, {write("good", "x")}, 2)->body, "x");
  EXPECT_TRUE(read(files, {"/proc/self/stat"}).ok());
  server->let_go(hung);
}

TEST_F(FilesTest, ReadsQueuedBehindAHungOneFailWithIt) {
  const auto server = std::make_shared<DeadServer>();
  Files files(loop_, with(server));
  const std::string hung = write("hung", "");
  server->hang(hung);
  Answered first;
  Answered second;
  files.ask(1, 1, FileAsk{hung}, now().steady + 50ms, first.callback());
  files.ask(2, 1, FileAsk{write("good", "")}, now().steady + 20s, second.callback());
  server->wait_for_inside(1);
  ASSERT_TRUE(run_until([&] { return first && second; }));
  ASSERT_FALSE(second->ok());
  EXPECT_EQ(second->error().message, "an earlier read of " + hung + " still hangs");
  server->let_go(hung);
}

TEST_F(FilesTest, ReadThatWaitsPastItsDeadlineFailsWithoutAStuckThread) {
  const auto server = std::make_shared<DeadServer>();
  Files files(loop_, with(server));
  const std::string slow = write("slow", "slow");
  server->hang(slow);
  Answered first;
  Answered second;
  files.ask(1, 1, FileAsk{slow}, now().steady + 20s, first.callback());
  server->wait_for_inside(1);
  files.ask(2, 1, FileAsk{write("good", "")}, now().steady + 20ms, second.callback());
  ASSERT_TRUE(run_until([&] { return static_cast<bool>(second); }));
  ASSERT_FALSE(second->ok());
  EXPECT_EQ(second->error().reason, Reason::kHung);
  EXPECT_EQ(files.stuck_threads(), 0U);
  server->let_go(slow);
  ASSERT_TRUE(run_until([&] { return static_cast<bool>(first); }));
  EXPECT_EQ((*first)->body, "slow");
}

TEST_F(FilesTest, HungFilesystemHidesNoOtherOfTheSameOwner) {
  const auto server = std::make_shared<DeadServer>();
  Files files(loop_, with(server));
  std::filesystem::create_directory(path("nfs"));
  server->hang(path("nfs"));
  for (int round = 0; round < 2; ++round) {
    Answered hung;
    files.ask(++id_, 1, FilesystemAsk{path("nfs")}, now().steady + 20ms, hung.callback());
    server->wait_for_inside(1);
    EXPECT_TRUE(measure(files, "/").ok());
    EXPECT_TRUE(read(files, {write("good", "")}).ok());
    ASSERT_TRUE(run_until([&] { return static_cast<bool>(hung); }));
    ASSERT_FALSE(hung->ok());
    EXPECT_EQ(hung->error().reason, Reason::kHung);
    EXPECT_EQ(files.stuck_threads(), 1U);
  }
  server->let_go(path("nfs"));
  ASSERT_TRUE(run_until([&] { return files.stuck_threads() == 0; }));
}

TEST_F(FilesTest, DestructorDoesNotWaitForAStuckThread) {
  const auto server = std::make_shared<DeadServer>();
  const std::string hung = write("hung", "");
  {
    Files files(loop_, with(server));
    get_stuck(files, *server, hung);
  }
  server->wait_for_inside(1);
  server->let_go(hung);
  server->wait_for_inside(0);
  loop_.run_once(now().steady);  // what the thread may have posted finds nobody
}

TEST_F(FilesTest, DestructorForgetsWhatIsUnderWay) {
  const auto server = std::make_shared<DeadServer>();
  const std::string hung = write("hung", "");
  server->hang(hung);
  bool replied = false;
  const auto note = [&](const Reply&) { replied = true; };
  {
    Files files(loop_, with(server));
    files.ask(1, 1, FileAsk{hung}, now().steady + 1ms, note);
    files.ask(2, 1, FileAsk{hung}, now().steady + 1ms, note);
    files.ask(3, 1, FileAsk{"/proc/self/stat"}, now().steady + 1ms, note);
    server->wait_for_inside(1);
  }
  server->let_go(hung);
  server->wait_for_inside(0);
  loop_.run_once(now().steady + 20ms);
  loop_.run_once(now().steady + 20ms);
  EXPECT_FALSE(replied);
}

TEST_F(FilesTest, CancelledAsksAreNeverAnswered) {
  const auto server = std::make_shared<DeadServer>();
  Files files(loop_, with(server));
  const std::string slow = write("slow", "");
  server->hang(slow);
  bool replied = false;
  const auto note = [&](const Reply&) { replied = true; };
  const Deadline far = now().steady + 20s;
  files.ask(101, 1, FileAsk{slow}, far, note);
  files.ask(102, 1, FileAsk{slow}, far, note);
  files.ask(103, 1, FileAsk{"/proc/self/stat"}, far, note);
  server->wait_for_inside(1);
  for (const AskId id : {101, 102, 103, 103, 999}) files.cancel(id);
  server->let_go(slow);
  EXPECT_TRUE(read(files, {write("good", "x")}).ok());  // behind them in the same thread
  EXPECT_FALSE(replied);
}

TEST_F(FilesTest, CancelledReadThatHangsCountsAsStuckFromItsDeadline) {
  const auto server = std::make_shared<DeadServer>();
  Files files(loop_, with(server));
  const std::string hung = write("hung", "");
  server->hang(hung);
  files.ask(101, 1, FileAsk{hung}, now().steady + 30ms, [](const Reply&) { FAIL(); });
  server->wait_for_inside(1);
  files.cancel(101);
  ASSERT_TRUE(run_until([&] { return files.stuck_threads() == 1; }));
  EXPECT_EQ(read(files, {write("good", "")}).error().reason, Reason::kHung);
  server->let_go(hung);
  ASSERT_TRUE(run_until([&] { return files.stuck_threads() == 0; }));
}

TEST_F(FilesTest, RepliesMayAskAndCancel) {
  Files files(loop_);
  const std::string file = write("f", "x");
  Answered second;
  files.ask(1, 1, FileAsk{file}, now().steady + 20s, [&](const Reply&) {
    files.cancel(1);
    files.ask(2, 1, FileAsk{file}, now().steady + 20s, second.callback());
  });
  ASSERT_TRUE(run_until([&] { return static_cast<bool>(second); }));
  EXPECT_TRUE(second->ok());
}

TEST_F(FilesTest, IdleThreadEndsAndIsStartedAgain) {
  FilesOptions options;
  options.idle = 1ms;
  Files files(loop_, options);
  for (int round = 0; round < 20; ++round) {
    EXPECT_TRUE(read(files, {write("f", "x")}).ok());
    if (round % 2 == 0) {
      ASSERT_TRUE(run_until([&] { return files.threads() == 0; }));
    }
  }
}

TEST_F(FilesTest, ManyOwnersAtOnce) {
  FilesOptions options;
  options.idle = 1ms;
  Files files(loop_, options);
  const std::string file = write("f", "x");
  int good = 0;
  for (uint64_t i = 0; i < 400; ++i) {
    files.ask(i + 1, i % 40, FileAsk{file}, now().steady + 20s,
              [&](const Reply& reply) { good += reply.ok() ? 1 : 0; });
  }
  EXPECT_TRUE(run_until([&] { return good == 400; }));
  EXPECT_TRUE(run_until([&] { return files.threads() == 0; }));
}

}  // namespace
}  // namespace lagwatch
