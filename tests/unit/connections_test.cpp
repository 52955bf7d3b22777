// SPDX-License-Identifier: Apache-2.0
// Which connection is overdue and which goes first, on invented time.
#include "expose/connections.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <vector>

#include "base/fd.h"

namespace lagwatch {
namespace {

using namespace std::chrono_literals;

// Two ends of a connection: the server's, and the one that sees whether it was shut down.
struct Pair {
  Pair() {
    std::array<int, 2> ends{};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
    server.reset(ends[0]);
    client.reset(ends[1]);
  }
  int fd() const { return server.get(); }
  bool shut() const {
    char byte = 0;
    return recv(client.get(), &byte, 1, MSG_DONTWAIT) == 0;
  }
  UniqueFd server;
  UniqueFd client;
};

class ConnectionsTest : public ::testing::Test {
 protected:
  Instant at(Duration since_start) const { return Instant{} + 1h + since_start; }

  // A connection in its first request.
  void start(const Pair& pair, Duration when) {
    connections.add(pair.fd(), at(when));
    connections.hand_over(pair.fd(), at(when));
    connections.started(pair.fd(), at(when));
  }
  // One that had a whole request and an answer.
  void make_idle(const Pair& pair, Duration when) {
    start(pair, when);
    connections.request_begun(pair.fd(), at(when));
    connections.request_complete(pair.fd(), at(when));
    connections.answered(pair.fd(), at(when));
  }

  HttpStats stats;
  Connections connections{{.count = 2, .request = 5s, .idle = 120s, .answer = 60s}, stats};
};

using Fds = std::vector<int>;

TEST_F(ConnectionsTest, SilentOneIsForTheAcceptorToClose) {
  Pair a;
  connections.add(a.fd(), at(0s));
  EXPECT_EQ(connections.end_overdue(at(4999ms)), Fds{});
  EXPECT_EQ(connections.end_overdue(at(5s)), Fds{a.fd()});
  EXPECT_FALSE(a.shut());
  EXPECT_TRUE(connections.empty());
  EXPECT_EQ(stats.dropped_silent, 1u);
}

TEST_F(ConnectionsTest, SlowFirstRequestIsShutDownAndStaysKnownUntilClosed) {
  Pair a;
  start(a, 0s);
  connections.request_begun(a.fd(), at(4s));
  EXPECT_EQ(connections.end_overdue(at(4999ms)), Fds{});
  EXPECT_FALSE(a.shut());
  EXPECT_EQ(connections.end_overdue(at(5s)), Fds{}) << "it is not the acceptor's any more";
  EXPECT_TRUE(a.shut());
  EXPECT_FALSE(connections.empty());
  connections.closed(a.fd());
  EXPECT_TRUE(connections.empty());
  EXPECT_EQ(stats.dropped_slow_request, 1u);
}

TEST_F(ConnectionsTest, OneOnItsWayIsNeverShutDown) {
  Pair a;
  connections.add(a.fd(), at(0s));
  connections.hand_over(a.fd(), at(0s));
  EXPECT_EQ(connections.evict(-1).has_value(), false);
  EXPECT_EQ(connections.end_overdue(at(10s)), Fds{});
  EXPECT_FALSE(a.shut());
  connections.started(a.fd(), at(11s));
  EXPECT_FALSE(connections.empty()) << "it was alive after all";
  connections.end_overdue(at(16s));
  EXPECT_TRUE(a.shut());
}

TEST_F(ConnectionsTest, EachStateHasItsOwnLimit) {
  Pair idle, reading, answering;
  make_idle(idle, 0s);
  make_idle(reading, 0s);
  connections.request_begun(reading.fd(), at(50s));
  start(answering, 0s);
  connections.request_complete(answering.fd(), at(1s));
  connections.end_overdue(at(54s));
  EXPECT_FALSE(reading.shut());
  connections.end_overdue(at(55s));
  EXPECT_TRUE(reading.shut());
  connections.end_overdue(at(60s));
  EXPECT_FALSE(answering.shut());
  connections.end_overdue(at(61s));
  EXPECT_TRUE(answering.shut());
  EXPECT_FALSE(idle.shut());
  connections.end_overdue(at(120s));
  EXPECT_TRUE(idle.shut());
  EXPECT_EQ(stats.dropped_slow_request, 1u);
  EXPECT_EQ(stats.dropped_slow_answer, 1u);
  EXPECT_EQ(stats.dropped_silent, 0u) << "an idle one that goes is no loss";
}

TEST_F(ConnectionsTest, OldestWithoutAWholeRequestGoesFirstThenTheLongestIdle) {
  Pair idle, late_idle, first, silent, answering, spared;
  make_idle(idle, 0s);
  make_idle(late_idle, 1s);
  start(answering, 0s);
  connections.request_complete(answering.fd(), at(0s));
  start(first, 2s);
  connections.add(silent.fd(), at(3s));
  connections.add(spared.fd(), at(4s));
  EXPECT_FALSE(connections.evict(spared.fd())->to_close.has_value());
  EXPECT_TRUE(first.shut());
  EXPECT_EQ(connections.evict(spared.fd())->to_close, silent.fd());
  EXPECT_TRUE(connections.evict(spared.fd()).has_value());
  EXPECT_TRUE(idle.shut());
  EXPECT_FALSE(late_idle.shut());
  EXPECT_TRUE(connections.evict(spared.fd()).has_value());
  EXPECT_TRUE(late_idle.shut());
  EXPECT_FALSE(connections.evict(spared.fd()).has_value());
  EXPECT_FALSE(answering.shut());
  EXPECT_EQ(stats.dropped_limit, 4u);
}

TEST_F(ConnectionsTest, WhatIsBeingClosedMakesRoomAtOnce) {
  Pair a, b, c;
  start(a, 0s);
  start(b, 1s);
  EXPECT_FALSE(connections.too_many());
  connections.add(c.fd(), at(2s));
  EXPECT_TRUE(connections.too_many());
  connections.evict(c.fd());
  EXPECT_FALSE(connections.too_many());
  EXPECT_EQ(stats.connections, 3u);
  connections.answered(a.fd(), at(2s));  // libmicrohttpd's last word on it
  connections.closed(a.fd());
  EXPECT_FALSE(connections.too_many());
  EXPECT_EQ(stats.connections, 2u);
  connections.closed(a.fd());
  EXPECT_EQ(stats.connections, 2u);
}

TEST_F(ConnectionsTest, LeftoverOfALostNumberIsReplaced) {
  Pair a;
  connections.add(a.fd(), at(0s));
  connections.hand_over(a.fd(), at(0s));  // libmicrohttpd ran out of memory and closed it
  connections.add(a.fd(), at(1s));        // the kernel gives the number to the next one
  EXPECT_EQ(stats.connections, 1u);
  EXPECT_EQ(connections.end_overdue(at(6s)), Fds{a.fd()});
}

}  // namespace
}  // namespace lagwatch
