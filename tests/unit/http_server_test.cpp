// SPDX-License-Identifier: Apache-2.0
// The HTTP server's answers, over real sockets: routes, methods, headers, bodies, addresses.
#include "expose/http_server.h"

#include <gtest/gtest.h>
#include <ifaddrs.h>

#include <array>
#include <stdexcept>
#include <vector>

#include "expose/address.h"
#include "expose/request_target.h"
#include "http_client.h"

namespace lagwatch {
namespace {

using testing::Client;
using testing::Reply;
using namespace std::chrono_literals;

HttpRoute text_route(std::string path, std::string text, bool is_public = true) {
  return {std::move(path),
          [text](const HttpRequest&, Responder respond) {
            HttpResponse response;
            response.body = text;
            respond(std::move(response));
          },
          is_public};
}

// Tells the request back: what a handler sees.
void echo(const HttpRequest& request, Responder respond) {
  HttpResponse response;
  response.body = request.method + " " + request.path;
  for (const auto& [key, value] : request.query) response.body += "|" + key + "=" + value;
  response.body += "|host:" + request.host + "|accept:" + request.accept;
  response.body += "|encoding:" + request.accept_encoding;
  respond(std::move(response));
}

// `pieces` pieces of 64 KiB, of which the last may fail.
class Pieces : public BodySource {
 public:
  explicit Pieces(int pieces, bool fails = false) : left_(pieces), fails_(fails) {}
  void next(std::string& chunk) override {
    if (left_ == 0 && fails_) throw std::runtime_error("no more");
    chunk.assign(left_ == 0 ? 0 : 65536, static_cast<char>('a' + left_ % 26));
    if (left_ > 0) --left_;
  }

 private:
  int left_;
  bool fails_;
};

HttpRoute stream_route(std::string path, int pieces, bool fails = false) {
  return {std::move(path),
          [pieces, fails](const HttpRequest&, Responder respond) {
            HttpResponse response;
            response.source = std::make_unique<Pieces>(pieces, fails);
            respond(std::move(response));
          },
          true};
}

// A server on a free port of 127.0.0.1.
class Served {
 public:
  explicit Served(std::vector<HttpRoute> routes, std::string listen = "127.0.0.1:0")
      : server({.listen = {std::move(listen)}, .limits = {}}, std::move(routes), stats) {
    const Status status = server.start();
    EXPECT_TRUE(status) << (status ? "" : status.error().message);
  }
  const std::string& address() const { return server.addresses().front(); }

  std::shared_ptr<HttpStats> stats = std::make_shared<HttpStats>();
  HttpServer server;
};

TEST(HttpServer, KnownPathIsAnswered) {
  Served served({text_route("/metrics", "up 1\n")});
  Client client(served.address());
  const Reply reply = client.get("/metrics");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "up 1\n");
  EXPECT_EQ(reply.header("content-length"), "5");
}

TEST(HttpServer, EveryAnswerForbidsSniffingAndCaching) {
  HttpRoute dated = {"/dated",
                     [](const HttpRequest&, Responder respond) {
                       HttpResponse response;
                       response.headers.emplace_back("Cache-Control", "max-age=60");
                       respond(std::move(response));
                     },
                     true};
  Served served({text_route("/metrics", ""), dated});
  Client client(served.address());
  for (const char* path : {"/metrics", "/nothing"}) {
    const Reply reply = client.get(path);
    EXPECT_EQ(reply.header("x-content-type-options"), "nosniff") << path;
    EXPECT_EQ(reply.header("cache-control"), "no-store") << path;
    EXPECT_EQ(reply.header("content-type"), "text/plain; charset=utf-8") << path;
  }
  EXPECT_EQ(client.get("/dated").header("cache-control"), "max-age=60");
}

TEST(HttpServer, UnknownPathIsA404WithASentence) {
  Served served({text_route("/metrics", "x"), text_route("/-/healthy", "x"),
                 text_route("/secret", "x", false)});
  Client client(served.address());
  for (const char* path : {"/nothing", "/metrics/", "/metrics/x", "/Metrics", "/metrics%00", "/"}) {
    const Reply reply = client.get(path);
    EXPECT_EQ(reply.status, 404) << path;
    EXPECT_EQ(reply.body, "There is nothing here. lagwatch serves /metrics, /-/healthy.\n");
  }
}

TEST(HttpServer, RequestReachesTheHandlerDecoded) {
  Served served({{"/a b", &echo, true}});
  Client client(served.address());
  const Reply reply =
      client.request("GET", "/a%20b?z=%26+1&a&z=2&&=x&bad=%zz",
                     "Accept: text/plain\r\nAccept: text/html;q=0.5\r\nAccept-Encoding: gzip\r\n");
  EXPECT_EQ(reply.body,
            "GET /a b|z=& 1|a=|z=2|=x|bad=%zz|host:test|accept:text/plain, text/html;q=0.5|"
            "encoding:gzip");
}

TEST(HttpServer, AbsoluteFormCountsAsItsPath) {
  Served served({text_route("/metrics", "yes")});
  Client client(served.address());
  EXPECT_EQ(client.get("http://elsewhere:80/metrics?x").body, "yes");
}

TEST(HttpServer, OtherMethodIsA405WithAllow) {
  Served served({text_route("/metrics", "x")});
  Client client(served.address());
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "BREW"}) {
    const Reply reply = client.request(method, "/metrics", "Content-Length: 2\r\n", "hi");
    EXPECT_EQ(reply.status, 405) << method;
    EXPECT_EQ(reply.header("allow"), "GET, HEAD");
    EXPECT_EQ(reply.body, "This path answers GET and HEAD only.\n");
  }
  EXPECT_EQ(client.get("/metrics").status, 200) << "the bodies were read, the connection lives";
}

