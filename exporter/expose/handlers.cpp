// SPDX-License-Identifier: Apache-2.0
#include "expose/handlers.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "expose/exposition.h"
#include "expose/gzip.h"
#include "expose/inflight.h"
#include "expose/negotiate.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxHostBytes = 255;

// Makes the exposition when the first piece is wanted: on a server thread, not on the loop that
// calls responders.
class LazyExposition : public BodySource {
 public:
  LazyExposition(HandlerContext context, ExpositionSource::Options options, bool with_process)
      : context_(std::move(context)), options_(std::move(options)), with_process_(with_process) {}

  void next(std::string& chunk) override {
    if (!source_) {
      if (with_process_) options_.families = context_.process->families();
      source_ = std::make_unique<ExpositionSource>(*context_.catalog, context_.board->read(), now(),
                                                   std::move(options_));
    }
    source_->next(chunk);
  }

 private:
  HandlerContext context_;
  ExpositionSource::Options options_;
  bool with_process_;
  std::unique_ptr<ExpositionSource> source_;
};

HttpResponse exposition(const HandlerContext& context, const HttpRequest& request,
                        std::optional<std::string> target) {
  const Exposition format = choose_exposition(request.accept);
  const bool with_process = !target;
  HttpResponse response;
  response.content_type = content_type(format);
  response.headers.emplace_back("Vary", "Accept, Accept-Encoding");
  response.source = std::make_unique<LazyExposition>(
      context, ExpositionSource::Options{format, std::move(target), {}}, with_process);
  if (accepts_gzip(request.accept_encoding)) {
    response.source = gzip(std::move(response.source));
    response.headers.emplace_back("Content-Encoding", "gzip");
  }
  return response;
}

HttpResponse plain(int status, std::string text) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(text) + "\n";
  return response;
}

void metrics(const HandlerContext& context, const HttpRequest& request, Responder respond) {
  context.refresh(std::nullopt, [context, request, respond = std::move(respond)] {
    respond(exposition(context, request, std::nullopt));
  });
}

void probe(const HandlerContext& context, const HttpRequest& request, Responder respond) {
  const auto name = request.parameter("target");
  if (!name || name->empty()) {
    respond(
        plain(400, "/probe wants ?target=NAME, the name of a configured target; /sd lists them."));
    return;
  }
  const auto snapshot = context.board->read();
  const bool known = std::any_of(snapshot->targets.begin(), snapshot->targets.end(),
                                 [&](const auto& target) { return target->info->name == *name; });
  if (!known) {
    respond(plain(
        404, "There is no target \"" + printable(*name, 100) + "\"; /sd lists those there are."));
    return;
  }
  std::string target(*name);
  context.refresh(target, [context, request, target, respond = std::move(respond)] {
    respond(exposition(context, request, target));
  });
}

bool is_host(std::string_view host) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_' || c == ':' || c == '[' || c == ']';
  };
  return !host.empty() && host.size() <= kMaxHostBytes &&
         std::all_of(host.begin(), host.end(), allowed);
}

// Prometheus' http_sd: this agent once for each target, each with an `instance` of its own.
void sd(const HandlerContext& context, const HttpRequest& request, const Responder& respond) {
  if (!is_host(request.host)) {
    respond(plain(400, "/sd needs a Host header: it becomes the address to scrape."));
    return;
  }
  const auto snapshot = context.board->read();
  std::string json = "[";
  for (const auto& target : snapshot->targets) {
    const std::string& name = target->info->name;
    if (json.size() > 1) json += ',';
    json += "{\"targets\":[";
    append_json_string(json, request.host);
    json += "],\"labels\":{\"__metrics_path__\":\"/probe\",\"__param_target\":";
    append_json_string(json, name);
    json += ",\"instance\":";
    append_json_string(json, request.host + "/" + name);
    json += "}}";
  }
  HttpResponse response;
  response.content_type = "application/json";
  response.body = json + "]\n";
  respond(std::move(response));
}

void ready(const HandlerContext& context, const Responder& respond) {
  const auto snapshot = context.board->read();
  size_t untried = 0;
  std::string first;
  for (const auto& target : snapshot->targets) {
    if (target->tried) continue;
    if (untried++ == 0) first = target->info->name;
  }
  if (untried == 0) {
    respond(plain(200, "lagwatch is ready: every target was tried."));
  } else {
    respond(plain(503, "lagwatch is not ready: " + std::to_string(untried) + " of " +
                           std::to_string(snapshot->targets.size()) +
                           " targets not tried yet, first " + first + "."));
  }
}

// Paths are what visitors sent, and may tell who they are: not answered off loopback.
void inflight(const HandlerContext& context, const Responder& respond) {
  HttpResponse response;
  response.content_type = "application/json";
  response.body = inflight_json(*context.board->read(), now().steady);
  respond(std::move(response));
}

void append_html(std::string& out, std::string_view text) {
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
}

void append_target_row(std::string& html, const TargetView& target) {
  html += "<tr><td>";
  append_html(html, target.info->name);
  html += "</td><td>";
  append_html(html, target.info->kind->name);
  html += "</td><td>";
  if (target.error) {
    append_html(html, reason_name(target.error->reason));
    html += ": ";
    append_html(html, printable(target.error->message));
    if (!target.error->fix.empty()) {
      html += "<br><code>";
      append_html(html, printable(target.error->fix));
      html += "</code>";
    }
  } else {
    html += target.up ? "up" : "not tried yet";
  }
  html += "</td></tr>\n";
}

void landing(const HandlerContext& context, const Responder& respond) {
  std::string html =
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta "
      "charset=\"utf-8\"><title>lagwatch</title></head>\n<body>"
      "<h1>lagwatch ";
  append_html(html, context.version);
  html +=
      "</h1>\n<p>Metrics exporter and alerting agent for the stack of a Rails site.</p>\n"
      "<ul><li><a href=\"/metrics\">/metrics</a></li><li><a href=\"/sd\">/sd</a>: targets for "
      "Prometheus' http_sd, "
      "each through /probe?target=NAME</li><li><a href=\"/-/healthy\">/-/healthy</a>, "
      "<a href=\"/-/ready\">/-/ready</a></li></ul>\n"
      "<table><tr><th>target</th><th>kind</th><th>state</th></tr>\n";
  for (const auto& target : context.board->read()->targets) append_target_row(html, *target);
  html += "</table></body></html>\n";
  HttpResponse response;
  response.content_type = "text/html; charset=utf-8";
  response.headers.emplace_back("Content-Security-Policy",
                                "default-src 'none'; frame-ancestors 'none'");
  response.body = std::move(html);
  respond(std::move(response));
}

}  // namespace

std::vector<HttpRoute> routes(const HandlerContext& context) {
  return {
      {"/metrics",
       [context](const HttpRequest& request, Responder respond) {
         metrics(context, request, std::move(respond));
       },
       true},
      {"/probe",
       [context](const HttpRequest& request, Responder respond) {
         probe(context, request, std::move(respond));
       },
       true},
      {"/sd",
       [context](const HttpRequest& request, const Responder& respond) {
         sd(context, request, respond);
       },
       true},
      {"/-/healthy",
       [](const HttpRequest&, const Responder& respond) {
         respond(plain(200, "lagwatch is healthy."));
       },
       true},
      {"/-/ready",
       [context](const HttpRequest&, const Responder& respond) { ready(context, respond); }, true},
      {"/api/v1/inflight",
       [context](const HttpRequest&, const Responder& respond) { inflight(context, respond); },
       false},
      {"/", [context](const HttpRequest&, const Responder& respond) { landing(context, respond); },
       false},
  };
}

}  // namespace lagwatch
