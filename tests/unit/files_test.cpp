// SPDX-License-Identifier: Apache-2.0
// File asks: what they read, and what a call that never returns costs (nothing but its thread).
#include "client/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
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

TEST_F(FilesTest, EmptyFileIsAnEmptyBody) {
  Files files(loop_);
  const Reply reply = read(files, {write("f", "")});
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->body, "");
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

TEST(NeverHangs, OnlyPlainPathsOfTheKernelAndTheMemory) {
  for (const char* path : {"/proc/meminfo", "/proc/1/stat", "/proc/pressure/cpu", "/run/x/y.pid",
                           "/sys/class/net/eth0/mtu", "/run/haproxy/user"}) {
    EXPECT_TRUE(never_hangs(path)) << path;
  }
  for (const char* path : {"/etc/passwd", "/proc", "/proc/", "/procs/x", "/proc/../etc/passwd",
                           "/proc//meminfo", "/proc/./meminfo", "/run/..", "run/x", "",
                           "/var/run/x", "/proc/1/root/mnt/x", "/proc/1/cwd/x", "/proc/self/fd/3",
                           "/proc/1/exe", "/run/user/1000/gvfs/x", "/run/media/x"}) {
    EXPECT_FALSE(never_hangs(path)) << path;
  }
}

TEST_F(FilesTest, MissingFileIsRefused) {
  Files files(loop_);
  for (const std::string& missing :
       {path("none"), write("f", "") + "/x", std::string("/run/no/f")}) {
    const Reply reply = read(files, {missing});
    ASSERT_FALSE(reply.ok());
    EXPECT_EQ(reply.error().reason, Reason::kRefused);
    EXPECT_EQ(reply.error().message, missing + ": no such file");
  }
}

TEST_F(FilesTest, ForbiddenFileComesWithItsFix) {
  FilesOptions options;
  options.calls.open = [](const char*, int) {
    errno = EACCES;
    return -1;
  };
  Files files(loop_, options);
  const Reply reply = read(files, {path("f")});
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().reason, Reason::kPermission);
  EXPECT_EQ(reply.error().message, "opening " + path("f") + ": Permission denied");
  EXPECT_TRUE(reply.error().fix.starts_with("setfacl -m u:lagwatch:r " + path("f")));
}

TEST_F(FilesTest, BrokenDiskAndStaleHandleAreProtocolErrors) {
  for (const int error : {EIO, ESTALE, EMFILE}) {
    FilesOptions options;
    options.calls.open = [error](const char*, int) {
      errno = error;
      return -1;
    };
    Files files(loop_, options);
    const Reply reply = read(files, {path("f")});
    ASSERT_FALSE(reply.ok());
    EXPECT_EQ(reply.error().reason, Reason::kProtocol);
  }
}

TEST_F(FilesTest, MoreThanTheLimitIsTooLargeAndExactlyTheLimitIsNot) {
  Files files(loop_);
  EXPECT_EQ(read(files, {write("f", "12345"), 5})->body, "12345");
  const Reply larger = read(files, {write("f", "123456"), 5});
  ASSERT_FALSE(larger.ok());
  EXPECT_EQ(larger.error().reason, Reason::kTooLarge);
  const Reply proc = read(files, {"/proc/self/status", 5});  // its size is not known before
  ASSERT_FALSE(proc.ok());
  EXPECT_EQ(proc.error().reason, Reason::kTooLarge);
}

TEST_F(FilesTest, LongFileIsReadWhole) {
  Files files(loop_);
  std::string text(3U << 20U, 'x');
  text.back() = 'y';
  const Reply reply = read(files, {write("f", text), 4U << 20U});
  ASSERT_TRUE(reply.ok());
  EXPECT_TRUE(reply->body == text);
}