TEST(HttpServer, HeadAnswersTheHeadersOfGetWithoutABody) {
  Served served({text_route("/metrics", "12345")});
  Client client(served.address());
  const Reply reply = client.request("HEAD", "/metrics");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.header("content-length"), "5");
  EXPECT_EQ(client.get("/metrics").body, "12345") << "no byte of a body came in between";
}

TEST(HttpServer, HeadOfAStreamHasNoLengthAndNoByteOfABody) {
  Served served({stream_route("/stream", 2)});
  Client client(served.address());
  const Reply reply = client.request("HEAD", "/stream");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.count("content-length"), 0u);
  EXPECT_EQ(client.read_rest(), "");
}

TEST(HttpServer, StreamedBodyArrivesWhole) {
  Served served({stream_route("/stream", 100)});
  Client client(served.address());
  std::string expected;
  for (int left = 100; left > 0; --left) expected.append(65536, static_cast<char>('a' + left % 26));
  for (int i = 0; i < 2; ++i) {
    const Reply reply = client.get("/stream");
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.header("transfer-encoding"), "chunked");
    EXPECT_TRUE(reply.body == expected);
  }
}

TEST(HttpServer, EmptyStreamIsAnEmptyBody) {
  Served served({stream_route("/stream", 0)});
  Client client(served.address());
  EXPECT_EQ(client.get("/stream").status, 200);
  EXPECT_EQ(client.get("/stream").body, "");
}

TEST(HttpServer, StreamThatFailsIsSeenToBeCutOff) {
  Served served({stream_route("/stream", 2, true), text_route("/metrics", "x")});
  Client client(served.address());
  EXPECT_EQ(client.get("/stream").status, 0);
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(Client(served.address()).get("/metrics").status, 200);
}

TEST(HttpServer, Http10ClientGetsAStreamThatEndsWithTheConnection) {
  Served served({stream_route("/stream", 2)});
  Client client(served.address());
  client.send("GET /stream HTTP/1.0\r\n\r\n");
  const Reply reply = client.read_reply();
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body.size(), 2u * 65536);
}

