// SPDX-License-Identifier: Apache-2.0
// The resolver on name servers that answer, fail and hang as told, and on a clock that is set by
// hand.
#include "client/resolver.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "client/loop.h"

namespace lagwatch {
namespace {

using namespace std::chrono_literals;

SocketAddress ipv4(const std::string& text) {
  SocketAddress address;
  auto* in = reinterpret_cast<sockaddr_in*>(&address.storage);
  in->sin_family = AF_INET;
  EXPECT_EQ(inet_pton(AF_INET, text.c_str(), &in->sin_addr), 1) << text;
  address.length = sizeof(sockaddr_in);
  return address;
}

// What the threads of the resolver call. A name without an answer fails.
class NameServer {
 public:
  void answer(const std::string& name, const std::vector<std::string>& addresses) {
    const std::lock_guard lock(mutex_);
    answers_[name] = addresses;
  }
  void fail(const std::string& name) {
    const std::lock_guard lock(mutex_);
    answers_.erase(name);
  }
  void hang(const std::string& name) {
    const std::lock_guard lock(mutex_);
    hanging_.insert(name);
  }
  void let_go(const std::string& name) {
    const std::lock_guard lock(mutex_);
    hanging_.erase(name);
    changed_.notify_all();
  }
  int lookups(const std::string& name) {
    const std::lock_guard lock(mutex_);
    return lookups_[name];
  }
  void wait_for_inside(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return inside_ == count; });
  }
  // In the thread.
  Result<SocketAddresses> lookup(const std::string& name) {
    std::unique_lock lock(mutex_);
    ++lookups_[name];
    ++inside_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return !hanging_.contains(name); });
    --inside_;
    changed_.notify_all();
    const auto found = answers_.find(name);
    if (found == answers_.end()) return Error{Reason::kResolve, "no " + name, ""};
    SocketAddresses addresses;
    for (const std::string& text : found->second) addresses.push_back(ipv4(text));
    return addresses;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::vector<std::string>> answers_;
  std::map<std::string, int> lookups_;
  std::set<std::string> hanging_;
  int inside_ = 0;
};

using Texts = std::vector<std::string>;

// The addresses that came, or the message of the error as the only text.
class Answered {
 public:
  Resolver::OnAddresses callback() {
    return [this](const Result<SocketAddresses>& result) {
      EXPECT_FALSE(texts_.has_value()) << "called twice";
      texts_.emplace();
      if (!result) {
        EXPECT_EQ(result.error().reason, Reason::kResolve);
        texts_->push_back(result.error().message);
        return;
      }
      for (const SocketAddress& address : *result) texts_->push_back(to_string(address));
    };
  }
  explicit operator bool() const { return texts_.has_value(); }
  const Texts& operator*() const { return *texts_; }

 private:
  std::optional<Texts> texts_;
};

class ResolverTest : public testing::Test {
 protected:
  ResolverOptions options() {
    ResolverOptions options;
    options.lookup = [server = server_](const std::string& name) { return server->lookup(name); };
    options.now = [this] { return clock_; };
    return options;
  }
  static Deadline far() { return now().steady + 20s; }

  // Turns the loop until `done`; far too long a time is a failure.
  template <typename Done>
  [[nodiscard]] bool run_until(Done done) {
    const Deadline limit = far();
    while (!done() && now().steady < limit) loop_.run_once(now().steady + 100ms);
    return done();
  }
  Texts resolve(Resolver& resolver, const std::string& name) {
    Answered answer;
    resolver.resolve(name, far(), answer.callback());
    EXPECT_FALSE(answer) << "called from within resolve()";
    EXPECT_TRUE(run_until([&] { return static_cast<bool>(answer); }));
    return *answer;
  }
  [[nodiscard]] bool settle(Resolver& resolver) {
    return run_until([&] { return resolver.running() == 0; });
  }

