// SPDX-License-Identifier: Apache-2.0
// The HTTP server: what lagwatch says to scrapers, browsers and its own command line. Slow and
// silent clients cost it nothing.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "expose/connections.h"
#include "expose/http_stats.h"
#include "model/http.h"

namespace lagwatch {

// Two libmicrohttpd threads run the handlers, and one of our own accepts (acceptor.h). Owned and
// called by one thread, which is none of these.
class HttpServer {
 public:
  struct Options {
    std::vector<std::string> listen = {":10093"};  // as listen_on() takes them
    Connections::Limits limits;
    size_t body_bytes = 64 * 1024;                   // of a request; read and ignored up to here
    Duration stop = std::chrono::milliseconds(500);  // what is being answered has to end, at most
  };

  // Fills `stats->routes`.
  HttpServer(Options options, std::vector<HttpRoute> routes,
             std::shared_ptr<HttpStats> stats = nullptr);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Once. Binds, then serves. The error says which address, and what to do.
  Status start();
  // What listens: "127.0.0.1:10093", "[::]:10093". After start().
  const std::vector<std::string>& addresses() const;
  // Answers all that wait with a 503, closes everything. Responders may be called after it, to no
  // effect.
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lagwatch
