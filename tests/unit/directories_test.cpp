// SPDX-License-Identifier: Apache-2.0
// Directories by pattern, as Passenger's instances are found.
#include "client/directories.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "as_nobody.h"

namespace lagwatch {
namespace {

namespace fs = std::filesystem;

class DirectoriesTest : public testing::Test {
 protected:
  DirectoriesTest() {
    fs::remove_all(root);
    fs::create_directories(root);
  }
  ~DirectoriesTest() override { fs::remove_all(root); }

  void write(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(root + path).parent_path());
    std::ofstream(root + path) << text;
  }
  Listing list(std::vector<std::string> patterns, std::vector<std::string> files = {},
               size_t max_file_bytes = 100, size_t max_matches = 64) {
    for (std::string& pattern : patterns) pattern.insert(0, root);
    const std::atomic<bool> abandoned{false};
    const Reply reply =
        list_directories({patterns, std::move(files), max_file_bytes, max_matches}, abandoned);
    EXPECT_TRUE(reply.ok());
    return *reply->listing;
  }

  const std::string root = testing::TempDir() + "directories-" + std::to_string(getpid());
};

TEST_F(DirectoriesTest, FindsByPatternEachOnceInOrderAndReadsTheirFiles) {
  write("/passenger.b/core.pid", "12");
  write("/passenger.a/core.pid", "11");
  write("/other/core.pid", "13");
  write("/passenger.file", "no directory");
  write("/systemd-private-1-apache2.service-x/tmp/passenger.c/core.pid", "14");
  const Listing found =
      list({"/passenger.*", "/systemd-private-*-apache2.service-*/tmp/passenger.*", "/passenger.a",
            "/missing/passenger.*"},
           {"core.pid", "lock"});
  ASSERT_EQ(found.directories.size(), 3U);
  EXPECT_EQ(found.directories[0].path, root + "/passenger.a");
  EXPECT_EQ(found.directories[0].files[0].text, "11");
  EXPECT_EQ(found.directories[0].files[1].error, ENOENT);
  EXPECT_EQ(found.directories[1].files[0].text, "12");
  EXPECT_EQ(found.directories[2].files[0].text, "14");
  EXPECT_TRUE(found.problems.empty()) << "what is not there is no problem";
  EXPECT_FALSE(found.cut);
}

TEST_F(DirectoriesTest, BoundsHold) {
  for (int i = 0; i < 5; ++i)
    write("/passenger." + std::to_string(i) + "/big", std::string(200, 'x'));
  const Listing found = list({"/passenger.*"}, {"big"}, 100, 3);
  EXPECT_EQ(found.directories.size(), 3U);
  EXPECT_TRUE(found.cut);
  EXPECT_EQ(found.directories[0].files[0].error, EFBIG);
}

TEST_F(DirectoriesTest, FifoInAFilesPlaceIsNotWaitedFor) {
  fs::create_directories(root + "/passenger.a");
  ASSERT_EQ(mkfifo((root + "/passenger.a/core.pid").c_str(), 0600), 0);
  EXPECT_EQ(list({"/passenger.*"}, {"core.pid"}).directories.at(0).files[0].error, EINVAL);
}

TEST_F(DirectoriesTest, DirectoryThatMayNotBeEnteredIsAProblem) {
  write("/systemd-private-1-apache2.service-x/tmp/passenger.c/core.pid", "14");
  const std::string closed = root + "/systemd-private-1-apache2.service-x";
  ::chmod(closed.c_str(), 0700);
  const AsNobody nobody;
  if (getuid() != 0) GTEST_SKIP() << "not root: the owner may enter";
  const Listing found = list({"/systemd-private-*-apache2.service-*/tmp/passenger.*"});
  EXPECT_TRUE(found.directories.empty());
  ASSERT_EQ(found.problems.size(), 1U);
  EXPECT_EQ(found.problems[0].path, closed + "/tmp");
  EXPECT_EQ(found.problems[0].error, EACCES);
}

}  // namespace
}  // namespace lagwatch