TEST(HttpServer, TooLargeBodyIsRefusedUnread) {
  Served served({text_route("/metrics", "x")});
  Client announced(served.address());
  EXPECT_EQ(announced.request("POST", "/metrics", "Content-Length: 70000\r\n").status, 413);
  EXPECT_TRUE(announced.closed());
  Client chunked(served.address());
  chunked.send("POST /metrics HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 10; ++i) chunked.send("2000\r\n" + std::string(0x2000, 'x') + "\r\n");
  EXPECT_TRUE(chunked.closed());
  EXPECT_EQ(Client(served.address()).get("/metrics").status, 200);
}

TEST(HttpServer, PipelinedRequestsAreAnsweredInOrder) {
  Served served({text_route("/a", "first"), stream_route("/b", 3), text_route("/c", "third")});
  Client client(served.address());
  const std::string rest = " HTTP/1.1\r\nHost: test\r\n\r\n";
  client.send("GET /a" + rest + "GET /b" + rest + "GET /c" + rest);
  EXPECT_EQ(client.read_reply().body, "first");
  EXPECT_EQ(client.read_reply().body.size(), 3u * 65536);
  EXPECT_EQ(client.read_reply().body, "third");
}

TEST(HttpServer, ClientThatSaysNoMoreIsAnsweredStill) {
  Served served({text_route("/metrics", "x")});
  Client client(served.address());
  client.send("GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n");
  shutdown(client.fd(), SHUT_WR);
  EXPECT_EQ(client.read_reply().body, "x");
}

TEST(HttpServer, RequestWithoutAPathIsNoTrouble) {
  Served served({text_route("/metrics", "x")});
  for (const char* line : {"GET", "GET ", "GET  HTTP/1.1", " ", "\r\n\r\n", "GET ? HTTP/1.1"}) {
    Client client(served.address());
    client.send(std::string(line) + "\r\nHost: test\r\nConnection: close\r\n\r\n");
    shutdown(client.fd(), SHUT_WR);
    EXPECT_TRUE(client.closed()) << line;
  }
  EXPECT_EQ(Client(served.address()).get("/metrics").status, 200);
}

TEST(HttpServer, TooLongRequestIsRefused) {
  Served served({text_route("/metrics", "x")});
  Client line(served.address());
  EXPECT_EQ(line.get("/" + std::string(100000, 'a')).status, 414);
  Client header(served.address());
  EXPECT_EQ(header.request("GET", "/metrics", "X: " + std::string(100000, 'a') + "\r\n").status,
            431);
}

TEST(HttpServer, HandlerThatThrowsIsA500AndTheServerLives) {
  HttpRoute broken = {
      "/broken", [](const HttpRequest&, Responder) { throw std::runtime_error("out of luck"); },
      true};
  HttpRoute odd = {"/odd", [](const HttpRequest&, Responder) { throw 7; }, true};
  Served served({broken, odd, text_route("/metrics", "x")});
  Client client(served.address());
  const Reply reply = client.get("/broken");
  EXPECT_EQ(reply.status, 500);
  EXPECT_EQ(reply.body,
            "lagwatch failed to answer this request. This is a bug: please report it. "
            "Its cause: out of luck\n");
  EXPECT_EQ(client.get("/odd").status, 500);
  EXPECT_EQ(client.get("/metrics").status, 200);
}

// An address of this host that is not loopback, or nothing.
std::string far_address(const std::string& port) {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return "";
  std::string found;
  for (const ifaddrs* it = all; it != nullptr && found.empty(); it = it->ifa_next) {
    if (it->ifa_addr == nullptr || it->ifa_addr->sa_family != AF_INET) continue;
    char host[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(it->ifa_addr)->sin_addr, host,
              sizeof host);
    if (!is_loopback(*it->ifa_addr)) found = std::string(host) + ":" + port;
  }
  freeifaddrs(all);
  return found;
}

TEST(HttpServer, PrivatePathIsForbiddenOffLoopback) {
  HttpRoute broken = {
      "/broken", [](const HttpRequest&, Responder) { throw std::runtime_error("secret"); }, true};
  Served served({text_route("/", "private", false), text_route("/metrics", "public"), broken},
                "0.0.0.0:0");
  const std::string port = served.address().substr(served.address().rfind(':') + 1);
  EXPECT_EQ(Client("127.0.0.1:" + port).get("/").body, "private");
  const std::string far = far_address(port);
  if (far.empty()) GTEST_SKIP() << "this host has loopback addresses only";
  Client client(far);
  const Reply reply = client.get("/");
  EXPECT_EQ(reply.status, 403);
  EXPECT_NE(reply.body.find("on the host of lagwatch only"), std::string::npos);
  EXPECT_EQ(client.get("/metrics").body, "public");
  EXPECT_EQ(client.get("/broken").body.find("secret"), std::string::npos);
}

TEST(HttpServer, RequestsAreCountedByRouteAndStatus) {
  Served served({text_route("/metrics", "x"), text_route("/sd", "x")});
  Client client(served.address());
  client.get("/metrics");
  client.get("/metrics");
  client.request("POST", "/sd");
  client.get("/anything");
  std::map<std::pair<std::string, int>, uint64_t> counts;
  served.stats->for_each_request([&](const std::string& path, int status, uint64_t count) {
    counts[{path, status}] = count;
  });
  const std::map<std::pair<std::string, int>, uint64_t> expected = {
      {{"/metrics", 200}, 2}, {{"/sd", 405}, 1}, {{"", 404}, 1}};
  EXPECT_EQ(counts, expected);
  EXPECT_EQ(served.stats->accepted.load(), 1u);
  EXPECT_EQ(served.stats->connections.load(), 1u);
}

TEST(Address, EmptyHostIsBothFamiliesOnOnePort) {
  const Result<std::vector<Listener>> listeners = listen_on({":0"});
  ASSERT_TRUE(listeners.ok());
  const std::string& v4 = listeners->back().address;
  EXPECT_EQ(v4.substr(0, 8), "0.0.0.0:");
  if (listeners->size() == 1) GTEST_SKIP() << "this host has no IPv6";
  EXPECT_EQ(listeners->front().address, "[::]:" + v4.substr(8));
}

TEST(Address, ServesIPv6) {
  Served served({text_route("/metrics", "x")}, "localhost:0");
  for (const std::string& address : served.server.addresses()) {
    EXPECT_EQ(Client(address).get("/metrics").status, 200) << address;
  }
}

TEST(Address, PortInUseSaysWhoToAsk) {
  const Result<std::vector<Listener>> first = listen_on({"127.0.0.1:0"});
  ASSERT_TRUE(first.ok());
  const std::string& address = first->front().address;
  const Result<std::vector<Listener>> second = listen_on({address});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().message, "cannot listen on " + address + ": Address already in use");
  const std::string port = address.substr(address.rfind(':') + 1);
  EXPECT_EQ(second.error().fix, "Another process listens there: `ss -ltnp 'sport = :" + port +
                                    "'` names it. Stop it, or choose another port with "
                                    "--web.listen-address.");
}

