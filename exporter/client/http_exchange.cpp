// SPDX-License-Identifier: Apache-2.0
#include "client/http_exchange.h"

#include <fcntl.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/text.h"
#include "client/secret.h"

namespace lagwatch {
namespace {

// A paced transfer runs at what 32 KiB a millisecond come to.
constexpr curl_off_t kPacedBytesPerSecond = 32 << 20;

std::string url_part(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, CURLU_DEFAULT_PORT) != CURLUE_OK) return {};
  const std::string copy = text;
  curl_free(text);
  return copy;
}

void append(std::unique_ptr<curl_slist, CurlDelete>& list, const std::string& line) {
  curl_slist* const longer = curl_slist_append(list.get(), line.c_str());
  if (longer == nullptr) return;
  (void)list.release();
  list.reset(longer);
}

std::optional<double> seconds_between(curl_off_t begin, curl_off_t end) {
  if (end <= 0 || end < begin) return std::nullopt;
  return static_cast<double>(end - begin) / 1e6;
}

// The earliest of "Expire date:..." in what libcurl says of the chain.
std::optional<int64_t> first_expiry(CURL* easy) {
  curl_certinfo* chain = nullptr;
  if (curl_easy_getinfo(easy, CURLINFO_CERTINFO, &chain) != CURLE_OK || chain == nullptr)
    return std::nullopt;
  std::optional<int64_t> first;
  for (int i = 0; i < chain->num_of_certs; ++i) {
    for (const curl_slist* line = chain->certinfo[i]; line != nullptr; line = line->next) {
      constexpr std::string_view kKey = "Expire date:";
      const std::string_view text = line->data;
      if (!text.starts_with(kKey)) continue;
      const time_t expiry = curl_getdate(std::string(text.substr(kKey.size())).c_str(), nullptr);
      if (expiry != -1) first = std::min<int64_t>(first.value_or(expiry), expiry);
    }
  }
  return first;
}

}  // namespace

Result<HttpHost> host_of(const std::string& text) {
  const std::unique_ptr<CURLU, CurlDelete> url(curl_url());
  const Error bad{
      Reason::kUnsupported, "\"" + printable(text) + "\" is not an http or https URL", {}};
  if (!url || curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) return bad;
  const std::string scheme = url_part(url.get(), CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") return bad;
  HttpHost out{url_part(url.get(), CURLUPART_HOST), url_part(url.get(), CURLUPART_PORT)};
  if (out.name.starts_with('[') && out.name.ends_with(']'))
    out.name = out.name.substr(1, out.name.size() - 2);
  return out;
}

size_t HttpClient::Exchange::on_body(char* data, size_t size, size_t count, void* self) {
  auto& exchange = *static_cast<Exchange*>(self);
  const size_t bytes = size * count;
  if (exchange.body.size() + bytes > exchange.ask.max_bytes) return 0;  // CURLE_WRITE_ERROR
  exchange.body.append(data, bytes);
  return bytes;
}

Status HttpClient::Exchange::prepare(const SocketAddresses* addresses) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now().steady);
  easy.reset(curl_easy_init());
  CURL* const handle = easy.get();
  curl_easy_setopt(handle, CURLOPT_URL, ask.url.c_str());
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS,
                   static_cast<long>(std::max<int64_t>(left.count(), 1)));
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_QUICK_EXIT, 1L);
  // What is watched is never asked through somebody else.
  curl_easy_setopt(handle, CURLOPT_PROXY, "");
  curl_easy_setopt(handle, CURLOPT_USERAGENT, "lagwatch");
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, &on_body);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(handle, CURLOPT_PRIVATE, this);
  if (ask.fast_bytes != std::numeric_limits<size_t>::max())
    curl_easy_setopt(handle, CURLOPT_MAX_RECV_SPEED_LARGE, kPacedBytesPerSecond);
  if (ask.fresh_connection || !ask.unix_socket.empty()) {
    curl_easy_setopt(handle, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(handle, CURLOPT_FORBID_REUSE, 1L);
  }
  prepare_tls();
  for (const std::string& header : ask.headers) append(headers, header);
  if (const Status status = prepare_authentication(); !status.ok()) return status;
  if (headers) curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers.get());
  if (addresses == nullptr) return prepare_unix_socket();
  prepare_addresses(*addresses);
  return {};
}

