// SPDX-License-Identifier: Apache-2.0
// Clients that say nothing, drip, do not read, or come in masses: nobody else may notice.
#include <gtest/gtest.h>
#include <sys/resource.h>

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
using testing::steady_now;
using namespace std::chrono_literals;

constexpr Duration kNever = 1h;
constexpr Duration kAtOnce = 1s;  // generous: measured are milliseconds

HttpRoute quick() {
  return {"/metrics",
          [](const HttpRequest&, Responder respond) {
            HttpResponse response;
            response.body = "up 1\n";
            respond(std::move(response));
          },
          true};
}

// Answers never, until the test lets go of it.
struct Stuck {
  HttpRoute route() {
    return {"/stuck",
            [this](const HttpRequest&, Responder respond) {
              const std::lock_guard lock(mutex);
              responders.push_back(std::move(respond));
            },
            true};
  }
  size_t count() {
    const std::lock_guard lock(mutex);
    return responders.size();
  }
  std::mutex mutex;
  std::vector<Responder> responders;
};

class SlowClients : public ::testing::Test {
 protected:
  void start(const Connections::Limits& limits, std::vector<HttpRoute> routes = {quick()}) {
    server.emplace(HttpServer::Options{.listen = {"127.0.0.1:0"}, .limits = limits},
                   std::move(routes), stats);
    const Status status = server->start();
    ASSERT_TRUE(status) << status.error().message;
    address = server->addresses()[0];
  }

  void expect_answer_at_once() {
    const Instant start = steady_now();
    EXPECT_EQ(Client(address).get("/metrics").status, 200);
    EXPECT_LT(steady_now() - start, kAtOnce);
  }

  std::shared_ptr<HttpStats> stats = std::make_shared<HttpStats>();
  Stuck stuck;
  std::optional<HttpServer> server;
  std::string address;
};

