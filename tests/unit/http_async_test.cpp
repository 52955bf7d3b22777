// SPDX-License-Identifier: Apache-2.0
// Answers that come later, from elsewhere, twice, never, or while everything stops.
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "expose/http_server.h"
#include "http_client.h"

namespace lagwatch {
namespace {

using testing::Client;
using testing::eventually;
using testing::Reply;
using namespace std::chrono_literals;

HttpResponse text(std::string body) {
  HttpResponse response;
  response.body = std::move(body);
  return response;
}

// Keeps the responders of a route for the test to call.
class Held {
 public:
  HttpHandler handler() {
    return [this](const HttpRequest&, Responder responder) {
      const std::lock_guard lock(mutex_);
      responders_.push_back(std::move(responder));
    };
  }
  size_t count() {
    const std::lock_guard lock(mutex_);
    return responders_.size();
  }
  Responder take() {
    const std::lock_guard lock(mutex_);
    Responder first = std::move(responders_.front());
    responders_.pop_front();
    return first;
  }
  Responder wait() {
    EXPECT_TRUE(eventually([this] { return count() > 0; }));
    return take();
  }

 private:
  std::mutex mutex_;
  std::deque<Responder> responders_;
};

HttpServer::Options local() { return {.listen = {"127.0.0.1:0"}, .limits = {}}; }

HttpRoute quick() {
  return {"/quick", [](const HttpRequest&, Responder respond) { respond(text("quick")); }, true};
}

void ask(Client& client, const std::string& path) {
  client.send("GET " + path + " HTTP/1.1\r\nHost: test\r\n\r\n");
}

TEST(HttpAsync, AnswerComesFromAnotherThread) {
  Held held;
  HttpServer server(local(), {{"/later", held.handler(), true}, quick()});
  ASSERT_TRUE(server.start());
  Client client(server.addresses()[0]);
  for (int i = 0; i < 3; ++i) {
    ask(client, "/later");
    const Responder responder = held.wait();
    EXPECT_EQ(Client(server.addresses()[0]).get("/quick").body, "quick") << "nobody else waits";
    std::thread([&] { responder(text("later")); }).join();
    EXPECT_EQ(client.read_reply().body, "later") << "on the same connection each time";
  }
}

TEST(HttpAsync, ManySuspendedRequestsKeepNobodyWaiting) {
  Held held;
  HttpServer server(local(), {{"/later", held.handler(), true}, quick()});
  ASSERT_TRUE(server.start());
  std::deque<Client> clients;
  for (int i = 0; i < 40; ++i) ask(clients.emplace_back(server.addresses()[0]), "/later");
  ASSERT_TRUE(eventually([&] { return held.count() == 40; }));
  const Instant start = testing::steady_now();
  EXPECT_EQ(Client(server.addresses()[0]).get("/quick").body, "quick");
  EXPECT_LT(testing::steady_now() - start, 1s);
  for (int i = 0; i < 40; ++i) held.take()(text("later"));
  for (Client& client : clients) EXPECT_EQ(client.read_reply().body, "later");
}

// The answer may come before, while and after the connection is suspended.
TEST(HttpAsync, RaceOfAnswerAndSuspendIsAlwaysWon) {
  Held held;
  HttpServer server(local(), {{"/later", held.handler(), true}});
  ASSERT_TRUE(server.start());
  std::atomic<bool> done{false};
  std::thread answering([&] {
    while (!done) {
      if (held.count() > 0) held.take()(text("later"));
    }
  });
  std::vector<std::thread> asking;
  std::atomic<int> answered{0};
  for (int i = 0; i < 4; ++i) {
    asking.emplace_back([&] {
      Client client(server.addresses()[0]);
      for (int n = 0; n < 300; ++n) answered += client.get("/later").body == "later" ? 1 : 0;
    });
  }
  for (std::thread& thread : asking) thread.join();
  done = true;
  answering.join();
  EXPECT_EQ(answered, 1200);
}

TEST(HttpAsync, OnlyTheFirstAnswerCounts) {
  Held held;
  HttpRoute twice = {"/twice",
                     [](const HttpRequest&, Responder respond) {
                       respond(text("first"));
                       respond(text("second"));
                     },
                     true};
  HttpServer server(local(), {{"/later", held.handler(), true}, twice});
  ASSERT_TRUE(server.start());
  Client client(server.addresses()[0]);
  EXPECT_EQ(client.get("/twice").body, "first");
  ask(client, "/later");
  const Responder responder = held.wait();
  responder(text("first"));
  responder(text("second"));
  EXPECT_EQ(client.read_reply().body, "first");
  responder(text("third"));
  EXPECT_EQ(client.get("/twice").body, "first") << "no answer was left over";
}

TEST(HttpAsync, LostResponderIsA500) {
  Held held;
  HttpRoute lost = {"/lost", [](const HttpRequest&, Responder) {}, true};
  HttpServer server(local(), {lost, {"/later", held.handler(), true}});
  ASSERT_TRUE(server.start());
  Client client(server.addresses()[0]);
  EXPECT_EQ(client.get("/lost").status, 500);
  ask(client, "/later");
  held.wait() = nullptr;
  const Reply reply = client.read_reply();
  EXPECT_EQ(reply.status, 500);
  EXPECT_NE(reply.body.find("lost the answer"), std::string::npos);
}

TEST(HttpAsync, ThrowingAfterTheAnswerChangesNothing) {
  HttpRoute late = {"/late",
                    [](const HttpRequest&, Responder respond) {
                      respond(text("answered"));
                      throw std::runtime_error("late");
                    },
                    true};
  HttpServer server(local(), {late});
  ASSERT_TRUE(server.start());
  EXPECT_EQ(Client(server.addresses()[0]).get("/late").body, "answered");
}

TEST(HttpAsync, ClientThatLeftWhileSuspendedIsCleanedUp) {
  Held held;
  const auto stats = std::make_shared<HttpStats>();
  HttpServer server(local(), {{"/later", held.handler(), true}, quick()}, stats);
  ASSERT_TRUE(server.start());
  Client client(server.addresses()[0]);
  ask(client, "/later");
  const Responder responder = held.wait();
  client.close();
  responder(text("too late"));
  EXPECT_TRUE(eventually([&] { return stats->connections == 0; }));
  EXPECT_EQ(Client(server.addresses()[0]).get("/quick").body, "quick");
}

TEST(HttpAsync, StopAnswersTheSuspendedAndIsQuick) {
  Held held;
  const auto stats = std::make_shared<HttpStats>();
  HttpServer server(local(), {{"/later", held.handler(), true}}, stats);
  ASSERT_TRUE(server.start());
  std::deque<Client> clients;
  for (int i = 0; i < 20; ++i) ask(clients.emplace_back(server.addresses()[0]), "/later");
  Client silent(server.addresses()[0]);
  ASSERT_TRUE(eventually([&] { return held.count() == 20 && stats->connections == 21; }));
  const Instant start = testing::steady_now();
  server.stop();
  EXPECT_LT(testing::steady_now() - start, 1s);
  for (Client& client : clients) {
    const Reply reply = client.read_reply();
    EXPECT_EQ(reply.status, 503);
    EXPECT_EQ(reply.body, "lagwatch is stopping.\n");
  }
  EXPECT_TRUE(silent.closed());
  EXPECT_EQ(stats->connections, 0u);
}

TEST(HttpAsync, StopDoesNotWaitForAClientThatDoesNotRead) {
  class Endless : public BodySource {
    void next(std::string& chunk) override { chunk.assign(65536, 'x'); }
  };
  HttpRoute endless = {"/endless",
                       [](const HttpRequest&, Responder respond) {
                         HttpResponse response;
                         response.source = std::make_unique<Endless>();
                         respond(std::move(response));
                       },
                       true};
  const auto stats = std::make_shared<HttpStats>();
  HttpServer server(local(), {endless}, stats);
  ASSERT_TRUE(server.start());
  Client client(server.addresses()[0]);
  ask(client, "/endless");
  ASSERT_TRUE(eventually([&] { return stats->routes[0].by_status[0] == 1; }));
  const Instant start = testing::steady_now();
  server.stop();
  EXPECT_LT(testing::steady_now() - start, 1s);
}

TEST(HttpAsync, ResponderOutlivesTheServer) {
  Held held;
  std::optional<HttpServer> server(std::in_place, local(),
                                   std::vector<HttpRoute>{{"/later", held.handler(), true}});
  ASSERT_TRUE(server->start());
  Client client(server->addresses()[0]);
  ask(client, "/later");
  Responder responder = held.wait();
  server.reset();
  responder(text("to nobody"));
  responder = nullptr;
  EXPECT_EQ(client.read_reply().status, 503);
}

// Answers, requests and the stop all at once.
TEST(HttpAsync, StopInTheMiddleOfEverythingIsClean) {
  for (int round = 0; round < 10; ++round) {
    Held held;
    HttpServer server(local(), {{"/later", held.handler(), true}, quick()});
    ASSERT_TRUE(server.start());
    const std::string address = server.addresses()[0];
    std::atomic<bool> done{false};
    std::atomic<int> asked{0};
    std::thread answering([&] {
      while (!done) {
        if (held.count() > 2) held.take()(text("later"));
      }
    });
    std::vector<std::thread> asking;
    for (int i = 0; i < 3; ++i) {
      asking.emplace_back([&, i] {
        while (!done) {
          Client client(address);
          if (!client.connected()) return;
          ask(client, i == 0 ? "/quick" : "/later");
          ++asked;
          client.closed(1ms);
        }
      });
    }
    EXPECT_TRUE(eventually([&] { return asked > 30; }));
    const Instant start = testing::steady_now();
    server.stop();
    EXPECT_LT(testing::steady_now() - start, 1s);
    done = true;
    for (std::thread& thread : asking) thread.join();
    answering.join();
  }
}

TEST(HttpAsync, ServerThatNeverStartedStops) {
  HttpServer server({.listen = {"nowhere"}, .limits = {}}, {quick()});
  EXPECT_FALSE(server.start());
  server.stop();
}

}  // namespace
}  // namespace lagwatch