void HttpClient::Exchange::prepare_tls() {
  CURL* const handle = easy.get();
  if (!ask.ca_file.empty()) curl_easy_setopt(handle, CURLOPT_CAINFO, ask.ca_file.c_str());
  if (!ask.pinned_key.empty()) {
    curl_easy_setopt(handle, CURLOPT_PINNEDPUBLICKEY, ask.pinned_key.c_str());
    if (ask.ca_file.empty()) {  // the key is the proof: self-signed is fine, so is any name
      curl_easy_setopt(handle, CURLOPT_SSL_VERIFYPEER, 0L);
      curl_easy_setopt(handle, CURLOPT_SSL_VERIFYHOST, 0L);
    }
  }
  if (ask.wants_certificate) curl_easy_setopt(handle, CURLOPT_CERTINFO, 1L);
}

Status HttpClient::Exchange::prepare_authentication() {
  CURL* const handle = easy.get();
  if (!ask.api_key_file.empty()) {
    Result<std::string> key = read_secret(ask.api_key_file);
    if (!key.ok()) return key.error();
    append(headers, "Authorization: ApiKey " + *key);
    return {};
  }
  if (ask.user.empty() && ask.password_file.empty()) return {};
  std::string password = ask.password;
  if (!ask.password_file.empty()) {
    Result<std::string> secret = read_secret(ask.password_file);
    if (!secret.ok()) return secret.error();
    password = std::move(*secret);
  }
  curl_easy_setopt(handle, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
  curl_easy_setopt(handle, CURLOPT_USERNAME, ask.user.c_str());
  curl_easy_setopt(handle, CURLOPT_PASSWORD, password.c_str());
  return {};
}

// A path longer than sun_path (107 bytes: systemd's private /tmp makes such) is reached through its
// directory's descriptor.
Status HttpClient::Exchange::prepare_unix_socket() {
  std::string path = ask.unix_socket;
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    const size_t slash = path.rfind('/');
    socket_directory =
        UniqueFd(::open(path.substr(0, slash).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!socket_directory) {
      const int error = errno;
      return Error{error == EACCES ? Reason::kPermission : Reason::kRefused,
                   printable(path) + ": " + strerrordesc_np(error),
                   {}};
    }
    path = "/proc/self/fd/" + std::to_string(socket_directory.get()) + path.substr(slash);
  }
  curl_easy_setopt(easy.get(), CURLOPT_UNIX_SOCKET_PATH, path.c_str());
  return {};
}

void HttpClient::Exchange::prepare_addresses(const SocketAddresses& addresses) {
  // libcurl finds kept connections by the name they were made to: an own name, an own connection.
  const bool own = !ask.connection.empty();
  const std::string name = own ? ask.connection + ".lagwatch.invalid" : host.name;
  std::string entry = "+" + name + ":" + host.port + ":";
  for (const SocketAddress& address : addresses)
    entry += (entry.ends_with(':') ? "" : ",") + to_string(address);
  append(resolve, entry);
  curl_easy_setopt(easy.get(), CURLOPT_RESOLVE, resolve.get());
  if (!own) return;
  append(connect_to, "::" + name + ":" + host.port);
  curl_easy_setopt(easy.get(), CURLOPT_CONNECT_TO, connect_to.get());
}

// Whom messages name. Without the query: a token may be in it.
std::string HttpClient::Exchange::shown() const {
  if (!ask.unix_socket.empty()) return printable(ask.unix_socket);
  return ask.url.substr(0, ask.url.find('?'));
}

// libcurl's codes as reasons; the one place where they are translated.
Error HttpClient::Exchange::error(CURLcode code) const {
  const std::string words = shown() + ": ";
  double connect_time = 0;
  double tls_time = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_CONNECT_TIME, &connect_time);
  curl_easy_getinfo(easy.get(), CURLINFO_APPCONNECT_TIME, &tls_time);
  // On a kept connection the other two are 0.
  double sending_time = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_PRETRANSFER_TIME, &sending_time);
  const bool tls = ask.url.starts_with("https://");
  switch (code) {
    case CURLE_WRITE_ERROR:
      return {Reason::kTooLarge,
              words + "the answer is larger than " + std::to_string(ask.max_bytes) + " bytes",
              {}};
    case CURLE_OPERATION_TIMEDOUT:
      if (connect_time == 0 && sending_time == 0) {
        return {Reason::kConnectTimeout, words + "no connection in time",
                "check the host and the way to it"};
      }
      if (!body.empty())
        return {Reason::kStalled, words + "the answer began and did not end in time", {}};
      if (tls && tls_time == 0 && sending_time == 0)
        return {Reason::kHung, words + "connected, and no TLS handshake in time", {}};
      return {Reason::kHung, words + "connected, and no answer in time", {}};
    case CURLE_COULDNT_RESOLVE_HOST:
      return {Reason::kResolve, words + "the name cannot be resolved", {}};
    case CURLE_COULDNT_CONNECT:
      if (!ask.unix_socket.empty()) return unix_error(words);
      return {Reason::kRefused, words + "refused, nobody listens",
              "start the server, or correct the address"};
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
      return {Reason::kTls, words + "the server's key is not the pinned one",
              "correct pinned_key, if the server's key was changed on purpose"};
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

Error HttpClient::Exchange::unix_error(const std::string& words) const {
  long number = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_OS_ERRNO, &number);
  switch (number) {
    case EACCES:
    case EPERM:
      return {Reason::kPermission, words + "may not be connected to", {}};
    case ENOENT:
    case ENOTDIR:
      return {Reason::kRefused, words + "there is no such socket", {}};
    case EAGAIN:  // where a TCP connection would wait
      return {Reason::kHung, words + "as many connections wait as may, none is accepted", {}};
    default:
      return {Reason::kRefused, words + "refused, nobody listens", {}};
  }
}

