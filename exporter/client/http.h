// SPDX-License-Identifier: Apache-2.0
// HTTP asks through libcurl's multi interface, waited for together with everything else on the
// loop.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "client/asker.h"
#include "client/loop.h"
#include "client/resolver.h"

namespace lagwatch {

// Lives on the loop thread; libcurl is set up at the first ask. Connections are kept and used
// again. Names are resolved by `resolver` before libcurl sees the ask: its own resolver may hold up
// the loop.
class HttpClient {
 public:
  HttpClient(Loop& loop, Resolver& resolver);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Replies through the loop, never from within. `on_connected` is called when a new connection was
  // made.
  void ask(AskId id, const HttpAsk& ask, Deadline deadline, std::function<void()> on_connected,
           Asker::OnReply on_reply);
  void cancel(AskId id);

 private:
  struct Exchange;
  struct Curl;

  void start(Exchange& exchange, const SocketAddresses* addresses);
  void wait_in_curl();
  void drive(int epoll_fd, Duration timeout);
  void collect();
  void finish_later(Exchange& exchange, Error error);
  void finish(AskId id, Reply reply);

  Loop& loop_;
  Resolver& resolver_;
  std::unique_ptr<Curl> curl_;  // null until the first ask
  std::unordered_map<AskId, std::unique_ptr<Exchange>> exchanges_;
  size_t running_ = 0;  // handed to libcurl
};

}  // namespace lagwatch
