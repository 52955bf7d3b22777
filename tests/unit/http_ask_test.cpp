// SPDX-License-Identifier: Apache-2.0
// HTTP asks against a real server: the answer, or the right reason.
#include <gtest/gtest.h>

#include <optional>

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