std::optional<Error> HttpClient::Exchange::status_error(int status) const {
  const std::string words = shown() + ": status " + std::to_string(status);
  if (status == 401 || status == 403) {
    return Error{Reason::kAuth, words,
                 ask.user.empty() ? "name the user in the URL and set password_file"
                                  : "check user and password_file"};
  }
  if (status != 200) return Error{Reason::kHttpStatus, words, {}};
  return std::nullopt;
}

HttpDetail HttpClient::Exchange::detail() const {
  CURL* const handle = easy.get();
  const auto time_of = [&](CURLINFO what) {
    curl_off_t microseconds = 0;
    curl_easy_getinfo(handle, what, &microseconds);
    return microseconds;
  };
  HttpDetail out;
  out.resolve = resolve_seconds;
  out.total = seconds(now().steady - started);
  if (!easy) return out;
  long status = 0;
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
  out.status = static_cast<int>(status);
  long version = 0;
  curl_easy_getinfo(handle, CURLINFO_HTTP_VERSION, &version);
  if (version == CURL_HTTP_VERSION_1_0) out.version = 1.0;
  if (version == CURL_HTTP_VERSION_1_1) out.version = 1.1;
  if (version == CURL_HTTP_VERSION_2_0) out.version = 2;
  const curl_off_t looked_up = time_of(CURLINFO_NAMELOOKUP_TIME_T);
  const curl_off_t connected = time_of(CURLINFO_CONNECT_TIME_T);
  const curl_off_t secured = time_of(CURLINFO_APPCONNECT_TIME_T);
  const curl_off_t first_byte = time_of(CURLINFO_STARTTRANSFER_TIME_T);
  out.connect = seconds_between(looked_up, connected);
  out.tls = seconds_between(connected, secured);
  out.processing = seconds_between(time_of(CURLINFO_PRETRANSFER_TIME_T), first_byte);
  if (out.status != 0) out.transfer = seconds_between(first_byte, time_of(CURLINFO_TOTAL_TIME_T));
  curl_off_t length = -1;
  curl_easy_getinfo(handle, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
  if (length >= 0) out.content_length = length;
  const char* address = nullptr;
  curl_easy_getinfo(handle, CURLINFO_PRIMARY_IP, &address);
  const std::string_view peer = address == nullptr ? "" : address;
  if (!peer.empty() && ask.unix_socket.empty())
    out.ip_protocol = peer.find(':') == std::string_view::npos ? 4 : 6;
  if (ask.wants_certificate) out.certificate_expiry = first_expiry(handle);
  return out;
}

Reply HttpClient::Exchange::reply(CURLcode code) {
  if (code != CURLE_OK) return failed(error(code));
  HttpDetail how = detail();
  if (ask.accept == HttpAccept::kOk) {
    if (std::optional<Error> bad = status_error(how.status)) return *std::move(bad);
  }
  Answer answer;
  answer.body = std::move(body);
  answer.http = std::move(how);
  return answer;
}

Reply HttpClient::Exchange::failed(Error what) {
  if (ask.accept != HttpAccept::kAnything) return what;
  Answer answer;
  answer.body = std::move(body);
  answer.http = detail();
  answer.http->failure = std::move(what);
  return answer;
}

}  // namespace lagwatch
