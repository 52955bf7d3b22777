// SPDX-License-Identifier: Apache-2.0
#include "client/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <utility>

#include "client/http_exchange.h"

namespace lagwatch {
struct HttpClient::Curl {
  Curl() {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    multi = curl_multi_init();
  }
  ~Curl() {
    curl_multi_cleanup(multi);
    curl_global_cleanup();
  }
  Curl(const Curl&) = delete;
  Curl& operator=(const Curl&) = delete;
  CURLM* multi = nullptr;
};

HttpClient::HttpClient(Loop& loop, Resolver& resolver) : loop_(loop), resolver_(resolver) {}

HttpClient::~HttpClient() {
  while (!exchanges_.empty()) cancel(exchanges_.begin()->first);
}

void HttpClient::ask(AskId id, const HttpAsk& ask, Deadline deadline,
                     std::function<void()> on_connected, Asker::OnReply on_reply) {
  if (!curl_) curl_ = std::make_unique<Curl>();
  auto owned = std::make_unique<Exchange>();
  Exchange& exchange = *owned;
  exchange.id = id;
  exchange.ask = ask;
  exchange.deadline = deadline;
  exchange.started = now().steady;
  exchange.on_connected = std::move(on_connected);
  exchange.on_reply = std::move(on_reply);
  exchanges_.emplace(id, std::move(owned));
  if (!ask.unix_socket.empty()) return start(exchange, nullptr);
  Result<HttpHost> host = host_of(ask.url);
  if (!host.ok()) return finish_later(exchange, host.error());
  exchange.host = std::move(*host);
  exchange.resolving = resolver_.resolve(
      exchange.host.name, deadline, [this, id](const Result<SocketAddresses>& addresses) {
        Exchange& resolved = *exchanges_.at(id);
        resolved.resolving = 0;
        if (!addresses.ok()) return finish_later(resolved, addresses.error());
        resolved.resolve_seconds = seconds(now().steady - resolved.started);
        start(resolved, &*addresses);
      });
}

void HttpClient::start(Exchange& exchange, const SocketAddresses* addresses) {
  const Status status = exchange.prepare(addresses);
  if (!status.ok()) return finish_later(exchange, status.error());
  curl_multi_add_handle(curl_->multi, exchange.easy.get());
  exchange.added = true;
  ++running_;
  wait_in_curl();
}

// While libcurl has something to do the loop waits in it, else in epoll.
void HttpClient::wait_in_curl() {
  if (running_ == 0) {
    loop_.set_waiter(nullptr);
  } else {
    loop_.set_waiter([this](int epoll_fd, Duration timeout) { drive(epoll_fd, timeout); });
  }
}

void HttpClient::drive(int epoll_fd, Duration timeout) {
  int running = 0;
  curl_multi_perform(curl_->multi, &running);
  if (running == static_cast<int>(running_)) {  // nothing ended: wait
    curl_waitfd loop_fd{epoll_fd, CURL_WAIT_POLLIN, 0};
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(timeout);
    curl_multi_poll(curl_->multi, &loop_fd, 1, static_cast<int>(ms.count()), nullptr);
    curl_multi_perform(curl_->multi, &running);
  }
  collect();
}

void HttpClient::collect() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(curl_->multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode code = message->data.result;
    void* self = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &self);
    auto& exchange = *static_cast<Exchange*>(self);
    long connections = 0;
    curl_easy_getinfo(message->easy_handle, CURLINFO_NUM_CONNECTS, &connections);
    for (long i = 0; i < connections; ++i) exchange.on_connected();
    finish(exchange.id, exchange.reply(code));
  }
}

void HttpClient::finish_later(Exchange& exchange, Error error) {
  exchange.later =
      loop_.at(Instant::min(), [this, id = exchange.id, error = std::move(error)]() mutable {
        exchanges_.at(id)->later = 0;
        finish(id, exchanges_.at(id)->failed(std::move(error)));
      });
}

void HttpClient::finish(AskId id, Reply reply) {
  const Asker::OnReply on_reply = std::move(exchanges_.at(id)->on_reply);
  cancel(id);
  on_reply(std::move(reply));
}

void HttpClient::cancel(AskId id) {
  const auto found = exchanges_.find(id);
  if (found == exchanges_.end()) return;
  Exchange& exchange = *found->second;
  if (exchange.resolving != 0) resolver_.cancel(exchange.resolving);
  if (exchange.later != 0) loop_.cancel(exchange.later);
  if (exchange.added) {
    curl_multi_remove_handle(curl_->multi, exchange.easy.get());
    --running_;
    wait_in_curl();
  }
  exchanges_.erase(found);
}

}  // namespace lagwatch