  Loop loop_;
  std::shared_ptr<NameServer> server_ = std::make_shared<NameServer>();
  Instant clock_{1000s};
};

TEST_F(ResolverTest, NumericAddressesAndLocalhostNeedNoLookup) {
  Resolver resolver(loop_, options());
  EXPECT_EQ(resolve(resolver, "192.0.2.7"), Texts{"192.0.2.7"});
  EXPECT_EQ(resolve(resolver, "2001:db8::1"), Texts{"2001:db8::1"});
  EXPECT_EQ(resolve(resolver, "localhost"), (Texts{"127.0.0.1", "::1"}));
  EXPECT_EQ(resolve(resolver, "LocalHost"), (Texts{"127.0.0.1", "::1"}));
  EXPECT_EQ(resolver.running(), 0U);
  EXPECT_EQ(server_->lookups("192.0.2.7") + server_->lookups("localhost"), 0);
}

TEST_F(ResolverTest, OrderOfTheLookupIsKept) {
  Resolver resolver(loop_, options());
  server_->answer("db1", {"192.0.2.9", "192.0.2.1", "192.0.2.5"});
  EXPECT_EQ(resolve(resolver, "db1"), (Texts{"192.0.2.9", "192.0.2.1", "192.0.2.5"}));
  EXPECT_EQ(resolve(resolver, "db1"), (Texts{"192.0.2.9", "192.0.2.1", "192.0.2.5"}));
}

TEST_F(ResolverTest, ManyWaitersShareOneLookup) {
  Resolver resolver(loop_, options());
  server_->answer("db1", {"192.0.2.1"});
  server_->hang("db1");
  std::vector<Answered> answers(5);
  for (Answered& answer : answers) resolver.resolve("db1", far(), answer.callback());
  EXPECT_EQ(resolver.running(), 1U);
  server_->let_go("db1");
  for (const Answered& answer : answers) {
    ASSERT_TRUE(run_until([&] { return static_cast<bool>(answer); }));
    EXPECT_EQ(*answer, Texts{"192.0.2.1"});
  }
  EXPECT_EQ(server_->lookups("db1"), 1);
}

TEST_F(ResolverTest, HungLookupEndsAtTheDeadlineAndDelaysNoOtherName) {
  Resolver resolver(loop_, options());
  server_->answer("db1", {"192.0.2.1"});
  server_->answer("db2", {"192.0.2.2"});
  server_->hang("db1");
  Answered hung;
  resolver.resolve("db1", now().steady + 20ms, hung.callback());
  EXPECT_EQ(resolve(resolver, "db2"), Texts{"192.0.2.2"});
  ASSERT_TRUE(run_until([&] { return static_cast<bool>(hung); }));
  EXPECT_EQ(*hung, Texts{"resolving db1: no answer in time"});

  Answered again;
  resolver.resolve("db1", now().steady + 20ms, again.callback());
  ASSERT_TRUE(run_until([&] { return static_cast<bool>(again); }));
  EXPECT_EQ(server_->lookups("db1"), 1);  // the hung one is still under way

  server_->let_go("db1");
  ASSERT_TRUE(settle(resolver));
  EXPECT_EQ(resolve(resolver, "db1"), Texts{"192.0.2.1"});
  EXPECT_EQ(server_->lookups("db1"), 1);  // its late answer is kept
}

TEST_F(ResolverTest, FreshAnswerIsKeptAndAnOldOneGivenWhileItIsRefreshed) {
  Resolver resolver(loop_, options());
  server_->answer("db1", {"192.0.2.1"});
  EXPECT_EQ(resolve(resolver, "db1"), Texts{"192.0.2.1"});
  server_->answer("db1", {"192.0.2.2"});
  clock_ += 29s;
  EXPECT_EQ(resolve(resolver, "db1"), Texts{"192.0.2.1"});
  EXPECT_EQ(server_->lookups("db1"), 1);
  clock_ += 1s;
  server_->hang("db1");
  EXPECT_EQ(resolve(resolver, "db1"), Texts{"192.0.2.1"});
  EXPECT_EQ(resolver.running(), 1U);
  server_->let_go("db1");
  ASSERT_TRUE(settle(resolver));
  EXPECT_EQ(resolve(resolver, "db1"), Texts{"192.0.2.2"});
  EXPECT_EQ(server_->lookups("db1"), 2);
}

