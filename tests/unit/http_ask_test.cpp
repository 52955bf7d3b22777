// SPDX-License-Identifier: Apache-2.0
// HTTP asks against a real server: the answer, or the right reason.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <thread>

#include "base/fd.h"
#include "client/http.h"
#include "expose/http_server.h"

namespace lagwatch {
namespace {

using std::chrono::milliseconds;

class HttpAskTest : public testing::Test {
 protected:
  HttpAskTest() {
    const auto say = [](int status, std::string body) {
      return [status, body](const HttpRequest&, const Responder& respond) {
        HttpResponse response;
        response.status = status;
        response.body = body;
        respond(std::move(response));
      };
    };
    std::vector<HttpRoute> routes{
        {"/ok", say(200, "fine"), true},
        {"/missing", say(404, "no"), true},
        {"/moved", say(302, "elsewhere"), true},
        {"/secret", say(401, "who?"), true},
        {"/big", say(200, std::string(5000, 'x')), true},
        {"/echo",
         [](const HttpRequest& request, const Responder& respond) {
           HttpResponse response;
           response.body = request.host;
           respond(std::move(response));
         },
         true},
        {"/hung", [this](const HttpRequest&, Responder r) { held = std::move(r); }, true}};
    server.emplace(HttpServer::Options{.listen = {"127.0.0.1:0"}}, std::move(routes));
    EXPECT_TRUE(server->start().ok());
    base = "http://" + server->addresses().front();
  }
  ~HttpAskTest() override { server->stop(); }

  void ask(HttpAsk ask, Duration timeout = std::chrono::seconds(5)) {
    reply.reset();
    client.ask(
        ++id, ask, now().steady + timeout, [this] { ++connected; },
        [this](Reply r) { reply.emplace(std::move(r)); });
    EXPECT_FALSE(reply.has_value()) << "answered from within ask()";
    const Instant end = now().steady + std::chrono::seconds(10);
    while (!reply && now().steady < end) loop.run_once(now().steady + milliseconds(50));
    ASSERT_TRUE(reply.has_value());
  }
  void expect_reason(Reason reason) {
    ASSERT_FALSE(reply->ok());
    EXPECT_EQ(reason_name(reply->error().reason), reason_name(reason)) << reply->error().message;
  }

