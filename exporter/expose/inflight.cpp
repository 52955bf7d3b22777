// SPDX-License-Identifier: Apache-2.0
#include "expose/inflight.h"

#include <charconv>

#include "base/text.h"

namespace lagwatch {
namespace {

void append_number(std::string& out, double value) {
  char buffer[32];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed, 3);
  out.append(buffer, end.ptr);
}

void append_text(std::string& out, std::string_view key, std::string_view value) {
  if (value.empty()) return;
  out += ",\"" + std::string(key) + "\":";
  append_json_string(out, value);
}

void append_request(std::string& out, const InflightRequest& request) {
  out += "{\"state\":\"" + std::string(request_state_name(request.state)) + "\"";
  if (request.age) {
    out += ",\"age_seconds\":";
    append_number(out, *request.age);
  }
  append_text(out, "route", request.route);
  append_text(out, "method", request.method);
  append_text(out, "path", request.path);
  append_text(out, "group", request.group);
  if (request.pid != 0) out += ",\"pid\":" + std::to_string(request.pid);
  if (request.abandoned) out += ",\"abandoned\":true";
  if (request.short_query) out += ",\"short_query\":true";
  out += '}';
}

void append_target(std::string& out, const TargetView& target, const CollectorView& view,
                   const Inflight& inflight, Instant now) {
  out += "{\"target\":";
  append_json_string(out, target.info->name);
  out += ",\"age_seconds\":";
  append_number(out, seconds(now - view.good_at));
  out += ",\"left_out\":" + std::to_string(inflight.left_out) + ",\"requests\":[";
  for (const InflightRequest& request : inflight.requests) {
    if (&request != &inflight.requests.front()) out += ',';
    append_request(out, request);
  }
  out += "]}";
}

}  // namespace

std::string_view request_state_name(RequestState state) {
  switch (state) {
    case RequestState::kQueued:
      return "queued";
    case RequestState::kRunning:
      return "running";
    case RequestState::kReceiving:
      break;
  }
  return "receiving";
}

std::string inflight_json(const Snapshot& snapshot, Instant now) {
  std::string out = R"({"status":"success","data":{"targets":[)";
  bool first = true;
  for (const auto& target : snapshot.targets) {
    for (const CollectorView& view : target->collectors) {
      if (!view.output || !view.output->inflight || now >= view.expires_at) continue;
      if (!first) out += ',';
      first = false;
      append_target(out, *target, view, *view.output->inflight, now);
    }
  }
  return out + "]}}\n";
}

}  // namespace lagwatch