TEST_F(ResolverTest, OldAnswerIsGivenForTenMinutesWhileLookupsFail) {
  Resolver resolver(loop_, options());
  server_->answer("db1", {"192.0.2.1"});
  EXPECT_EQ(resolve(resolver, "db1"), Texts{"192.0.2.1"});
  server_->fail("db1");
  for (Duration age = 30s; age < 10min; age += 30s) {
    clock_ += 30s;
    EXPECT_EQ(resolve(resolver, "db1"), Texts{"192.0.2.1"});
    ASSERT_TRUE(settle(resolver));
  }
  EXPECT_EQ(server_->lookups("db1"), 20);
  clock_ += 30s;
  EXPECT_EQ(resolve(resolver, "db1"), Texts{"no db1"});
  server_->answer("db1", {"192.0.2.2"});
  clock_ += 2s;
  EXPECT_EQ(resolve(resolver, "db1"), Texts{"192.0.2.2"});
}

TEST_F(ResolverTest, OldAnswerIsGivenWhileItsRefreshHangs) {
  Resolver resolver(loop_, options());
  server_->answer("db1", {"192.0.2.1"});
  EXPECT_EQ(resolve(resolver, "db1"), Texts{"192.0.2.1"});
  server_->hang("db1");
  clock_ += 9min;
  EXPECT_EQ(resolve(resolver, "db1"), Texts{"192.0.2.1"});
  EXPECT_EQ(resolve(resolver, "db1"), Texts{"192.0.2.1"});
  EXPECT_EQ(resolver.running(), 1U);
  clock_ += 1min;
  Answered late;
  resolver.resolve("db1", now().steady + 10ms, late.callback());
  ASSERT_TRUE(run_until([&] { return static_cast<bool>(late); }));
  EXPECT_EQ(*late, Texts{"resolving db1: no answer in time"});
  server_->let_go("db1");
}

TEST_F(ResolverTest, FailureIsKeptForTwoSeconds) {
  Resolver resolver(loop_, options());
  EXPECT_EQ(resolve(resolver, "nix"), Texts{"no nix"});
  clock_ += 1999ms;
  EXPECT_EQ(resolve(resolver, "nix"), Texts{"no nix"});
  EXPECT_EQ(server_->lookups("nix"), 1);
  clock_ += 1ms;
  server_->answer("nix", {"192.0.2.1"});
  EXPECT_EQ(resolve(resolver, "nix"), Texts{"192.0.2.1"});
  EXPECT_EQ(server_->lookups("nix"), 2);
}

TEST_F(ResolverTest, NameWithoutAddressesIsAFailure) {
  Resolver resolver(loop_, options());
  server_->answer("empty", {});
  EXPECT_EQ(resolve(resolver, "empty"), Texts{"resolving empty: the name has no address"});
}

TEST_F(ResolverTest, SixtyFourLookupsRunAndFurtherOnesWait) {
  Resolver resolver(loop_, options());
  std::vector<Answered> answers(66);
  for (size_t i = 0; i < answers.size(); ++i) {
    const std::string name = "n" + std::to_string(i);
    server_->answer(name, {"192.0.2.1"});
    server_->hang(name);
    resolver.resolve(name, far(), answers[i].callback());
  }
  server_->wait_for_inside(64);
  EXPECT_EQ(resolver.running(), 64U);
  EXPECT_EQ(resolver.waiting(), 2U);
  EXPECT_EQ(resolve(resolver, "localhost"), (Texts{"127.0.0.1", "::1"}));
  server_->let_go("n64");
  server_->let_go("n7");
  ASSERT_TRUE(run_until([&] { return answers[7] && answers[64]; }));
  server_->wait_for_inside(64);  // n65 took the place
  for (size_t i = 0; i < answers.size(); ++i) server_->let_go("n" + std::to_string(i));
  for (const Answered& answer : answers) {
    ASSERT_TRUE(run_until([&] { return static_cast<bool>(answer); }));
    EXPECT_EQ(*answer, Texts{"192.0.2.1"});
  }
}

