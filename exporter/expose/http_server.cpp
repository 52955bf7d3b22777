// SPDX-License-Identifier: Apache-2.0
// Ties libmicrohttpd, the acceptor and the routes together.
#include "expose/http_server.h"

#include <microhttpd.h>
#include <string.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "expose/acceptor.h"
#include "expose/address.h"
#include "expose/blocked_signals.h"
#include "expose/exchange.h"
#include "expose/mhd_request.h"
#include "expose/mhd_response.h"

namespace lagwatch {
namespace {

constexpr size_t kLeastThreads = 2;
// libmicrohttpd 0.9.75 waits on, with its full timeout, when epoll gave it exactly 128 events, and
// looks at none of them before: a thread must never have as many connections. All together have
// room for what Connections admits.
constexpr size_t kThreadConnections = 120;
constexpr std::string_view kStopping = "lagwatch is stopping.";

// What libmicrohttpd keeps of a request in progress. Its threads' own: one of them at a time.
struct Request {
  std::shared_ptr<Exchange> exchange = std::make_shared<Exchange>();
  HttpRequest http;
  int fd = -1;
  size_t body_bytes = 0;
  size_t route = 0;  // index; that behind the last one is no route
  bool has_headers = false;
  bool dispatched = false;
  bool waiting = false;  // among Impl's waiting_
};

// A route, with what the server remembers of it.
struct Served {
  HttpRoute route;
  std::atomic<bool> failure_logged{false};  // the first one; the others only count
};

Instant steady_now() { return std::chrono::steady_clock::now(); }

}  // namespace

class HttpServer::Impl {
 public:
  Impl(Options options, std::vector<HttpRoute> routes, std::shared_ptr<HttpStats> stats);
  ~Impl() { stop(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Status start();
  void stop();
  const std::vector<std::string>& addresses() const { return addresses_; }

 private:
  Status start_daemon();

  // libmicrohttpd's callbacks, on its threads. They are noexcept because it is C.
  static void* on_request_line(void* cls, const char* target, MHD_Connection* connection) noexcept;
  static MHD_Result on_request(void* cls, MHD_Connection* connection, const char* url,
                               const char* method, const char* version, const char* body,
                               size_t* body_size, void** context) noexcept;
  static void on_completed(void* cls, MHD_Connection* connection, void** context,
                           MHD_RequestTerminationCode) noexcept;
  static void on_connection(void* cls, MHD_Connection* connection, void** context,
                            MHD_ConnectionNotificationCode code) noexcept;

  MHD_Result on_headers(Request& request, MHD_Connection* connection, const char* method);
  void begin_answering(Request& request);
  void dispatch(Request& request);
  void run_handler(Served& served, Request& request);
  void on_handler_failure(Served& served, Request& request, const char* what);
  MHD_Result conclude(Request& request, MHD_Connection* connection);
  void wait_for_answer(Request& request);
  MHD_Result send(Request& request, MHD_Connection* connection, HttpResponse response);
  void complete(Request& request);

  const Options options_;
  const std::shared_ptr<HttpStats> stats_;
  std::deque<Served> routes_;
  std::unordered_map<std::string, size_t> route_by_path_;
  std::string not_found_;
  std::vector<std::string> addresses_;
  Connections connections_;
  Acceptor acceptor_;
  MHD_Daemon* daemon_ = nullptr;

  std::mutex mutex_;  // guards what follows; never held when an exchange is called
  std::condition_variable none_in_flight_;
  bool stopping_ = false;
  size_t in_flight_ = 0;                                   // dispatched and not completed
  std::unordered_set<std::shared_ptr<Exchange>> waiting_;  // suspended, or about to be
};

HttpServer::Impl::Impl(Options options, std::vector<HttpRoute> routes,
                       std::shared_ptr<HttpStats> stats)
    : options_(std::move(options)),
      stats_(stats ? std::move(stats) : std::make_shared<HttpStats>()),
      connections_(options_.limits, *stats_),
      acceptor_(connections_, *stats_, options_.limits.request,
                [this](int fd, const sockaddr* peer, socklen_t size) {
                  return MHD_add_connection(daemon_, fd, peer, size) == MHD_YES;
                }) {
  std::string known;
  for (HttpRoute& route : routes) {
    route_by_path_.emplace(route.path, routes_.size());
    stats_->routes.emplace_back().path = route.path;
    if (route.public_route) known += (known.empty() ? "" : ", ") + route.path;
    routes_.emplace_back().route = std::move(route);
  }
  stats_->routes.emplace_back();
  not_found_ = "There is nothing here. lagwatch serves " + known + ".";
}

Status HttpServer::Impl::start() {
  Result<std::vector<Listener>> listeners = listen_on(options_.listen);
  if (!listeners) return listeners.error();
  for (const Listener& listener : *listeners) addresses_.push_back(listener.address);
  const BlockedSignals blocked;
  if (Status status = start_daemon(); !status) return status;
  return acceptor_.start(*std::move(listeners));
}

Status HttpServer::Impl::start_daemon() {
  const Duration idle = std::max(options_.limits.idle, options_.limits.answer);
  // Ours are the limits here too; this one is for what they do not see.
  const auto timeout = static_cast<unsigned>(std::chrono::ceil<std::chrono::seconds>(idle).count());
  const size_t most = options_.limits.count + Connections::kMaxClosing;
  const size_t threads =
      std::max(kLeastThreads, (most + kThreadConnections - 1) / kThreadConnections);
  daemon_ = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET |
                                 MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME,
                             0, nullptr, nullptr, &on_request, this,                       //
                             MHD_OPTION_THREAD_POOL_SIZE, static_cast<unsigned>(threads),  //
                             MHD_OPTION_CONNECTION_LIMIT,
                             static_cast<unsigned>(threads * kThreadConnections),   //
                             MHD_OPTION_CONNECTION_TIMEOUT, std::max(timeout, 1U),  //
                             MHD_OPTION_URI_LOG_CALLBACK, &on_request_line, this,   //
                             MHD_OPTION_NOTIFY_COMPLETED, &on_completed, this,      //
                             MHD_OPTION_NOTIFY_CONNECTION, &on_connection, this, MHD_OPTION_END);
  if (daemon_ != nullptr) return {};
  return Error{.reason = Reason::kUnsupported,
               .message = std::string("cannot start the HTTP server's threads: ") + strerror(errno),
               .fix = "Raise LimitNOFILE and TasksMax of the unit if they are small."};
}

void HttpServer::Impl::stop() {
  if (daemon_ == nullptr) return;
  acceptor_.stop();
  std::unordered_set<std::shared_ptr<Exchange>> waiting;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    waiting = waiting_;
  }
  // libmicrohttpd aborts the process if it is stopped with suspended connections.
  for (const auto& exchange : waiting) {
    exchange->answer(plain_response(503, std::string(kStopping)));
  }
  {
    std::unique_lock lock(mutex_);
    none_in_flight_.wait_for(lock, options_.stop, [this] { return in_flight_ == 0; });
  }
  MHD_stop_daemon(std::exchange(daemon_, nullptr));
  connections_.forget_all();
}

void* HttpServer::Impl::on_request_line(void* cls, const char* target,
                                        MHD_Connection* connection) noexcept {
  Impl& self = *static_cast<Impl*>(cls);
  auto request = std::make_unique<Request>();
  request->fd = descriptor_of(connection);
  request->route = self.routes_.size();
  read_request_line(connection, target, request->http);
  self.connections_.request_begun(request->fd, steady_now());
  return request.release();  // until on_completed()
}

MHD_Result HttpServer::Impl::on_request(void* cls, MHD_Connection* connection, const char*,
                                        const char* method, const char*, const char*,
                                        size_t* body_size, void** context) noexcept {
  Impl& self = *static_cast<Impl*>(cls);
  Request& request = *static_cast<Request*>(*context);
  if (!request.has_headers) return self.on_headers(request, connection, method);
  if (*body_size > 0) {
    request.body_bytes += std::exchange(*body_size, 0);
    // In the middle of a body libmicrohttpd takes no answer: it closes.
    return request.body_bytes <= self.options_.body_bytes ? MHD_YES : MHD_NO;
  }
  if (!request.dispatched) {
    self.begin_answering(request);
    self.dispatch(request);
  }
  return self.conclude(request, connection);
}

void HttpServer::Impl::on_completed(void* cls, MHD_Connection*, void** context,
                                    MHD_RequestTerminationCode) noexcept {
  const std::unique_ptr<Request> request(static_cast<Request*>(std::exchange(*context, nullptr)));
  if (request) static_cast<Impl*>(cls)->complete(*request);
}

void HttpServer::Impl::on_connection(void* cls, MHD_Connection* connection, void**,
                                     MHD_ConnectionNotificationCode code) noexcept {
  Impl& self = *static_cast<Impl*>(cls);
  const int fd = descriptor_of(connection);
  if (code == MHD_CONNECTION_NOTIFY_STARTED) {
    self.connections_.started(fd, steady_now());
  } else {
    self.connections_.closed(fd);  // right before libmicrohttpd closes it
  }
}

MHD_Result HttpServer::Impl::on_headers(Request& request, MHD_Connection* connection,
                                        const char* method) {
  request.has_headers = true;
  read_headers(connection, method, request.http);
  if (content_length(connection) <= options_.body_bytes) return MHD_YES;
  // Only before the body may it be answered instead of read; libmicrohttpd closes it then.
  begin_answering(request);
  request.exchange->answer(plain_response(413, "The body of this request is too large."));
  return conclude(request, connection);
}

void HttpServer::Impl::begin_answering(Request& request) {
  request.dispatched = true;
  connections_.request_complete(request.fd, steady_now());
  const std::lock_guard lock(mutex_);
  ++in_flight_;
}

void HttpServer::Impl::dispatch(Request& request) {
  Exchange& exchange = *request.exchange;
  const auto found = route_by_path_.find(request.http.path);
  if (found == route_by_path_.end()) return exchange.answer(plain_response(404, not_found_));
  request.route = found->second;
  Served& served = routes_[request.route];
  if (!served.route.public_route && !request.http.from_loopback) {
    return exchange.answer(plain_response(
        403,
        "This path answers on the host of lagwatch only, unless a web configuration file says "
        "who may ask."));
  }
  if (request.http.method != "GET" && request.http.method != "HEAD") {
    HttpResponse response = plain_response(405, "This path answers GET and HEAD only.");
    response.headers.emplace_back("Allow", "GET, HEAD");
    return exchange.answer(std::move(response));
  }
  run_handler(served, request);
}

void HttpServer::Impl::run_handler(Served& served, Request& request) {
  // A copy: the handler's own goes while the exception passes, and would answer before we can.
  const Responder responder = make_responder(request.exchange);
  try {
    served.route.handler(request.http, responder);
  } catch (const std::exception& e) {
    on_handler_failure(served, request, e.what());
  } catch (...) {
    on_handler_failure(served, request, "an exception of no known type");
  }
}

void HttpServer::Impl::on_handler_failure(Served& served, Request& request, const char* what) {
  if (!served.failure_logged.exchange(true)) {
    log(LogLevel::kError, "an HTTP handler failed; further failures of it are only counted",
        {{"path", served.route.path}, {"err", what}});
  }
  std::string sentence = "lagwatch failed to answer this request. This is a bug: please report it.";
  if (request.http.from_loopback) sentence += " Its cause: " + printable(what);
  request.exchange->answer(plain_response(500, std::move(sentence)));
}

MHD_Result HttpServer::Impl::conclude(Request& request, MHD_Connection* connection) {
  std::optional<HttpResponse> response = request.exchange->take();
  if (!response) {
    wait_for_answer(request);
    response = request.exchange->take_or_suspend(connection);
  }
  if (!response) return MHD_YES;
  return send(request, connection, *std::move(response));
}

// So that stop() finds it. Where stop() was first, it is answered here.
void HttpServer::Impl::wait_for_answer(Request& request) {
  {
    const std::lock_guard lock(mutex_);
    if (!stopping_) {
      waiting_.insert(request.exchange);
      request.waiting = true;
      return;
    }
  }
  request.exchange->answer(plain_response(503, std::string(kStopping)));
}

MHD_Result HttpServer::Impl::send(Request& request, MHD_Connection* connection,
                                  HttpResponse response) {
  const auto status = static_cast<unsigned>(response.status);
  const size_t place = HttpStats::place_of(response.status);
  stats_->routes[request.route].by_status[place].fetch_add(1, std::memory_order_relaxed);
  Served* served = request.route < routes_.size() ? &routes_[request.route] : nullptr;
  const bool streamed = response.source != nullptr;
  const MhdResponse made = make_mhd_response(std::move(response), [served](const char* what) {
    if (served == nullptr || served->failure_logged.exchange(true)) return;
    log(LogLevel::kError, "an HTTP answer broke off; further failures of it are only counted",
        {{"path", served->route.path}, {"err", what}});
  });
  if (!made) return MHD_NO;
  // libmicrohttpd 0.9.75 answers HEAD with the last chunk of a streamed body too, which would be
  // taken for the next answer. This option keeps it from chunking, and closes the connection
  // behind.
  if (streamed && request.http.method == "HEAD") {
    MHD_set_response_options(made.get(), MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
  }
  return MHD_queue_response(connection, status, made.get());
}

void HttpServer::Impl::complete(Request& request) {
  request.exchange->finish();
  connections_.answered(request.fd, steady_now());
  if (!request.dispatched) return;
  const std::lock_guard lock(mutex_);
  if (request.waiting) waiting_.erase(request.exchange);
  if (--in_flight_ == 0 && stopping_) none_in_flight_.notify_all();
}

HttpServer::HttpServer(Options options, std::vector<HttpRoute> routes,
                       std::shared_ptr<HttpStats> stats)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(routes), std::move(stats))) {}

HttpServer::~HttpServer() = default;

Status HttpServer::start() { return impl_->start(); }

const std::vector<std::string>& HttpServer::addresses() const { return impl_->addresses(); }

void HttpServer::stop() { impl_->stop(); }

}  // namespace lagwatch
