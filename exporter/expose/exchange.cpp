// SPDX-License-Identifier: Apache-2.0
// Where an early answer and the suspending of its connection meet: one of them comes first, under
// the mutex.
#include "expose/exchange.h"

#include <microhttpd.h>

#include <utility>

namespace lagwatch {
namespace {

// Answers when its last owner lets go of it.
class Ticket {
 public:
  explicit Ticket(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}
  ~Ticket() {
    exchange_->answer(plain_response(
        500,
        "lagwatch lost the answer to this request. This is a bug in lagwatch: please report it."));
  }
  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;

  void answer(HttpResponse response) { exchange_->answer(std::move(response)); }

 private:
  std::shared_ptr<Exchange> exchange_;
};

}  // namespace

void Exchange::answer(HttpResponse response) {
  const std::lock_guard lock(mutex_);
  if (state_ != State::kOpen && state_ != State::kSuspended) return;
  response_ = std::move(response);
  // Still under the mutex: once resumed, finish() waits for it, and so does the connection's end.
  if (state_ == State::kSuspended) MHD_resume_connection(connection_);
  connection_ = nullptr;
  state_ = State::kAnswered;
}

std::optional<HttpResponse> Exchange::take() {
  const std::lock_guard lock(mutex_);
  if (state_ != State::kAnswered) return std::nullopt;
  state_ = State::kFinished;
  return std::move(response_);
}

std::optional<HttpResponse> Exchange::take_or_suspend(MHD_Connection* connection) {
  const std::lock_guard lock(mutex_);
  if (state_ == State::kAnswered) {
    state_ = State::kFinished;
    return std::move(response_);
  }
  if (state_ == State::kOpen) {
    MHD_suspend_connection(connection);
    connection_ = connection;
    state_ = State::kSuspended;
  }
  return std::nullopt;
}

void Exchange::finish() {
  const std::lock_guard lock(mutex_);
  connection_ = nullptr;
  state_ = State::kFinished;
}

Responder make_responder(std::shared_ptr<Exchange> exchange) {
  auto ticket = std::make_shared<Ticket>(std::move(exchange));
  return [ticket](HttpResponse response) { ticket->answer(std::move(response)); };
}

HttpResponse plain_response(int status, std::string sentence) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(sentence) + "\n";
  return response;
}

}  // namespace lagwatch