TEST_F(ResolverTest, CancelledWaitersAreNeverCalled) {
  Resolver resolver(loop_, options());
  server_->answer("db1", {"192.0.2.1"});
  server_->hang("db1");
  const auto never = [](const Result<SocketAddresses>&) { FAIL(); };
  Answered kept;
  const Resolver::Id waiting = resolver.resolve("db1", now().steady + 1ms, never);
  const Resolver::Id numeric = resolver.resolve("192.0.2.1", far(), never);
  resolver.resolve("db1", far(), kept.callback());
  resolver.cancel(waiting);
  resolver.cancel(numeric);
  resolver.cancel(numeric);
  resolver.cancel(12345);
  server_->let_go("db1");
  ASSERT_TRUE(run_until([&] { return static_cast<bool>(kept); }));
  EXPECT_EQ(*kept, Texts{"192.0.2.1"});
}

TEST_F(ResolverTest, CallbacksMayResolveAndCancel) {
  Resolver resolver(loop_, options());
  server_->answer("db1", {"192.0.2.1"});
  Answered second;
  Resolver::Id other = 0;
  resolver.resolve("db1", far(), [&](const Result<SocketAddresses>&) {
    resolver.cancel(other);
    resolver.resolve("db1", far(), second.callback());
  });
  other = resolver.resolve("db1", far(), [](const Result<SocketAddresses>&) { FAIL(); });
  ASSERT_TRUE(run_until([&] { return static_cast<bool>(second); }));
  EXPECT_EQ(*second, Texts{"192.0.2.1"});
}

TEST_F(ResolverTest, DestructorDoesNotWaitForAHungLookup) {
  server_->hang("db1");
  {
    Resolver resolver(loop_, options());
    const auto never = [](const Result<SocketAddresses>&) { FAIL(); };
    resolver.resolve("db1", now().steady + 1ms, never);
    resolver.resolve("192.0.2.1", far(), never);
    server_->wait_for_inside(1);
  }
  server_->let_go("db1");
  server_->wait_for_inside(0);
  loop_.run_once(now().steady + 5ms);
  loop_.run_once(now().steady + 5ms);
}

TEST_F(ResolverTest, RealLookupOfAnInvalidNameFails) {
  Resolver resolver(loop_);
  Answered answer;
  resolver.resolve("no such name.invalid", now().steady + 5s, answer.callback());
  ASSERT_TRUE(run_until([&] { return static_cast<bool>(answer); }));
  ASSERT_EQ((*answer).size(), 1U);
  EXPECT_TRUE((*answer)[0].starts_with("resolving no such name.invalid: ")) << (*answer)[0];
}

TEST(SocketAddress, PortIsSetForBothFamilies) {
  SocketAddress four = ipv4("192.0.2.1");
  set_port(four, 5432);
  EXPECT_EQ(reinterpret_cast<const sockaddr_in*>(four.get())->sin_port, htons(5432));
  SocketAddress six;
  six.storage.ss_family = AF_INET6;
  six.length = sizeof(sockaddr_in6);
  set_port(six, 5432);
  EXPECT_EQ(reinterpret_cast<const sockaddr_in6*>(six.get())->sin6_port, htons(5432));
  EXPECT_EQ(to_string(six), "::");
  EXPECT_EQ(to_string(SocketAddress{}), "");
}

}  // namespace
}  // namespace lagwatch
