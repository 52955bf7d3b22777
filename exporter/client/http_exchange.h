// SPDX-License-Identifier: Apache-2.0
// One HTTP exchange as libcurl carries it out: its handle, what is set on it, what came of it. For
// client/http.cpp only.
#pragma once

#include <curl/curl.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/fd.h"
#include "client/asker.h"
#include "client/http.h"
#include "client/loop.h"
#include "client/resolver.h"

namespace lagwatch {

struct CurlDelete {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

struct HttpHost {
  std::string name;  // IPv6 without brackets
  std::string port;
};

// Whom the URL names; an Error if it is no http or https URL.
Result<HttpHost> host_of(const std::string& url);

struct HttpClient::Exchange {
  AskId id = 0;
  HttpAsk ask;
  HttpHost host;
  Deadline deadline;
  Instant started{};
  std::optional<double> resolve_seconds;
  std::function<void()> on_connected;
  Asker::OnReply on_reply;
  Resolver::Id resolving = 0;
  Loop::TimerId later = 0;
  UniqueFd socket_directory;  // of a unix socket whose path is too long to connect to
  std::unique_ptr<CURL, CurlDelete> easy;
  std::unique_ptr<curl_slist, CurlDelete> resolve;
  std::unique_ptr<curl_slist, CurlDelete> connect_to;
  std::unique_ptr<curl_slist, CurlDelete> headers;
  bool added = false;  // to the multi handle
  std::string body;

  // Makes the handle; `addresses` are the host's, null for a unix socket.
  Status prepare(const SocketAddresses* addresses);
  Reply reply(CURLcode code);
  // What came of an exchange that failed before libcurl had it.
  Reply failed(Error error);

 private:
  static size_t on_body(char* data, size_t size, size_t count, void* self);
  Status prepare_authentication();
  Status prepare_unix_socket();
  void prepare_addresses(const SocketAddresses& addresses);
  void prepare_tls();
  std::string shown() const;
  Error error(CURLcode code) const;
  Error unix_error(const std::string& words) const;
  std::optional<Error> status_error(int status) const;
  HttpDetail detail() const;
};

}  // namespace lagwatch
