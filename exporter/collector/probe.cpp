// SPDX-License-Identifier: Apache-2.0
// A URL asked from outside, with blackbox_exporter's names: the way to prove that a health check
// depends on search. What fails is the answer: the target stays up.
// Source: GET over a connection of its own, redirects not followed.
#include "collector/probe.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace lagwatch {
namespace {

constexpr std::string_view kPhases[] = {"resolve", "connect", "tls", "processing", "transfer"};
constexpr std::string_view kBounds[] = {"0.005", "0.01", "0.025", "0.05", "0.1", "0.25",
                                        "0.5",   "1",    "2.5",   "5",    "10"};
constexpr double kSeconds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
static_assert(std::size(kBounds) == std::size(kSeconds));

enum {
  kSuccess,
  kDuration,
  kLookup,
  kPhase,
  kStatus,
  kVersion,
  kSsl,
  kRedirects,
  kContentLength,
  kBodyLength,
  kRegex,
  kIpProtocol,
  kExpiry,
  kLatency,
};
constexpr Column kColumns[] = {
    gauge("probe_success", "", "1 if the answer was as expected."),
    gauge("probe_duration_seconds", "", "How long all of it took."),
    gauge("probe_dns_lookup_time_seconds", "", "How long the name took to resolve."),
    {.name = "probe_http_duration_seconds",
     .help = "How long each phase took; one that was not reached is absent.",
     .label = "phase",
     .values = kPhases,
     .expand = Expand::kEach},
    gauge("probe_http_status_code", "status", "Status of the answer; 0: none came."),
    gauge("probe_http_version", "status line", "HTTP version of the answer."),
    gauge("probe_http_ssl", "", "1 if it was asked over TLS."),
    gauge("probe_http_redirects", "", "0: redirects are not followed."),
    gauge("probe_http_content_length", "Content-Length",
          "What the answer's head says; -1: nothing."),
    gauge("probe_http_uncompressed_body_length", "body", "Bytes of the body."),
    gauge("probe_failed_due_to_regex", "body", "1 if the body was not as expected."),
    gauge("probe_ip_protocol", "", "4 or 6."),
    gauge("probe_ssl_earliest_cert_expiry", "certificates",
          "When the first certificate of the chain expires, seconds since 1970."),
    {.name = "probe_latency_seconds",
     .type = Type::kHistogram,
     .help = "How long answers took. One that did not come in time counts as what was waited for "
             "it; a refused connection, which takes no time, does not count.",
     .values = kBounds,
     .expand = Expand::kHistogram},
};
constexpr Schema kSchema{{}, kColumns};

// Transport reasons first, in the order of Reason.
constexpr std::string_view kFailureLabels[] = {"reason"};
constexpr Column kFailureColumns[] = {
    counter("probe_failures_total", "",
            "Probes that failed: reasons as of targets, unexpected_status, unexpected_body."),
};
constexpr Schema kFailureSchema{kFailureLabels, kFailureColumns};
constexpr const Schema* kSchemas[] = {&kSchema, &kFailureSchema};

constexpr size_t kUnexpectedStatus = kReasonCount;
constexpr size_t kUnexpectedBody = kReasonCount + 1;

std::string_view failure_name(size_t failure) {
  if (failure == kUnexpectedStatus) return "unexpected_status";
  if (failure == kUnexpectedBody) return "unexpected_body";
  return reason_name(static_cast<Reason>(failure));
}

struct ProbeState : State {
  ProbeOptions options;
  std::unique_ptr<RE2> expect;  // null: anything
  std::unique_ptr<RE2> reject;
  std::array<uint64_t, std::size(kBounds) + 1> latencies{};  // not cumulated; the last is +Inf
  double latency_sum = 0;
  std::array<uint64_t, kReasonCount + 2> failures{};
};

ProbeState& mine(State& state) { return static_cast<ProbeState&>(state); }

std::unique_ptr<RE2> pattern(const std::string& text) {
  return text.empty() ? nullptr : std::make_unique<RE2>(text, RE2::Quiet);
}

bool status_expected(const ProbeOptions& options, int status) {
  if (options.expect_status.empty()) return status >= 200 && status < 300;
  return std::count(options.expect_status.begin(), options.expect_status.end(), status) > 0;
}

bool body_expected(const ProbeState& probe, const std::string& body) {
  return (!probe.expect || RE2::PartialMatch(body, *probe.expect)) &&
         (!probe.reject || !RE2::PartialMatch(body, *probe.reject));
}

// Nothing: as expected.
std::optional<size_t> failure_of(const ProbeState& probe, const HttpDetail& http,
                                 const std::string& body) {
  if (http.failure) return static_cast<size_t>(http.failure->reason);
  if (!status_expected(probe.options, http.status)) return kUnexpectedStatus;
  if (!body_expected(probe, body)) return kUnexpectedBody;
  return std::nullopt;
}

// Whether the time it took says how long an answer takes.
bool is_latency(const HttpDetail& http) {
  if (!http.failure) return true;
  const Reason reason = http.failure->reason;
  return reason == Reason::kHung || reason == Reason::kStalled ||
         reason == Reason::kConnectTimeout || reason == Reason::kTooLarge;
}

void observe(ProbeState& probe, double took) {
  const auto bound = std::lower_bound(std::begin(kSeconds), std::end(kSeconds), took);
  ++probe.latencies[static_cast<size_t>(bound - std::begin(kSeconds))];
  probe.latency_sum += took;
}

void set_latency(const ProbeState& probe, Table& table) {
  double cumulated = 0;
  for (size_t i = 0; i < probe.latencies.size(); ++i) {
    cumulated += static_cast<double>(probe.latencies[i]);
    table.set(0, kLatency, cumulated, i);
  }
  table.set(0, kLatency, probe.latency_sum, probe.latencies.size());
}

void set_phases(const HttpDetail& http, Table& table) {
  const std::optional<double> phases[] = {http.resolve, http.connect, http.tls, http.processing,
                                          http.transfer};
  for (size_t i = 0; i < std::size(phases); ++i) {
    if (phases[i]) table.set(0, kPhase, *phases[i], i);
  }
}

Asks begin(State& state) {
  const ProbeOptions& options = mine(state).options;
  HttpAsk ask{.url = options.url,
              .user = options.user,
              .password_file = options.password_file,
              .ca_file = options.ca_file,
              .fresh_connection = true,
              .wants_certificate = true,
              .accept = HttpAccept::kAnything};
  if (!options.host_header.empty()) ask.headers.push_back("Host: " + options.host_header);
  Asks asks;
  asks.emplace_back(std::move(ask));
  return asks;
}

Step read(State& state, std::span<Reply> replies, const Moment&, Output& out) {
  ProbeState& probe = mine(state);
  if (!replies[0].ok()) return replies[0].error();
  const HttpDetail& http = *replies[0]->http;
  const std::string& body = replies[0]->body;
  const std::optional<size_t> failure = failure_of(probe, http, body);
  if (failure) ++probe.failures[*failure];
  if (is_latency(http)) observe(probe, http.total);

  Table& table = out.table(kSchema);
  table.add_row();
  table.set(0, kSuccess, failure ? 0 : 1);
  table.set(0, kDuration, http.total);
  if (http.resolve) table.set(0, kLookup, *http.resolve);
  set_phases(http, table);
  table.set(0, kStatus, http.status);
  if (http.version != 0) table.set(0, kVersion, http.version);
  table.set(0, kSsl, probe.options.url.starts_with("https://") ? 1 : 0);
  table.set(0, kRedirects, 0);
  if (!http.failure) {
    table.set(0, kContentLength, static_cast<double>(http.content_length.value_or(-1)));
    table.set(0, kBodyLength, static_cast<double>(body.size()));
    table.set(0, kRegex, body_expected(probe, body) ? 0 : 1);
  }
  if (http.ip_protocol != 0) table.set(0, kIpProtocol, http.ip_protocol);
  if (http.certificate_expiry) table.set(0, kExpiry, static_cast<double>(*http.certificate_expiry));
  set_latency(probe, table);

  Table& failures = out.table(kFailureSchema);
  for (size_t i = 0; i < probe.failures.size(); ++i) {
    const std::string_view labels[] = {failure_name(i)};
    failures.set(failures.add_row(labels), 0, static_cast<double>(probe.failures[i]));
  }
  return Done{};
}

}  // namespace

std::unique_ptr<State> make_probe_state(ProbeOptions options) {
  auto state = std::make_unique<ProbeState>();
  state->expect = pattern(options.expect_body);
  state->reject = pattern(options.reject_body);
  state->options = std::move(options);
  return state;
}

const Kind kProbeKind{"probes", "", nullptr};

extern const Collector probe{"probe", &kProbeKind, Lane::kMain, kSchemas, begin, read};

}  // namespace lagwatch