// Sends bytes of a request that never ends, to all clients in turn, until it is destroyed.
class Dripping {
 public:
  explicit Dripping(std::deque<Client>& clients)
      : thread_([this, &clients] {
          constexpr std::string_view kRequest = "GET /metrics HTTP/1.1\r\nHost: test\r\nX: ";
          for (size_t at = 0; !done_; ++at) {
            const char byte = at < kRequest.size() ? kRequest[at] : 'x';
            for (Client& client : clients) client.send({&byte, 1});
            testing::pause_for(5ms);
          }
        }) {}
  ~Dripping() {
    done_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> done_{false};
  std::thread thread_;
};

TEST_F(SlowClients, SilentOneIsDropped) {
  start({.request = 100ms, .idle = kNever, .answer = kNever});
  Client silent(address);
  EXPECT_TRUE(silent.closed());
  EXPECT_EQ(stats->dropped_silent, 1u);
}

TEST_F(SlowClients, DrippingOneIsDropped) {
  start({.request = 100ms, .idle = kNever, .answer = kNever});
  std::deque<Client> clients;
  clients.emplace_back(address);
  const Dripping dripping(clients);
  EXPECT_TRUE(clients[0].closed());
  EXPECT_EQ(stats->dropped_slow_request, 1u);
  EXPECT_TRUE(eventually([&] { return stats->connections == 0; }));
}

TEST_F(SlowClients, DrippingABodyOrALaterRequestIsNoWayAround) {
  start({.request = 100ms, .idle = kNever, .answer = kNever});
  Client later(address);
  EXPECT_EQ(later.get("/metrics").status, 200);
  later.send("GET /metrics HTTP/1.1\r\n");
  Client body(address);
  body.send("POST /metrics HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\n");
  EXPECT_TRUE(later.closed());
  EXPECT_TRUE(body.closed());
  EXPECT_EQ(stats->dropped_slow_request, 2u);
}

TEST_F(SlowClients, KeptAliveOneStaysUntilItsOwnLimit) {
  start({.request = 20ms, .idle = 400ms, .answer = kNever});
  Client client(address);
  EXPECT_EQ(client.get("/metrics").status, 200);
  const Instant answered = steady_now();
  EXPECT_TRUE(client.closed());
  EXPECT_GE(steady_now() - answered, 350ms);
  EXPECT_EQ(stats->dropped_slow_request, 0u);
}

TEST_F(SlowClients, OneThatDoesNotReadItsAnswerIsDropped) {
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
  start({.request = 50ms, .idle = kNever, .answer = 100ms}, {endless});
  Client client(address);
  client.send("GET /endless HTTP/1.1\r\nHost: test\r\n\r\n");
  EXPECT_TRUE(eventually([&] { return stats->dropped_slow_answer == 1; }));
  EXPECT_TRUE(eventually([&] { return stats->connections == 0; }));
}

TEST_F(SlowClients, AtTheLimitTheOldestSilentOneGoesAndTheKeptAliveStays) {
  start({.count = 4, .request = kNever, .idle = kNever, .answer = kNever});
  Client kept(address);
  EXPECT_EQ(kept.get("/metrics").status, 200);
  Client first(address), second(address), third(address);
  ASSERT_TRUE(eventually([&] { return stats->accepted == 4; }));
  EXPECT_FALSE(first.closed_now());
  expect_answer_at_once();
  EXPECT_TRUE(first.closed());
  EXPECT_FALSE(second.closed_now());
  EXPECT_FALSE(third.closed_now());
  EXPECT_EQ(kept.get("/metrics").status, 200);
  EXPECT_EQ(stats->dropped_limit, 1u);
}

TEST_F(SlowClients, AtTheLimitWithoutSilentOnesTheLongestIdleGoes) {
  start({.count = 3, .request = kNever, .idle = kNever, .answer = kNever});
  std::deque<Client> kept;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(kept.emplace_back(address).get("/metrics").status, 200);
  EXPECT_EQ(kept[0].get("/metrics").status, 200) << "now the second one is the longest idle";
  expect_answer_at_once();
  EXPECT_TRUE(kept[1].closed());
  EXPECT_FALSE(kept[0].closed_now());
}

TEST_F(SlowClients, WhereAllAreBeingAnsweredTheNewOneIsRefused) {
  start({.count = 2, .request = kNever, .idle = kNever, .answer = kNever},
        {quick(), stuck.route()});
  Client a(address), b(address);
  for (Client* client : {&a, &b}) client->send("GET /stuck HTTP/1.1\r\nHost: test\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return stuck.count() == 2; }));
  Client refused(address);
  EXPECT_TRUE(refused.closed());
  for (const Responder& responder : stuck.responders) responder({});
  EXPECT_EQ(a.read_reply().status, 200);
  EXPECT_EQ(b.read_reply().status, 200);
  expect_answer_at_once();
}

// Both ends of a socket that has nothing to do with the server.
struct Bystander {
  Bystander() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    a.reset(ends[0]);
    b.reset(ends[1]);
  }
  bool alive() const {
    return ::send(a.get(), "x", 1, MSG_NOSIGNAL) == 1 && ::send(b.get(), "x", 1, MSG_NOSIGNAL) == 1;
  }
  UniqueFd a, b;
};

// Numbers of closed connections go to other files at once; those must never be shut down.
TEST_F(SlowClients, OtherFilesAreNeverTouched) {
  start({.count = 25, .request = 20ms, .idle = 20ms, .answer = 20ms});
  uint64_t connected = 0;
  for (int round = 0; round < 20; ++round) {
    std::deque<Client> clients;
    for (int i = 0; i < 30; ++i) {
      Client& client = clients.emplace_back(address);
      if (i % 3 == 0) client.send("GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n");
      if (i % 3 == 1) client.send("G");
    }
    connected += 30;
    ASSERT_TRUE(eventually([&] { return stats->accepted == connected; }));
    clients.clear();
    // They get the numbers that the server is just closing, and outlive the limits of those
    // connections.
    std::deque<Bystander> bystanders;
    for (int i = 0; i < 30; ++i) {
      bystanders.emplace_back();
      if (i % 10 == 9) testing::pause_for(1ms);
    }
    testing::pause_for(50ms);
    for (const Bystander& bystander : bystanders) EXPECT_TRUE(bystander.alive());
  }
  EXPECT_TRUE(eventually([&] { return stats->connections == 0; }));
}

// Sets the soft limit of descriptors back at the end.
class DescriptorLimit {
 public:
  DescriptorLimit() { getrlimit(RLIMIT_NOFILE, &before_); }
  ~DescriptorLimit() { setrlimit(RLIMIT_NOFILE, &before_); }
  void set(rlim_t soft) {
    rlimit limit = before_;
    limit.rlim_cur = std::min(soft, before_.rlim_max);
    setrlimit(RLIMIT_NOFILE, &limit);
  }

