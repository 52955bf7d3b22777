// SPDX-License-Identifier: Apache-2.0
#include "collector/passenger_server_json.h"

#include <simdjson.h>

#include <algorithm>
#include <utility>

namespace lagwatch {
namespace {

namespace json = simdjson::ondemand;

// Calls on_field(key, value) for each field, and stops at the first thing that is no JSON.
template <typename OnField>
simdjson::error_code each_field(json::object object, OnField on_field) {
  for (auto entry : object) {
    json::field field;
    if (const auto error = std::move(entry).get(field)) return error;
    if (const auto error = on_field(field.key(), field.value())) return error;
  }
  return simdjson::SUCCESS;
}

// Of another type: not an error, the value is passed over.
template <typename T>
simdjson::error_code read(json::value& value, T& out) {
  const auto error = value.get(out);
  return error == simdjson::INCORRECT_TYPE ? simdjson::SUCCESS : error;
}

template <typename T>
simdjson::error_code read(json::value& value, std::optional<T>& out) {
  T got{};
  const auto error = value.get(got);
  if (error == simdjson::SUCCESS) out = got;
  return error == simdjson::INCORRECT_TYPE || error == simdjson::NUMBER_ERROR ||
                 error == simdjson::NUMBER_OUT_OF_RANGE
             ? simdjson::SUCCESS
             : error;
}

simdjson::error_code read_text(json::value& value, std::string_view& out) {
  const auto error = value.get_string().get(out);
  return error == simdjson::INCORRECT_TYPE || error == simdjson::STRING_ERROR ? simdjson::SUCCESS
                                                                              : error;
}

// Each field of an object; of what is no object nothing.
template <typename OnField>
simdjson::error_code each_field_of(json::value& value, OnField on_field) {
  json::object object;
  const auto error = value.get_object().get(object);
  if (error == simdjson::INCORRECT_TYPE) return simdjson::SUCCESS;
  return error ? error : each_field(object, on_field);
}

RequestState state_of(std::string_view name) {
  if (name == "CHECKING_OUT_SESSION") return RequestState::kQueued;
  if (name == "SENDING_HEADER_TO_APP" || name == "FORWARDING_BODY_TO_APP" ||
      name == "WAITING_FOR_APP_OUTPUT")
    return RequestState::kRunning;
  return RequestState::kReceiving;
}

class ServerReader {
 public:
  ServerReader(WallTime now, const OnRequest& on_request) : now_(now), on_request_(on_request) {}

  simdjson::error_code read_server(json::object server) {
    return each_field(server, [&](json::raw_json_string key, json::value value) {
      // Beside the threads there is only their number.
      const std::string_view name(key.raw(), 6);
      if (name != "thread") return simdjson::SUCCESS;
      return each_field_of(value, [&](json::raw_json_string field, json::value inner) {
        return read_thread_field(field, inner);
      });
    });
  }

  ServerCounts counts;

 private:
  static void add(std::optional<double>& sum, const std::optional<double>& value) {
    if (value) sum = sum.value_or(0) + *value;
  }

  simdjson::error_code read_count(json::value& value, std::optional<double>& sum) {
    std::optional<double> one;
    const auto error = read(value, one);
    add(sum, one);
    return error;
  }

  simdjson::error_code read_thread_field(json::raw_json_string key, json::value value) {
    if (key == "total_requests_begun") return read_count(value, counts.begun);
    if (key == "active_client_count") return read_count(value, counts.active);
    if (key == "disconnected_client_count") return read_count(value, counts.disconnected);
    if (key != "active_clients") return simdjson::SUCCESS;
    return each_field_of(value, [&](json::raw_json_string, json::value client) {
      return each_field_of(client, [&](json::raw_json_string field, json::value inner) {
        return field == "current_request" ? read_request(inner) : simdjson::SUCCESS;
      });
    });
  }

  simdjson::error_code read_request(json::value& value) {
    PassengerRequest request;
    const auto error = each_field_of(value, [&](json::raw_json_string key, json::value field) {
      return read_request_field(request, key, field);
    });
    if (!error) on_request_(request);
    return error;
  }

  simdjson::error_code read_request_field(PassengerRequest& request, json::raw_json_string key,
                                          json::value& value) {
    if (key == "method") return read_text(value, request.method);
    if (key == "path") return read_text(value, request.target);
    if (key == "host") return read_text(value, request.host);
    if (key == "started_at") return read_started(request, value);
    if (key == "session") return read_session(request, value);
    if (key == "next_request_early_read_error") {
      std::string_view words;
      const auto error = read_text(value, words);
      request.abandoned = !words.empty();
      return error;
    }
    if (key != "state") return simdjson::SUCCESS;
    std::string_view name;
    const auto error = read_text(value, name);
    request.state = state_of(name);
    return error;
  }

  static simdjson::error_code read_session(PassengerRequest& request, json::value& value) {
    return each_field_of(value, [&](json::raw_json_string key, json::value field) {
      if (key == "gupid") return read_text(field, request.gupid);
      if (key != "pid") return simdjson::SUCCESS;
      std::optional<int64_t> pid;
      const auto error = read(field, pid);
      request.pid = pid.value_or(0);
      return error;
    });
  }

  // Before 5.0.27 there is no relative time.
  simdjson::error_code read_started(PassengerRequest& request, json::value& value) {
    std::optional<double> relative;
    std::optional<double> timestamp;
    const auto error = each_field_of(value, [&](json::raw_json_string key, json::value field) {
      if (key == "relative_timestamp") return read(field, relative);
      return key == "timestamp" ? read(field, timestamp) : simdjson::SUCCESS;
    });
    // The clock may have been set back meanwhile.
    if (relative) {
      request.age = std::max(-*relative, 0.0);
    } else if (timestamp) {
      request.age = std::max(unix_seconds(now_) - *timestamp, 0.0);
    }
    return error;
  }

  const WallTime now_;
  const OnRequest& on_request_;
};

// What no JSON text may hold as it is. Passenger copies what clients sent.
void make_plain(std::string& body) {
  for (char& c : body) {
    const auto byte = static_cast<unsigned char>(c);
    const bool blank = c == '\n' || c == '\r' || c == '\t';
    if (byte >= 0x80 || (byte < 0x20 && !blank)) c = '?';
  }
}

}  // namespace

Result<ServerCounts> parse_server(std::string& body, WallTime now, const OnRequest& on_request) {
  const auto failed = [](simdjson::error_code error) {
    return Error{
        Reason::kProtocol, std::string("server.json: ") + simdjson::error_message(error), {}};
  };
  body.reserve(body.size() + simdjson::SIMDJSON_PADDING);
  json::parser parser;
  json::document document;
  auto error = parser.iterate(body.data(), body.size(), body.capacity()).get(document);
  if (error == simdjson::UTF8_ERROR || error == simdjson::UNESCAPED_CHARS) {
    make_plain(body);
    error = parser.iterate(body.data(), body.size(), body.capacity()).get(document);
  }
  if (error) return failed(error);
  json::object server;
  if ((error = document.get_object().get(server))) return failed(error);
  ServerReader reader(now, on_request);
  if ((error = reader.read_server(server))) return failed(error);
  const char* rest = nullptr;
  if (!document.current_location().get(rest)) return failed(simdjson::TRAILING_CONTENT);
  return reader.counts;
}

}  // namespace lagwatch
