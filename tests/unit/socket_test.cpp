// SPDX-License-Identifier: Apache-2.0
// Socket asks against real sockets that misbehave: the right reason, no descriptor kept, never a
// call from within.
#include "client/socket.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <optional>

#include "client/address.h"

namespace lagwatch {
namespace {

using std::chrono::milliseconds;

size_t open_descriptors() {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    count += entry.exists() ? 1 : 1;
  return count;
}

// A listening socket, Unix or TCP on loopback, whose accepted connections the test drives.
class Server {
 public:
  explicit Server(const std::string& path, int backlog = 10) {
    listener_.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    listen(listener_.get(), backlog);
  }
  Server() {
    listener_.reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    listen(listener_.get(), 10);
    socklen_t length = sizeof address;
    getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length);
    port = ntohs(address.sin_port);
  }
  void accept_one() {
    peer.reset(accept(listener_.get(), nullptr, nullptr));
    const timeval patience{5, 0};  // a broken client fails the test instead of hanging it
    setsockopt(peer.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  void say(const std::string& text) {
    EXPECT_EQ(write(peer.get(), text.data(), text.size()), ssize_t(text.size()));
  }
  std::string hear(size_t bytes) {
    std::string text(bytes, 0);
    text.resize(static_cast<size_t>(std::max<ssize_t>(read(peer.get(), text.data(), bytes), 0)));
    return text;
  }
  void reset_peer() {
    const linger hard{1, 0};
    setsockopt(peer.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    peer.reset();
  }

  UniqueFd peer;
  uint16_t port = 0;

 private:
  UniqueFd listener_;
};

class SocketTest : public testing::Test {
 protected:
  SocketTest()
      : directory_(std::filesystem::temp_directory_path() /
                   ("lagwatch-socket-" + std::to_string(getpid()))) {
    std::filesystem::create_directories(directory_);
  }
  ~SocketTest() override { std::filesystem::remove_all(directory_); }

  std::string path(const std::string& name = "s") const { return directory_ / name; }

  void ask(SocketAsk ask, Duration timeout = milliseconds(200)) {
    reply.reset();
    client->ask(
        1, ask, now().steady + timeout, [this] { ++connected; },
        [this](Reply r) { reply.emplace(std::move(r)); });
    EXPECT_FALSE(reply.has_value()) << "answered from within ask()";
  }
  // Turns the loop until there is a reply, or for 5 s at most.
  void wait() {
    const Instant end = now().steady + std::chrono::seconds(5);
    while (!reply && now().steady < end) loop.run_once(now().steady + milliseconds(50));
    ASSERT_TRUE(reply.has_value());
  }
  void turn() { loop.run_once(now().steady); }

  void expect_reason(Reason reason) {
    wait();
    ASSERT_FALSE(reply->ok());
    EXPECT_EQ(reason_name(reply->error().reason), reason_name(reason)) << reply->error().message;
    EXPECT_EQ(open_descriptors(), descriptors);
  }

  std::filesystem::path directory_;
  Loop loop;
  Resolver resolver{loop};
  std::optional<SocketClient> client{std::in_place, loop, resolver};
  std::optional<Reply> reply;
  int connected = 0;
  size_t descriptors = open_descriptors();
};

TEST_F(SocketTest, AsksAndReadsToTheEnd) {
  Server server(path());
  ask({.address = path(), .send = "show info\n"});
  turn();
  server.accept_one();
  EXPECT_EQ(server.hear(10), "show info\n");
  server.say("Name: ");
  turn();
  server.say("HAProxy\n");
  server.peer.reset();
  wait();
  ASSERT_TRUE(reply->ok());
  EXPECT_EQ((*reply)->body, "Name: HAProxy\n");
  EXPECT_EQ(connected, 1);
}

TEST_F(SocketTest, TcpByAddressAndByName) {
  for (const std::string host : {"127.0.0.1", "localhost"}) {
    Server server;
    ask({.address = "tcp://" + host + ":" + std::to_string(server.port), .send = "q\n"},
        std::chrono::seconds(5));
    for (int i = 0; i < 20 && connected == 0; ++i) loop.run_once(now().steady + milliseconds(50));
    server.accept_one();
    server.hear(2);
    server.say("a");
    server.peer.reset();
    wait();
    EXPECT_TRUE(reply->ok());
    connected = 0;
  }
}

TEST_F(SocketTest, NoSocketIsRefused) {
  ask({.address = path("none")});
  expect_reason(Reason::kRefused);
  EXPECT_NE(reply->error().message.find("no such socket"), std::string::npos);
}

TEST_F(SocketTest, SocketWithoutAListenerIsRefused) {
  { const Server gone(path()); }
  ask({.address = path()});
  expect_reason(Reason::kRefused);
}

TEST_F(SocketTest, TcpPortWithoutAListenerIsRefused) {
  uint16_t port = 0;
  {
    const Server gone;
    port = gone.port;
  }
  ask({.address = "tcp://127.0.0.1:" + std::to_string(port)});
  expect_reason(Reason::kRefused);
}

TEST_F(SocketTest, AddressThatIsNoneIsUnsupported) {
  ask({.address = "ftp://x"});
  expect_reason(Reason::kUnsupported);
}

TEST_F(SocketTest, SilenceAfterAcceptIsHung) {
  Server server(path());
  descriptors = open_descriptors() + 1;  // the accepted one
  ask({.address = path(), .send = "q\n"});
  turn();
  server.accept_one();
  expect_reason(Reason::kHung);
}

TEST_F(SocketTest, AnswerThatDoesNotEndIsStalled) {
  Server server(path());
  descriptors = open_descriptors() + 1;
  ask({.address = path(), .send = "q\n"});
  turn();
  server.accept_one();
  server.say("begin");
  expect_reason(Reason::kStalled);
}

TEST_F(SocketTest, NeverAcceptedByAProcessThatRunsIsTooManyConnections) {
  const Server server(path());
  descriptors = open_descriptors();
  ask({.address = path(), .send = "q\n"});
  expect_reason(Reason::kTooManyConnections);
}

TEST_F(SocketTest, FullQueueIsTooManyConnections) {
  const Server server(path(), 0);
  const UniqueFd waiting(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path().c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(connect(waiting.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  descriptors = open_descriptors();
  ask({.address = path(), .send = "q\n"});
  expect_reason(Reason::kTooManyConnections);
}

TEST_F(SocketTest, ClosedWithoutAWordIsReset) {
  Server server(path());
  descriptors = open_descriptors();
  ask({.address = path(), .send = "q\n"});
  turn();
  server.accept_one();
  server.hear(2);
  server.peer.reset();
  expect_reason(Reason::kReset);
}

TEST_F(SocketTest, ResetInTheMiddleIsReset) {
  Server server;
  descriptors = open_descriptors();
  ask({.address = "tcp://127.0.0.1:" + std::to_string(server.port), .send = "q\n"},
      std::chrono::seconds(5));
  for (int i = 0; i < 20 && connected == 0; ++i) loop.run_once(now().steady + milliseconds(50));
  server.accept_one();
  server.say("begin");
  turn();
  server.reset_peer();
  expect_reason(Reason::kReset);
}

TEST_F(SocketTest, AnswerOverTheBoundIsTooLarge) {
  Server server(path());
  descriptors = open_descriptors() + 1;
  ask({.address = path(), .send = "q\n", .max_bytes = 1000});
  turn();
  server.accept_one();
  server.say(std::string(1001, 'x'));
  expect_reason(Reason::kTooLarge);
}

TEST_F(SocketTest, PathLongerThanAnAddressIsReached) {
  const std::filesystem::path deep = directory_ / std::string(60, 'd') / std::string(60, 'e');
  std::filesystem::create_directories(deep);
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(deep);
  Server server("s");
  std::filesystem::current_path(before);
  ask({.address = (deep / "s").string(), .send = "q\n"});
  turn();
  server.accept_one();
  server.hear(2);
  server.say("a");
  server.peer.reset();
  wait();
  EXPECT_TRUE(reply->ok()) << reply->error().message;
}

TEST_F(SocketTest, PacedReadingTakesThirtyTwoKilobytesAMillisecond) {
  Server server(path());
  ask({.address = path(), .send = "q\n", .fast_bytes = 0}, std::chrono::seconds(5));
  turn();
  server.accept_one();
  server.hear(2);
  const std::string piece(64 << 10, 'x');
  server.say(piece);
  const Instant start = now().steady;
  server.say(piece);
  server.peer.reset();
  wait();
  ASSERT_TRUE(reply->ok());
  EXPECT_EQ((*reply)->body.size(), 2 * piece.size());
  EXPECT_GE(now().steady - start, milliseconds(3));  // four pieces, a pause between
}

TEST_F(SocketTest, CancelledAskIsSilentAndKeepsNothing) {
  Server server(path());
  descriptors = open_descriptors();
  ask({.address = path(), .send = "q\n"});
  turn();
  client->cancel(1);
  client->cancel(1);
  EXPECT_EQ(open_descriptors(), descriptors);
  for (int i = 0; i < 5; ++i) loop.run_once(now().steady + milliseconds(60));
  EXPECT_FALSE(reply.has_value());
}

TEST_F(SocketTest, DestructionWithOpenAsksKeepsNothing) {
  const Server server(path());
  descriptors = open_descriptors();
  ask({.address = path(), .send = "q\n"});
  client.reset();
  EXPECT_EQ(open_descriptors(), descriptors);
}

TEST(Address, TakesPathsAndTcp) {
  EXPECT_EQ(parse_address("/run/s")->path, "/run/s");
  EXPECT_EQ(parse_address("tcp://h:9999")->host, "h");
  EXPECT_EQ(parse_address("tcp://[::1]:9999")->host, "::1");
  for (const char* bad :
       {"run/s", "tcp://h", "tcp://:1", "tcp://h:0", "tcp://h:70000", "tcp://::1:9", "http://h/"}) {
    EXPECT_FALSE(parse_address(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace lagwatch
