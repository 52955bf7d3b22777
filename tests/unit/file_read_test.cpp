// SPDX-License-Identifier: Apache-2.0
// What a files thread reads, and the words for what it cannot.
#include "client/file_read.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace lagwatch {
namespace {

class FileRead : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/file_read_test.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string path(const std::string& name) const { return directory_ + "/" + name; }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
    return path(name);
  }
  static Reply read(const FileCalls& calls, const FileAsk& ask) {
    const std::atomic<bool> never{false};
    return read_file(calls, ask, never);
  }
  static Reply measure(const FileCalls& calls, const std::string& path) {
    return read_filesystem(calls, {path});
  }

  std::string directory_;
};

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

TEST_F(FileRead, MissingFileIsRefused) {
  for (const std::string& missing :
       {path("none"), write("f", "") + "/x", std::string("/run/no/f")}) {
    const Reply reply = read({}, {missing});
    ASSERT_FALSE(reply.ok());
    EXPECT_EQ(reply.error().reason, Reason::kRefused);
    EXPECT_EQ(reply.error().message, missing + ": no such file");
  }
}

TEST_F(FileRead, ForbiddenFileComesWithItsFix) {
  FileCalls calls;
  calls.open = [](const char*, int) {
    errno = EACCES;
    return -1;
  };
  const Reply reply = read(calls, {path("f")});
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().reason, Reason::kPermission);
  EXPECT_EQ(reply.error().message, "opening " + path("f") + ": Permission denied");
  EXPECT_TRUE(reply.error().fix.starts_with("setfacl -m u:lagwatch:r " + path("f")));
}

TEST_F(FileRead, BrokenDiskAndStaleHandleAreProtocolErrors) {
  for (const int error : {EIO, ESTALE, EMFILE}) {
    FileCalls calls;
    calls.open = [error](const char*, int) {
      errno = error;
      return -1;
    };
    const Reply reply = read(calls, {path("f")});
    ASSERT_FALSE(reply.ok());
    EXPECT_EQ(reply.error().reason, Reason::kProtocol);
  }
}

TEST_F(FileRead, MoreThanTheLimitIsTooLargeAndExactlyTheLimitIsNot) {
  EXPECT_EQ(read({}, {write("f", "12345"), 5})->body, "12345");
  const Reply larger = read({}, {write("f", "123456"), 5});
  ASSERT_FALSE(larger.ok());
  EXPECT_EQ(larger.error().reason, Reason::kTooLarge);
  const Reply proc = read({}, {"/proc/self/status", 5});  // its size is not known before
  ASSERT_FALSE(proc.ok());
  EXPECT_EQ(proc.error().reason, Reason::kTooLarge);
}

TEST_F(FileRead, AbandonedReadStops) {
  const std::atomic<bool> abandoned{true};
  EXPECT_FALSE(read_file({}, {write("f", "x")}, abandoned).ok());
}

TEST_F(FileRead, LinkIsFollowedOnlyWhereAsked) {
  std::filesystem::create_symlink(write("f", "x"), path("link"));
  EXPECT_EQ(read({}, {path("link")})->body, "x");
  EXPECT_FALSE(read_unless_link({}, {path("link")}).has_value());
  EXPECT_TRUE(read_unless_link({}, {path("f")})->ok());
  EXPECT_FALSE(read_unless_link({}, {path("none")})->ok());
}

TEST_F(FileRead, LongFileIsReadWhole) {
  std::string text(3U << 20U, 'x');
  text.back() = 'y';
  const Reply reply = read({}, {write("f", text), 4U << 20U});
  ASSERT_TRUE(reply.ok());
  EXPECT_TRUE(reply->body == text);
}

TEST_F(FileRead, DirectoryAndFifoAreNoFilesAndDoNotHang) {
  ASSERT_EQ(mkfifo(path("fifo").c_str(), 0600), 0);
  for (const std::string& other : {directory_, path("fifo"), std::string("/proc/self")}) {
    const Reply reply = read({}, {other});
    ASSERT_FALSE(reply.ok());
    EXPECT_EQ(reply.error().reason, Reason::kProtocol);
    EXPECT_EQ(reply.error().message, other + ": not a regular file");
  }
}

TEST_F(FileRead, EmptyFileIsAnEmptyBody) {
  const Reply reply = read({}, {write("f", "")});
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->body, "");
}

TEST_F(FileRead, MeasuresTheRootFilesystem) {
  const Reply reply = measure({}, "/");
  ASSERT_TRUE(reply.ok()) << reply.error().message;
  ASSERT_TRUE(reply->filesystem.has_value());
  const Filesystem& fs = *reply->filesystem;
  EXPECT_EQ(fs.mountpoint, "/");
  EXPECT_FALSE(fs.fstype.empty());
  EXPECT_GT(fs.size_bytes, 0U);
  EXPECT_LE(fs.avail_bytes, fs.free_bytes);
  EXPECT_LE(fs.free_bytes, fs.size_bytes);
}

TEST_F(FileRead, MeasuresInBytesWhereALinkLeads) {
  FileCalls calls;
  calls.mountinfo = path("mountinfo");
  calls.statvfs = [](const char*, struct statvfs* measures) {
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
  const Reply reply = measure(calls, path("link"));
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

TEST_F(FileRead, FilesystemOfAMissingPathIsRefused) {
  const Reply reply = measure({}, path("none"));
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
