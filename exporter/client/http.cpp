// SPDX-License-Identifier: Apache-2.0
#include "client/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "client/secret.h"

namespace lagwatch {
namespace {

// A paced transfer runs at what 32 KiB a millisecond come to.
constexpr curl_off_t kPacedBytesPerSecond = 32 << 20;

struct EasyDelete {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct ListDelete {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
struct UrlDelete {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

struct HostPort {
  std::string host;  // IPv6 without brackets
  std::string port;
};

std::string url_part(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, CURLU_DEFAULT_PORT) != CURLUE_OK) return {};
  const std::string copy = text;
  curl_free(text);
  return copy;
}

Result<HostPort> host_of(const std::string& text) {
  const std::unique_ptr<CURLU, UrlDelete> url(curl_url());
  const Error bad{
      Reason::kUnsupported, "\"" + printable(text) + "\" is not an http or https URL", {}};
  if (!url || curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) return bad;
  const std::string scheme = url_part(url.get(), CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") return bad;
  HostPort out{url_part(url.get(), CURLUPART_HOST), url_part(url.get(), CURLUPART_PORT)};
  if (out.host.starts_with('[') && out.host.ends_with(']'))
    out.host = out.host.substr(1, out.host.size() - 2);
  return out;
}

}  // namespace

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

struct HttpClient::Exchange {
  AskId id = 0;
  HttpAsk ask;
  HostPort host;
  Deadline deadline;
  std::function<void()> on_connected;
  Asker::OnReply on_reply;
  Resolver::Id resolving = 0;
  Loop::TimerId later = 0;
  std::unique_ptr<CURL, EasyDelete> easy;
  std::unique_ptr<curl_slist, ListDelete> resolve;
  bool added = false;  // to the multi handle
  std::string body;

  static size_t on_body(char* data, size_t size, size_t count, void* self) {
    auto& exchange = *static_cast<Exchange*>(self);
    const size_t bytes = size * count;
    if (exchange.body.size() + bytes > exchange.ask.max_bytes) return 0;  // CURLE_WRITE_ERROR
    exchange.body.append(data, bytes);
    return bytes;
  }

  Error error(CURLcode code) const;
  Reply reply(CURLcode code);
};

// libcurl's codes as reasons; the one place where they are translated.
Error HttpClient::Exchange::error(CURLcode code) const {
  const std::string words = ask.url + ": ";
  double connect_time = 0;
  double tls_time = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_CONNECT_TIME, &connect_time);
  curl_easy_getinfo(easy.get(), CURLINFO_APPCONNECT_TIME, &tls_time);
  const bool tls = ask.url.starts_with("https://");
  switch (code) {
    case CURLE_WRITE_ERROR:
      return {Reason::kTooLarge,
              words + "the answer is larger than " + std::to_string(ask.max_bytes) + " bytes",
              {}};
    case CURLE_OPERATION_TIMEDOUT:
      if (connect_time == 0) {
        return {Reason::kConnectTimeout, words + "no connection in time",
                "check the host and the way to it"};
      }
      if (!body.empty())
        return {Reason::kStalled, words + "the answer began and did not end in time", {}};
      if (tls && tls_time == 0)
        return {Reason::kHung, words + "connected, and no TLS handshake in time", {}};
      return {Reason::kHung, words + "connected, and no answer in time", {}};
    case CURLE_COULDNT_RESOLVE_HOST:
      return {Reason::kResolve, words + "the name cannot be resolved", {}};
    case CURLE_COULDNT_CONNECT:
      return {Reason::kRefused, words + "refused, nobody listens",
              "start the server, or correct the address"};
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CIPHER:
      return {Reason::kTls, words + curl_easy_strerror(code),
              "check the certificate, or set ca_file"};
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_PARTIAL_FILE:
      return {Reason::kReset, words + curl_easy_strerror(code), {}};
    default:
      return {Reason::kProtocol, words + curl_easy_strerror(code), {}};
  }
}

Reply HttpClient::Exchange::reply(CURLcode code) {
  if (code != CURLE_OK) return error(code);
  long status = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status == 401 || status == 403) {
    return Error{Reason::kAuth, ask.url + ": status " + std::to_string(status),
                 ask.user.empty() ? "name the user in the URL and set password_file"
                                  : "check user and password_file"};
  }
  if (status != 200)
    return Error{Reason::kHttpStatus, ask.url + ": status " + std::to_string(status), {}};
  return Answer{std::move(body), {}};
}

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
  exchange.on_connected = std::move(on_connected);
  exchange.on_reply = std::move(on_reply);
  exchanges_.emplace(id, std::move(owned));
  Result<HostPort> host = host_of(ask.url);
  if (!host.ok()) {
    finish_later(exchange, host.error());
    return;
  }
  exchange.host = std::move(*host);
  exchange.resolving = resolver_.resolve(exchange.host.host, deadline,
                                         [this, id](const Result<SocketAddresses>& addresses) {
                                           Exchange& resolved = *exchanges_.at(id);
                                           resolved.resolving = 0;
                                           if (addresses.ok()) {
                                             start(resolved, *addresses);
                                           } else {
                                             finish_later(resolved, addresses.error());
                                           }
                                         });
}

void HttpClient::start(Exchange& exchange, const SocketAddresses& addresses) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(exchange.deadline - now().steady);
  exchange.easy.reset(curl_easy_init());
  CURL* easy = exchange.easy.get();
  std::string entry = "+" + exchange.host.host + ":" + exchange.host.port + ":";
  for (const SocketAddress& address : addresses)
    entry += (entry.ends_with(':') ? "" : ",") + to_string(address);
  exchange.resolve.reset(curl_slist_append(nullptr, entry.c_str()));
  curl_easy_setopt(easy, CURLOPT_URL, exchange.ask.url.c_str());
  curl_easy_setopt(easy, CURLOPT_RESOLVE, exchange.resolve.get());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(std::max<int64_t>(left.count(), 1)));
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
  curl_easy_setopt(easy, CURLOPT_PROXY,
                   "");  // what is watched is never asked through somebody else
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "lagwatch");
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Exchange::on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &exchange);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &exchange);
  if (!exchange.ask.ca_file.empty())
    curl_easy_setopt(easy, CURLOPT_CAINFO, exchange.ask.ca_file.c_str());
  if (exchange.ask.fast_bytes != std::numeric_limits<size_t>::max()) {
    curl_easy_setopt(easy, CURLOPT_MAX_RECV_SPEED_LARGE, kPacedBytesPerSecond);
  }
  if (!exchange.ask.user.empty() || !exchange.ask.password_file.empty()) {
    std::string password;
    if (!exchange.ask.password_file.empty()) {
      Result<std::string> secret = read_secret(exchange.ask.password_file);
      if (!secret.ok()) {
        finish_later(exchange, secret.error());
        return;
      }
      password = std::move(*secret);
    }
    curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
    curl_easy_setopt(easy, CURLOPT_USERNAME, exchange.ask.user.c_str());
    curl_easy_setopt(easy, CURLOPT_PASSWORD, password.c_str());
  }
  curl_multi_add_handle(curl_->multi, easy);
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
        finish(id, std::move(error));
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
