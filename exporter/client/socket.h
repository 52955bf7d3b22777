// SPDX-License-Identifier: Apache-2.0
// Socket asks: connect, send, read to the end, each within one absolute deadline.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "client/asker.h"
#include "client/loop.h"
#include "client/resolver.h"
#include "client/unix_peer.h"

namespace lagwatch {

// Lives on the loop thread. One connection per ask, closed at its end whatever happened.
class SocketClient {
 public:
  SocketClient(Loop& loop, Resolver& resolver);
  ~SocketClient();
  SocketClient(const SocketClient&) = delete;
  SocketClient& operator=(const SocketClient&) = delete;

  // Replies through the loop, never from within. `on_connected` is called when a connection was
  // made.
  void ask(AskId id, const SocketAsk& ask, Deadline deadline, std::function<void()> on_connected,
           Asker::OnReply on_reply);
  void cancel(AskId id);

 private:
  struct Exchange;

  void resolve(Exchange& exchange);
  void connect_unix(Exchange& exchange);
  void connect_next(Exchange& exchange);
  void on_connect_event(Exchange& exchange);
  void start_sending(Exchange& exchange);
  void on_events(AskId id, uint32_t events);
  void send_some(Exchange& exchange);
  void read_some(Exchange& exchange);
  void pause_reading(Exchange& exchange);
  void on_deadline(AskId id);
  void fail(Exchange& exchange, Error error);
  void finish(AskId id, Reply reply);
  Error silent(const Exchange& exchange) const;

  Loop& loop_;
  Resolver& resolver_;
  std::unordered_map<AskId, std::unique_ptr<Exchange>> exchanges_;
  // Who listens at a path, from the last connection that was made: told when a full backlog refuses
  // the next.
  std::unordered_map<std::string, UnixListener> listeners_;
};

}  // namespace lagwatch