 private:
  rlimit before_{};
};

TEST_F(SlowClients, WithoutDescriptorsAcceptingPausesAndGoesOn) {
  start({.request = kNever, .idle = kNever, .answer = kNever});
  DescriptorLimit limit;
  std::vector<UniqueFd> sockets;  // made now: later there are no numbers left
  for (int i = 0; i < 3; ++i) sockets.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  UniqueFd next(dup(STDERR_FILENO));
  const auto lowest_free = static_cast<rlim_t>(next.get());
  next.reset();
  limit.set(lowest_free);
  const Instant begin = steady_now();
  Client first(address, std::move(sockets[0]));
  EXPECT_TRUE(eventually([&] { return stats->accept_failures >= 3; }));
  EXPECT_LE(stats->accept_failures, static_cast<uint64_t>((steady_now() - begin) / 50ms) + 1)
      << "accepting again at once would spin";
  limit.set(lowest_free + 2);
  Client second(address, std::move(sockets[1]));
  ASSERT_TRUE(eventually([&] { return stats->accepted == 2; }));
  Client third(address, std::move(sockets[2]));
  EXPECT_EQ(third.get("/metrics").status, 200);
  EXPECT_TRUE(first.closed()) << "the oldest makes room";
  EXPECT_FALSE(second.closed_now());
  limit.set(4096);
  expect_answer_at_once();
}

TEST_F(SlowClients, NineHundredSilentAndTwoHundredDrippingClientsHinderNobody) {
  DescriptorLimit limit;
  limit.set(8192);
  const size_t before = testing::open_descriptors();
  start({.request = 1s, .idle = kNever, .answer = kNever});
  const size_t idle_server = testing::open_descriptors();
  {
    Client kept(address);
    EXPECT_EQ(kept.get("/metrics").status, 200);
    std::deque<Client> silent;
    for (int i = 0; i < 900; ++i) ASSERT_TRUE(silent.emplace_back(address).connected());
    expect_answer_at_once();
    std::deque<Client> dripping;
    for (int i = 0; i < 200; ++i) ASSERT_TRUE(dripping.emplace_back(address).connected());
    {
      const Dripping running(dripping);
      const Instant end = steady_now() + 2s;  // beyond the limit of a request
      int answered = 0;
      while (steady_now() < end) {
        expect_answer_at_once();
        EXPECT_EQ(kept.get("/metrics").status, 200);
        ++answered;
      }
      EXPECT_GT(answered, 20);
      for (Client& client : dripping) EXPECT_TRUE(client.closed());
      for (Client& client : silent) EXPECT_TRUE(client.closed());
    }
    EXPECT_LE(stats->connections, 2u);
    EXPECT_GE(stats->accepted, 1100u);
    EXPECT_GT(stats->dropped_limit, 0u);
  }
  EXPECT_TRUE(eventually([&] { return testing::open_descriptors() == idle_server; }));
  server.reset();
  EXPECT_EQ(testing::open_descriptors(), before);
}

}  // namespace
}  // namespace lagwatch