TEST_F(FilesTest, DirectoryAndFifoAreNoFilesAndDoNotHang) {
  Files files(loop_);
  ASSERT_EQ(mkfifo(path("fifo").c_str(), 0600), 0);
  for (const std::string& other : {directory_, path("fifo"), std::string("/proc/self")}) {
    const Reply reply = read(files, {other});
    ASSERT_FALSE(reply.ok());
    EXPECT_EQ(reply.error().reason, Reason::kProtocol);
    EXPECT_EQ(reply.error().message, other + ": not a regular file");
  }
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

TEST_F(FilesTest, MeasuresTheRootFilesystem) {
  Files files(loop_);
  const Reply reply = measure(files, "/");
  ASSERT_TRUE(reply.ok()) << reply.error().message;
  ASSERT_TRUE(reply->filesystem.has_value());
  const Filesystem& fs = *reply->filesystem;
  EXPECT_EQ(fs.mountpoint, "/");
  EXPECT_FALSE(fs.fstype.empty());
  EXPECT_GT(fs.size_bytes, 0U);
  EXPECT_LE(fs.avail_bytes, fs.free_bytes);
  EXPECT_LE(fs.free_bytes, fs.size_bytes);
}

TEST_F(FilesTest, MeasuresInBytesWhereALinkLeads) {
  FilesOptions options;
  options.calls.mountinfo = path("mountinfo");
  options.calls.statvfs = [](const char*, struct statvfs* measures) {
    measures->f_bsize = 65536;  // what reads like best; the counts are in f_frsize
    measures->f_frsize = 4096;
    measures->f_blocks = 1000;
    measures->f_bfree = 500;
    measures->f_bavail = 400;
    measures->f_files = 70;
    measures->f_ffree = 60;
    measures->f_flag = ST_RDONLY;
    return 0;
  };
  std::filesystem::create_directory(path("a b"));
  std::filesystem::create_directory_symlink(path("a b"), path("link"));
  write("mountinfo", "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 8:2 / " + directory_ +
                         "/a\\040b ro shared:1 - nfs4 srv:/x ro\n");
  Files files(loop_, options);
  const Reply reply = measure(files, path("link"));
  ASSERT_TRUE(reply.ok()) << reply.error().message;
  const Filesystem& fs = *reply->filesystem;
  EXPECT_EQ(fs.mountpoint, path("a b"));
  EXPECT_EQ(fs.fstype, "nfs4");
  EXPECT_EQ(fs.device, "srv:/x");
  EXPECT_EQ(fs.size_bytes, 4096000U);
  EXPECT_EQ(fs.free_bytes, 2048000U);
  EXPECT_EQ(fs.avail_bytes, 1638400U);
  EXPECT_EQ(fs.files, 70U);
  EXPECT_EQ(fs.files_free, 60U);
  EXPECT_TRUE(fs.readonly);
}

TEST_F(FilesTest, FilesystemOfAMissingPathIsRefused) {
  Files files(loop_);
  const Reply reply = measure(files, path("none"));
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().reason, Reason::kRefused);
}

TEST(FindMount, LongestMountPointThatHoldsThePathWins) {
  constexpr std::string_view kMounts =
      "20 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"
      "21 20 8:2 / /srv rw - xfs /dev/sdb1 rw\n"
      "22 21 8:3 /sub /srv/data rw shared:7 master:2 - btrfs /dev/sdc1 rw\n";
  EXPECT_EQ(find_mount(kMounts, "/")->mountpoint, "/");
  EXPECT_EQ(find_mount(kMounts, "/srv")->mountpoint, "/srv");
  EXPECT_EQ(find_mount(kMounts, "/srv/database")->mountpoint, "/srv");
  EXPECT_EQ(find_mount(kMounts, "/srv/data/x")->device, "/dev/sdc1");
  EXPECT_EQ(find_mount(kMounts, "/srvx")->mountpoint, "/");
}

TEST(FindMount, OfTwoMountsAtOnePlaceTheLaterIsOnTop) {
  constexpr std::string_view kMounts =
      "1 1 0:1 / / rw - rootfs rootfs rw\n20 1 8:1 / / rw - ext4 /dev/disk/by-uuid/1 rw\n";
  EXPECT_EQ(find_mount(kMounts, "/etc")->fstype, "ext4");
}

TEST(FindMount, NamesAreUnescaped) {
  constexpr std::string_view kMounts =
      "20 1 0:9 / /a\\040b\\011c\\134d rw - fuse.sshfs me@host:/x\\040y rw\n";
  const auto mount = find_mount(kMounts, "/a b\tc\\d/file");
  ASSERT_TRUE(mount.has_value());
  EXPECT_EQ(mount->device, "me@host:/x y");
  EXPECT_EQ(mount->fstype, "fuse.sshfs");
}

TEST(FindMount, BrokenLinesAreNoMounts) {
  for (const char* text :
       {"", "\n\n", "20 1 8:1 / / rw ext4 /dev/sda1 rw\n", "20 1 - ext4 x\n", "20 1 8:1 / / rw -\n",
        "20 1 8:1 / / rw - ext4\n", "- - - - - - -", "20 1 8:1 / /\\04", "\\"}) {
    EXPECT_FALSE(find_mount(text, "/x").has_value()) << text;
  }
}

}  // namespace
}  // namespace lagwatch
