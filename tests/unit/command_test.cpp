// SPDX-License-Identifier: Apache-2.0
// Real programs, and what is left of them: nothing.
#include "client/command.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "base/text.h"
#include "client/loop.h"

namespace lagwatch {
namespace {

using namespace std::chrono_literals;

class CommandTest : public testing::Test {
 protected:
  void ask(CommandAsk ask, Duration timeout = 10s) {
    reply.reset();
    client.ask(++id, ask, now().steady + timeout, [this](Reply r) { reply.emplace(std::move(r)); });
    EXPECT_FALSE(reply.has_value()) << "answered from within ask()";
    wait_for([this] { return reply.has_value(); });
    ASSERT_TRUE(reply.has_value());
  }
  void shell(const std::string& script, Duration timeout = 10s) {
    ask({.arguments = {"/bin/sh", "-c", script}}, timeout);
  }
  template <typename Wanted>
  void wait_for(Wanted wanted) {
    const Instant end = now().steady + 20s;
    while (!wanted() && now().steady < end) loop.run_once(now().steady + 20ms);
    EXPECT_TRUE(wanted());
  }

  Loop loop;
  CommandClient client{loop};
  std::optional<Reply> reply;
  AskId id = 0;
};

TEST_F(CommandTest, OutputAndExitCodeAreTheAnswer) {
  shell("printf out; printf err >&2; exit 3");
  ASSERT_TRUE(reply->ok()) << reply->error().message;
  EXPECT_EQ((*reply)->body, "out");
  EXPECT_EQ((*reply)->command->exit_code, 3);
  EXPECT_EQ((*reply)->command->complaints, "err");
  shell("kill -TERM $$");
  ASSERT_TRUE(reply->ok());
  EXPECT_EQ((*reply)->command->exit_code, 128 + SIGTERM);
}

TEST_F(CommandTest, NoShellIsBetweenAndStandardInputIsEmpty) {
  ask({.arguments = {"printf", "%s", "$HOME; `id`"}});
  ASSERT_TRUE(reply->ok());
  EXPECT_EQ((*reply)->body, "$HOME; `id`");
  ask({.arguments = {"cat"}});
  ASSERT_TRUE(reply->ok());
  EXPECT_EQ((*reply)->body, "");
}

TEST_F(CommandTest, LongOutputComesWholeAndTooMuchIsAnError) {
  shell("head -c 3000000 /dev/zero");
  ASSERT_TRUE(reply->ok()) << reply->error().message;
  EXPECT_EQ((*reply)->body.size(), 3000000U);
  ask({.arguments = {"head", "-c", "3000000", "/dev/zero"}, .max_bytes = 100000});
  ASSERT_FALSE(reply->ok());
  EXPECT_EQ(reply->error().reason, Reason::kTooLarge);
}

TEST_F(CommandTest, ProgramsThatAreNotThereOrMayNotRunAreNamed) {
  ask({.arguments = {"/nonexistent/passenger-status"}});
  ASSERT_FALSE(reply->ok());
  EXPECT_EQ(reply->error().reason, Reason::kRefused);
  EXPECT_EQ(reply->error().message, "/nonexistent/passenger-status: there is no such program");
  ask({.arguments = {"/etc/passwd"}});
  ASSERT_FALSE(reply->ok());
  EXPECT_EQ(reply->error().reason, Reason::kPermission);
  EXPECT_EQ(reply->error().fix, "chmod 755 /etc/passwd");
}

// The shell's child writes its pid, then both wait for ever.
TEST_F(CommandTest, DeadlineKillsTheWholeProcessGroup) {
  const std::string file = testing::TempDir() + "command-" + std::to_string(getpid());
  shell("sleep 1000 & echo $! > " + file + "; wait", 500ms);
  ASSERT_FALSE(reply->ok());
  EXPECT_EQ(reply->error().reason, Reason::kHung);
  pid_t child = 0;
  std::ifstream(file) >> child;
  ASSERT_GT(child, 0);
  const auto gone = [child] {
    if (::kill(child, 0) != 0) return true;
    std::ifstream status("/proc/" + std::to_string(child) + "/stat");  // nobody reaps it here
    std::string text;
    std::getline(status, text);
    return text.find(") Z ") != std::string::npos;
  };
  wait_for(gone);
  wait_for([this] { return client.left_running() == 0; });
  std::filesystem::remove(file);
}

TEST_F(CommandTest, ChildrenThatHoldTheOutputOpenAreNotWaitedFor) {
  const Instant begin = now().steady;
  shell("echo done; sleep 1000 &");
  ASSERT_TRUE(reply->ok()) << reply->error().message;
  EXPECT_EQ((*reply)->body, "done\n");
  EXPECT_LT(now().steady - begin, 5s);
}

TEST_F(CommandTest, AnswerThatBeganAndDidNotEndStalls) {
  shell("echo begun; sleep 1000", 500ms);
  ASSERT_FALSE(reply->ok());
  EXPECT_EQ(reply->error().reason, Reason::kStalled);
}

TEST_F(CommandTest, CancelledAskIsSilentAndItsProgramEnds) {
  bool called = false;
  client.ask(77, {.arguments = {"sleep", "1000"}}, now().steady + 10s,
             [&](const Reply&) { called = true; });
  client.cancel(77);
  wait_for([this] { return client.left_running() == 0; });
  EXPECT_FALSE(called);
}

}  // namespace
}  // namespace lagwatch