  Responder held;
  std::optional<HttpServer> server;
  std::string base;
  Loop loop;
  Resolver resolver{loop};
  HttpClient client{loop, resolver};
  std::optional<Reply> reply;
  AskId id = 0;
  int connected = 0;
};

TEST_F(HttpAskTest, GivesTheBodyAndKeepsTheConnection) {
  for (int i = 0; i < 3; ++i) {
    ask({.url = base + "/ok"});
    ASSERT_TRUE(reply->ok()) << reply->error().message;
    EXPECT_EQ((*reply)->body, "fine");
  }
  EXPECT_EQ(connected, 1);
}

TEST_F(HttpAskTest, StatusIsAReasonAndRedirectsAreNotFollowed) {
  ask({.url = base + "/missing"});
  expect_reason(Reason::kHttpStatus);
  ask({.url = base + "/moved"});
  expect_reason(Reason::kHttpStatus);
  ask({.url = base + "/secret"});
  expect_reason(Reason::kAuth);
}

TEST_F(HttpAskTest, QueriesAreNotToldInMessages) {
  ask({.url = base + "/missing?token=secret"});
  ASSERT_FALSE(reply->ok());
  EXPECT_EQ(reply->error().message, base + "/missing: status 404");
}

TEST_F(HttpAskTest, AnyStatusIsAnAnswerWhereItIsWanted) {
  ask({.url = base + "/missing", .accept = HttpAccept::kAnyStatus});
  ASSERT_TRUE(reply->ok());
  EXPECT_EQ((*reply)->http->status, 404);
  EXPECT_EQ((*reply)->body, "no");
  ask({.url = base + "/secret", .accept = HttpAccept::kAnyStatus});
  ASSERT_TRUE(reply->ok());
  EXPECT_EQ((*reply)->http->status, 401);
}

TEST_F(HttpAskTest, WhateverHappensIsAnAnswerWithItsPhases) {
  ask({.url = base + "/ok", .accept = HttpAccept::kAnything});
  ASSERT_TRUE(reply->ok());
  const HttpDetail& good = *(*reply)->http;
  EXPECT_FALSE(good.failure);
  EXPECT_EQ(good.status, 200);
  EXPECT_EQ(good.version, 1.1);
  EXPECT_TRUE(good.connect && good.processing && good.transfer && good.resolve);
  EXPECT_FALSE(good.tls);
  EXPECT_LE(*good.connect + *good.processing, good.total);

  ask({.url = base + "/hung", .accept = HttpAccept::kAnything}, milliseconds(150));
  ASSERT_TRUE(reply->ok());
  const HttpDetail& hung = *(*reply)->http;
  ASSERT_TRUE(hung.failure);
  EXPECT_EQ(hung.failure->reason, Reason::kHung);
  EXPECT_GE(hung.total, 0.15);
  EXPECT_FALSE(hung.processing) << "no byte came";

  ask({.url = "gopher://x/", .accept = HttpAccept::kAnything});
  ASSERT_TRUE(reply->ok());
  EXPECT_EQ((*reply)->http->failure->reason, Reason::kUnsupported);
}

TEST_F(HttpAskTest, SilenceOnAKeptConnectionIsHungToo) {
  ask({.url = base + "/ok"});
  ASSERT_TRUE(reply->ok());
  ask({.url = base + "/hung"}, milliseconds(150));
  EXPECT_EQ(connected, 1) << "the connection was kept";
  expect_reason(Reason::kHung);
}

TEST_F(HttpAskTest, NamedConnectionIsSharedWithNobody) {
  for (int i = 0; i < 2; ++i) {
    ask({.url = base + "/echo"});
    ask({.url = base + "/echo", .connection = "search"});
    ASSERT_TRUE(reply->ok()) << reply->error().message;
    EXPECT_EQ("http://" + (*reply)->body, base) << "the server is not told the inner name";
  }
  EXPECT_EQ(connected, 2);
  ask({.url = base + "/echo", .fresh_connection = true});
  EXPECT_EQ(connected, 3);
}

// A unix socket whose path may be longer than an address can hold; answers every request alike.
class UnixServer {
 public:
  UnixServer(const std::string& directory, const std::string& answer) : answer_(answer) {
    std::filesystem::create_directories(directory);
    path = directory + "/core_api";
    const UniqueFd at(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string shorter = "/proc/self/fd/" + std::to_string(at.get()) + "/core_api";
    std::copy(shorter.begin(), shorter.end(), address.sun_path);
    fd_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ::listen(fd_.get(), 8);
    thread_ = std::thread([this] { serve(); });
  }
  ~UnixServer() {
    ::shutdown(fd_.get(), SHUT_RDWR);
    thread_.join();
  }

  std::string path;
  std::string request;  // the last; read it after the answer

 private:
  void serve() {
    for (UniqueFd peer; peer = UniqueFd(::accept(fd_.get(), nullptr, nullptr)), peer;) {
      request.clear();
      char buffer[4096];
      for (ssize_t got = 1; request.find("\r\n\r\n") == std::string::npos && got > 0;) {
        got = ::read(peer.get(), buffer, sizeof buffer);
        if (got > 0) request.append(buffer, static_cast<size_t>(got));
      }
      EXPECT_GT(::write(peer.get(), answer_.data(), answer_.size()), 0);
    }
  }
  const std::string answer_;
  UniqueFd fd_;
  std::thread thread_;
};

TEST_F(HttpAskTest, UnixSocketOfAnyLengthIsAsked) {
  const std::string root = testing::TempDir() + "lagwatch-unix-" + std::to_string(getpid());
  for (const size_t length : {size_t{1}, size_t{150}}) {
    const UnixServer unix_server(root + "/" + std::string(length, 'd'),
                                 "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npool");
    for (int i = 0; i < 2; ++i) {
      ask({.url = "http://localhost/pool.xml",
           .unix_socket = unix_server.path,
           .user = "ro_admin",
           .password = "24 characters"});
      ASSERT_TRUE(reply->ok()) << reply->error().message;
      EXPECT_EQ((*reply)->body, "pool");
      EXPECT_TRUE(unix_server.request.starts_with("GET /pool.xml HTTP/1.1\r\n"));
      EXPECT_NE(unix_server.request.find("Authorization: Basic"), std::string::npos);
      EXPECT_EQ(unix_server.request.find("Content-Length"), std::string::npos) << "never a body";
    }
  }
  ask({.url = "http://localhost/", .unix_socket = root + "/nothing"});
  expect_reason(Reason::kRefused);
  EXPECT_NE(reply->error().message.find("no such socket"), std::string::npos);
  std::filesystem::remove_all(root);
}

TEST_F(HttpAskTest, SilenceIsHungAndTheLoopGoesOn) {
  int ticks = 0;
  std::function<void()> tick = [&] {
    ++ticks;
    loop.at(now().steady + milliseconds(5), tick);
  };
  tick();
  ask({.url = base + "/hung"}, milliseconds(200));
  expect_reason(Reason::kHung);
  EXPECT_GT(ticks, 5) << "timers run while libcurl waits";
}

TEST_F(HttpAskTest, BodyOverTheBoundIsTooLarge) {
  ask({.url = base + "/big", .max_bytes = 1000});
  expect_reason(Reason::kTooLarge);
}

TEST_F(HttpAskTest, NobodyListensIsRefused) {
  const std::string gone = base;
  server->stop();
  ask({.url = gone + "/ok"});
  expect_reason(Reason::kRefused);
}

TEST_F(HttpAskTest, PlainHttpIsNoTls) {
  std::string https = base;
  https.replace(0, 4, "https");
  ask({.url = https + "/ok"});
  expect_reason(Reason::kTls);
}

TEST_F(HttpAskTest, WhatIsNoUrlIsUnsupported) {
  ask({.url = "gopher://x/"});
  expect_reason(Reason::kUnsupported);
}

TEST_F(HttpAskTest, MissingPasswordFileIsAuthAndNamesTheFile) {
  ask({.url = base + "/ok", .user = "u", .password_file = "/nonexistent/secret"});
  expect_reason(Reason::kAuth);
  EXPECT_NE(reply->error().message.find("/nonexistent/secret"), std::string::npos);
}

TEST_F(HttpAskTest, CancelledAskIsSilent) {
  bool called = false;
  client.ask(
      99, {.url = base + "/hung"}, now().steady + milliseconds(100), [] {},
      [&](const Reply&) { called = true; });
  for (int i = 0; i < 3; ++i) loop.run_once(now().steady + milliseconds(10));
  client.cancel(99);
  for (int i = 0; i < 10; ++i) loop.run_once(now().steady + milliseconds(20));
  EXPECT_FALSE(called);
}

}  // namespace
}  // namespace lagwatch