TEST(Address, WhatIsNoAddressIsRefused) {
  for (const char* text : {"", "10093", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:80",
                           "[::1]", "[::1:80", "example.org:80", "127.1:80", ":-1", ": 80"}) {
    const Result<std::vector<Listener>> result = listen_on({text});
    ASSERT_FALSE(result.ok()) << text;
    EXPECT_NE(result.error().message.find("is no address"), std::string::npos) << text;
  }
  const Result<std::vector<Listener>> stranger = listen_on({"192.0.2.1:0"});
  ASSERT_FALSE(stranger.ok());
  EXPECT_NE(stranger.error().fix.find("ip address"), std::string::npos);
}

TEST(Address, LoopbackIsKnownInEveryForm) {
  const auto v6 = [](const char* text) {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    inet_pton(AF_INET6, text, &address.sin6_addr);
    return is_loopback(reinterpret_cast<const sockaddr&>(address));
  };
  const auto v4 = [](const char* text) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    inet_pton(AF_INET, text, &address.sin_addr);
    return is_loopback(reinterpret_cast<const sockaddr&>(address));
  };
  for (const char* text : {"127.0.0.1", "127.255.255.254"}) EXPECT_TRUE(v4(text)) << text;
  for (const char* text : {"128.0.0.1", "10.0.0.127", "0.0.0.0"}) EXPECT_FALSE(v4(text)) << text;
  for (const char* text : {"::1", "::ffff:127.0.0.1"}) EXPECT_TRUE(v6(text)) << text;
  for (const char* text : {"::", "::ffff:10.0.0.1", "::127.0.0.1", "fe80::1"}) {
    EXPECT_FALSE(v6(text)) << text;
  }
}

}  // namespace
}  // namespace lagwatch
