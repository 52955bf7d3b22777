// SPDX-License-Identifier: Apache-2.0
// One request and its one answer, which may come now or later, from any thread, twice or never.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "model/http.h"

struct MHD_Connection;

namespace lagwatch {

// Shared by libmicrohttpd's thread and whoever holds the responder. The connection is touched under
// the mutex and only while it is suspended, when libmicrohttpd neither uses nor frees it.
class Exchange {
 public:
  // Any thread. The first answer counts, later ones are dropped; resumes a suspended connection.
  void answer(HttpResponse response);

  // libmicrohttpd's thread: the answer where it is there.
  std::optional<HttpResponse> take();
  // The same, but suspends `connection` until there is one.
  std::optional<HttpResponse> take_or_suspend(MHD_Connection* connection);
  // The connection is done with this request: answers go nowhere from here on.
  void finish();

 private:
  enum class State { kOpen, kSuspended, kAnswered, kFinished };

  std::mutex mutex_;  // guards what follows
  State state_ = State::kOpen;
  MHD_Connection* connection_ = nullptr;  // while suspended
  HttpResponse response_;
};

// What a handler is given. Where the last copy goes without a call, the client gets a 500 instead
// of waiting for good.
Responder make_responder(std::shared_ptr<Exchange> exchange);

// An answer of one plain sentence.
HttpResponse plain_response(int status, std::string sentence);

}  // namespace lagwatch
