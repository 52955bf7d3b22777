// SPDX-License-Identifier: Apache-2.0
// An HTTP request and its answer, as handlers see them. The server is in expose/; handlers of
// alert/ and push/ come from there too and meet it only here.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lagwatch {

struct HttpRequest {
  std::string method;                                      // GET or HEAD
  std::string path;                                        // percent-decoded, without the query
  std::vector<std::pair<std::string, std::string>> query;  // decoded, in order
  std::string host;                                        // header Host, as sent: untrusted
  std::string accept;           // header Accept, joined by ", " where repeated
  std::string accept_encoding;  // header Accept-Encoding, likewise
  bool from_loopback = false;   // the peer is 127.0.0.0/8, ::1 or a mapped 127.0.0.0/8

  std::optional<std::string_view> parameter(std::string_view name) const {
    for (const auto& [key, value] : query) {
      if (key == name) return value;
    }
    return std::nullopt;
  }
};

// A body made piece by piece while it is sent. Used by one thread at a time, not always the same.
class BodySource {
 public:
  virtual ~BodySource() = default;
  // Replaces `chunk` by the next piece (about 64 KiB); empty at the end.
  virtual void next(std::string& chunk) = 0;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  std::unique_ptr<BodySource> source;                        // instead of `body` where not null
  std::vector<std::pair<std::string, std::string>> headers;  // beside Content-Type
};

// Answers a request once, from any thread, now or later.
using Responder = std::function<void(HttpResponse)>;
// Runs on a server thread and must not block; what takes time is done elsewhere, which then calls
// the responder.
using HttpHandler = std::function<void(const HttpRequest&, Responder)>;

struct HttpRoute {
  std::string path;  // matched whole
  HttpHandler handler;
  bool public_route = false;  // answers off loopback too, without a web configuration
};

}  // namespace lagwatch
