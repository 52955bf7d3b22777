// SPDX-License-Identifier: Apache-2.0
#include "collector/haproxy_columns.h"

#include <array>

#include "collector/haproxy_states.h"

namespace lagwatch {
namespace {

consteval Column state(std::string_view name, std::string_view cell,
                       std::span<const std::string_view> states, std::string_view help) {
  return Column{.name = name,
                .source = cell,
                .help = help,
                .label = "state",
                .values = states,
                .expand = Expand::kState};
}
consteval Column each(std::string_view name, std::string_view cell,
                      std::span<const std::string_view> states, std::string_view help) {
  return Column{.name = name,
                .source = cell,
                .help = help,
                .label = "state",
                .values = states,
                .expand = Expand::kEach};
}
constexpr std::string_view kCodes[] = {"1xx", "2xx", "3xx", "4xx", "5xx", "other"};
consteval Column responses(std::string_view name, std::string_view help) {
  return Column{.name = name,
                .type = Type::kCounter,
                .source = "hrsp_1xx",  // and the five behind it
                .help = help,
                .label = "code",
                .values = kCodes,
                .expand = Expand::kEach};
}

constexpr Column kFrontendColumns[] = {
    counter("haproxy_frontend_bytes_in_total", "bin", "Bytes received."),
    counter("haproxy_frontend_bytes_out_total", "bout", "Bytes sent."),
    gauge("haproxy_frontend_connections_rate_max", "conn_rate_max",
          "Most connections in a second."),
    counter("haproxy_frontend_connections_total", "conn_tot", "Connections."),
    gauge("haproxy_frontend_current_session_rate", "rate", "Sessions begun in the last second."),
    gauge("haproxy_frontend_current_sessions", "scur", "Sessions now."),
    counter("haproxy_frontend_denied_connections_total", "dcon", "Connections denied by rules."),
    counter("haproxy_frontend_denied_sessions_total", "dses", "Sessions denied by rules."),
    counter("haproxy_frontend_failed_header_rewriting_total", "wrew",
            "Header rewrites that failed."),
    counter("haproxy_frontend_http_cache_hits_total", "cache_hits",
            "Requests answered from the cache."),
    counter("haproxy_frontend_http_cache_lookups_total", "cache_lookups",
            "Requests looked up in the cache."),
    counter("haproxy_frontend_http_comp_bytes_bypassed_total", "comp_byp",
            "Bytes that passed by the compressor."),
    counter("haproxy_frontend_http_comp_bytes_in_total", "comp_in",
            "Bytes given to the compressor."),
    counter("haproxy_frontend_http_comp_bytes_out_total", "comp_out", "Bytes the compressor gave."),
    counter("haproxy_frontend_http_comp_responses_total", "comp_rsp", "Responses compressed."),
    gauge("haproxy_frontend_http_requests_rate_max", "req_rate_max",
          "Most HTTP requests in a second."),
    counter("haproxy_frontend_http_requests_total", "req_tot", "HTTP requests."),
    responses("haproxy_frontend_http_responses_total",
              "HTTP responses by class of status; a backend's include those HAProxy made itself."),
    counter("haproxy_frontend_intercepted_requests_total", "intercepted",
            "Requests HAProxy answered itself (statistics, cache, redirects)."),
    counter("haproxy_frontend_internal_errors_total", "eint", "Errors inside HAProxy."),
    gauge("haproxy_frontend_limit_session_rate", "rate_lim",
          "Limit of sessions a second (0: none)."),
    gauge("haproxy_frontend_limit_sessions", "slim", "Limit of sessions (backend: its fullconn)."),
    gauge("haproxy_frontend_max_session_rate", "rate_max", "Most sessions begun in a second."),
    gauge("haproxy_frontend_max_sessions", "smax", "Most sessions at once."),
    counter("haproxy_frontend_req_bytes_in_total", "reqbin", "Request bytes received."),
    counter("haproxy_frontend_req_bytes_out_total", "reqbout", "Request bytes sent."),
    counter("haproxy_frontend_request_errors_total", "ereq", "Request errors."),
    counter("haproxy_frontend_requests_denied_total", "dreq", "Requests denied by rules."),
    counter("haproxy_frontend_res_bytes_in_total", "resbin", "Response bytes received."),
    counter("haproxy_frontend_res_bytes_out_total", "resbout", "Response bytes sent."),
    counter("haproxy_frontend_responses_denied_total", "dresp", "Responses denied by rules."),
    counter("haproxy_frontend_sessions_total", "stot", "Sessions."),
    state("haproxy_frontend_status", "status", kProxyStates, "Status, one of the states."),
};

constexpr Column kListenerColumns[] = {
    counter("haproxy_listener_bytes_in_total", "bin", "Bytes received."),
    counter("haproxy_listener_bytes_out_total", "bout", "Bytes sent."),
    counter("haproxy_listener_connections_total", "conn_tot", "Connections."),
    gauge("haproxy_listener_current_sessions", "scur", "Sessions now."),
    counter("haproxy_listener_denied_connections_total", "dcon", "Connections denied by rules."),
    counter("haproxy_listener_denied_sessions_total", "dses", "Sessions denied by rules."),
    counter("haproxy_listener_failed_header_rewriting_total", "wrew",
            "Header rewrites that failed."),
    counter("haproxy_listener_internal_errors_total", "eint", "Errors inside HAProxy."),
    gauge("haproxy_listener_limit_sessions", "slim", "Limit of sessions (backend: its fullconn)."),
    gauge("haproxy_listener_max_sessions", "smax", "Most sessions at once."),
    counter("haproxy_listener_req_bytes_in_total", "reqbin", "Request bytes received."),
    counter("haproxy_listener_req_bytes_out_total", "reqbout", "Request bytes sent."),
    counter("haproxy_listener_request_errors_total", "ereq", "Request errors."),
    counter("haproxy_listener_requests_denied_total", "dreq", "Requests denied by rules."),
    counter("haproxy_listener_res_bytes_in_total", "resbin", "Response bytes received."),
    counter("haproxy_listener_res_bytes_out_total", "resbout", "Response bytes sent."),
    counter("haproxy_listener_responses_denied_total", "dresp", "Responses denied by rules."),
    counter("haproxy_listener_sessions_total", "stot", "Sessions."),
    state("haproxy_listener_status", "status", kListenerStates, "Status, one of the states."),
};

constexpr Column kBackendColumns[] = {
    gauge("haproxy_backend_active_servers", "act",
          "Servers that take traffic and are not backups (backend), or whether the server is not a "
          "backup (server)."),
    each("haproxy_backend_agg_check_status", "agg_check_status", kCheckStates,
         "Servers by result of their last check."),
    each("haproxy_backend_agg_server_check_status", "agg_server_check_status", kServerStates,
         "Servers by status; the older name of haproxy_backend_agg_server_status."),
    each("haproxy_backend_agg_server_status", "agg_server_status", kServerStates,
         "Servers by status."),
    gauge("haproxy_backend_backup_servers", "bck",
          "Backup servers that can take traffic (backend), or whether the server is a backup "
          "(server)."),
    counter("haproxy_backend_bytes_in_total", "bin", "Bytes received."),
    counter("haproxy_backend_bytes_out_total", "bout", "Bytes sent."),
    gauge("haproxy_backend_check_last_change_seconds", "lastchg",
          "Seconds since its status changed."),
    counter("haproxy_backend_check_up_down_total", "chkdown",
            "Times it went from UP to DOWN, planned maintenance included."),
    counter("haproxy_backend_client_aborts_total", "cli_abrt",
            "Transfers broken off by the client."),
    milliseconds("haproxy_backend_connect_time_average_seconds", "ctime",
                 "Time to connect, average over the last 1024 requests."),
    counter("haproxy_backend_connection_attempts_total", "connect",
            "Attempts to connect to a server."),
    counter("haproxy_backend_connection_errors_total", "econ",
            "Connection attempts that failed; with no server left, the requests turned away."),
    counter("haproxy_backend_connection_reuses_total", "reuse", "Connections used again."),
    gauge("haproxy_backend_current_queue", "qcur", "Requests waiting in queue now."),
    gauge("haproxy_backend_current_session_rate", "rate", "Sessions begun in the last second."),
    gauge("haproxy_backend_current_sessions", "scur", "Sessions now."),
    counter("haproxy_backend_downtime_seconds_total", "downtime",
            "Seconds DOWN (backend: with no server at all)."),
    counter("haproxy_backend_failed_header_rewriting_total", "wrew",
            "Header rewrites that failed."),
    counter("haproxy_backend_http_cache_hits_total", "cache_hits",
            "Requests answered from the cache."),
    counter("haproxy_backend_http_cache_lookups_total", "cache_lookups",
            "Requests looked up in the cache."),
    counter("haproxy_backend_http_comp_bytes_bypassed_total", "comp_byp",
            "Bytes that passed by the compressor."),
    counter("haproxy_backend_http_comp_bytes_in_total", "comp_in",
            "Bytes given to the compressor."),
    counter("haproxy_backend_http_comp_bytes_out_total", "comp_out", "Bytes the compressor gave."),
    counter("haproxy_backend_http_comp_responses_total", "comp_rsp", "Responses compressed."),
    counter("haproxy_backend_http_requests_total", "req_tot", "HTTP requests."),
    responses("haproxy_backend_http_responses_total",
              "HTTP responses by class of status; a backend's include those HAProxy made itself."),
    counter("haproxy_backend_internal_errors_total", "eint", "Errors inside HAProxy."),
    gauge("haproxy_backend_last_session_seconds", "lastsess",
          "Seconds since the last session (-1: none yet)."),
    gauge("haproxy_backend_limit_sessions", "slim", "Limit of sessions (backend: its fullconn)."),
    counter("haproxy_backend_loadbalanced_total", "lbtot", "Times chosen by load balancing."),
    milliseconds("haproxy_backend_max_connect_time_seconds", "ctime_max",
                 "Longest time to connect since start."),
    gauge("haproxy_backend_max_queue", "qmax", "Most requests that waited in queue."),
    milliseconds("haproxy_backend_max_queue_time_seconds", "qtime_max",
                 "Longest time in queue since start."),
    milliseconds("haproxy_backend_max_response_time_seconds", "rtime_max",
                 "Longest time to the response since start."),
    gauge("haproxy_backend_max_session_rate", "rate_max", "Most sessions begun in a second."),
    gauge("haproxy_backend_max_sessions", "smax", "Most sessions at once."),
    milliseconds("haproxy_backend_max_total_time_seconds", "ttime_max",
                 "Longest session since start."),
    milliseconds("haproxy_backend_queue_time_average_seconds", "qtime",
                 "Time waited in queue, average over the last 1024 requests."),
    counter("haproxy_backend_redispatch_warnings_total", "wredis",
            "Requests sent to another server than meant."),
    counter("haproxy_backend_req_bytes_in_total", "reqbin", "Request bytes received."),
    counter("haproxy_backend_req_bytes_out_total", "reqbout", "Request bytes sent."),
    counter("haproxy_backend_requests_denied_total", "dreq", "Requests denied by rules."),
    counter("haproxy_backend_res_bytes_in_total", "resbin", "Response bytes received."),
    counter("haproxy_backend_res_bytes_out_total", "resbout", "Response bytes sent."),
    counter("haproxy_backend_response_errors_total", "eresp", "Response errors."),
    milliseconds("haproxy_backend_response_time_average_seconds", "rtime",
                 "Time to the response, average over the last 1024 requests (0 for TCP)."),
    counter("haproxy_backend_responses_denied_total", "dresp", "Responses denied by rules."),
    counter("haproxy_backend_retry_warnings_total", "wretr", "Retried connections."),
    counter("haproxy_backend_server_aborts_total", "srv_abrt",
            "Transfers broken off by the server or inside HAProxy."),
    counter("haproxy_backend_sessions_total", "stot", "Sessions."),
    state("haproxy_backend_status", "status", kProxyStates, "Status, one of the states."),
    milliseconds("haproxy_backend_total_time_average_seconds", "ttime",
                 "Whole time of a session, average over the last 1024 requests."),
    gauge("haproxy_backend_uweight", "uweight", "Weight as configured."),
    gauge("haproxy_backend_weight", "weight",
          "Weight in effect (backend: of all servers that take traffic)."),
};

constexpr Column kServerColumns[] = {
    gauge("haproxy_server_active", "act",
          "Servers that take traffic and are not backups (backend), or whether the server is not a "
          "backup (server)."),
    gauge("haproxy_server_backup", "bck",
          "Backup servers that can take traffic (backend), or whether the server is a backup "
          "(server)."),
    counter("haproxy_server_bytes_in_total", "bin", "Bytes received."),
    counter("haproxy_server_bytes_out_total", "bout", "Bytes sent."),
    gauge("haproxy_server_check_code", "check_code", "Code of the last check, if it got that far."),
    milliseconds("haproxy_server_check_duration_seconds", "check_duration",
                 "Time the last check took."),
    counter("haproxy_server_check_failures_total", "chkfail", "Failed checks while it was UP."),
    gauge("haproxy_server_check_last_change_seconds", "lastchg",
          "Seconds since its status changed."),
    state("haproxy_server_check_status", "check_status", kCheckStates,
          "Result of the last check; absent without checks."),
    counter("haproxy_server_check_up_down_total", "chkdown",
            "Times it went from UP to DOWN, planned maintenance included."),
    counter("haproxy_server_client_aborts_total", "cli_abrt",
            "Transfers broken off by the client."),
    milliseconds("haproxy_server_connect_time_average_seconds", "ctime",
                 "Time to connect, average over the last 1024 requests."),
    counter("haproxy_server_connection_attempts_total", "connect",
            "Attempts to connect to a server."),
    counter("haproxy_server_connection_errors_total", "econ",
            "Connection attempts that failed; with no server left, the requests turned away."),
    counter("haproxy_server_connection_reuses_total", "reuse", "Connections used again."),
    gauge("haproxy_server_current_queue", "qcur", "Requests waiting in queue now."),
    gauge("haproxy_server_current_session_rate", "rate", "Sessions begun in the last second."),
    gauge("haproxy_server_current_sessions", "scur", "Sessions now."),
    gauge("haproxy_server_current_throttle", "throttle",
          "Percent of the weight in effect during slow start."),
    counter("haproxy_server_downtime_seconds_total", "downtime",
            "Seconds DOWN (backend: with no server at all)."),
    counter("haproxy_server_failed_header_rewriting_total", "wrew", "Header rewrites that failed."),
    counter("haproxy_server_http_requests_total", "req_tot", "HTTP requests."),
    responses("haproxy_server_http_responses_total",
              "HTTP responses by class of status; a backend's include those HAProxy made itself."),
    gauge("haproxy_server_idle_connections_current", "srv_icur",
          "Idle connections kept for reuse."),
    gauge("haproxy_server_idle_connections_limit", "src_ilim",
          "Limit of idle connections (absent: none)."),
    counter("haproxy_server_internal_errors_total", "eint", "Errors inside HAProxy."),
    gauge("haproxy_server_last_session_seconds", "lastsess",
          "Seconds since the last session (-1: none yet)."),
    gauge("haproxy_server_limit_sessions", "slim", "Limit of sessions (backend: its fullconn)."),
    counter("haproxy_server_loadbalanced_total", "lbtot", "Times chosen by load balancing."),
    milliseconds("haproxy_server_max_connect_time_seconds", "ctime_max",
                 "Longest time to connect since start."),
    gauge("haproxy_server_max_queue", "qmax", "Most requests that waited in queue."),
    milliseconds("haproxy_server_max_queue_time_seconds", "qtime_max",
                 "Longest time in queue since start."),
    milliseconds("haproxy_server_max_response_time_seconds", "rtime_max",
                 "Longest time to the response since start."),
    gauge("haproxy_server_max_session_rate", "rate_max", "Most sessions begun in a second."),
    gauge("haproxy_server_max_sessions", "smax", "Most sessions at once."),
    milliseconds("haproxy_server_max_total_time_seconds", "ttime_max",
                 "Longest session since start."),
    gauge("haproxy_server_need_connections_current", "need_conn_est",
          "Connections estimated to be needed."),
    gauge("haproxy_server_private_idle_connections_current", "priv_idle_cur",
          "Private idle connections."),
    gauge("haproxy_server_queue_limit", "qlimit", "Limit of the server's queue (absent: none)."),
    milliseconds("haproxy_server_queue_time_average_seconds", "qtime",
                 "Time waited in queue, average over the last 1024 requests."),
    counter("haproxy_server_redispatch_warnings_total", "wredis",
            "Requests sent to another server than meant."),
    counter("haproxy_server_req_bytes_in_total", "reqbin", "Request bytes received."),
    counter("haproxy_server_req_bytes_out_total", "reqbout", "Request bytes sent."),
    counter("haproxy_server_res_bytes_in_total", "resbin", "Response bytes received."),
    counter("haproxy_server_res_bytes_out_total", "resbout", "Response bytes sent."),
    counter("haproxy_server_response_errors_total", "eresp", "Response errors."),
    milliseconds("haproxy_server_response_time_average_seconds", "rtime",
                 "Time to the response, average over the last 1024 requests (0 for TCP)."),
    counter("haproxy_server_responses_denied_total", "dresp", "Responses denied by rules."),
    counter("haproxy_server_retry_warnings_total", "wretr", "Retried connections."),
    gauge("haproxy_server_safe_idle_connections_current", "safe_conn_cur",
          "Idle connections that are safe to reuse."),
    counter("haproxy_server_server_aborts_total", "srv_abrt",
            "Transfers broken off by the server or inside HAProxy."),
    counter("haproxy_server_sessions_total", "stot", "Sessions."),
    state("haproxy_server_status", "status", kServerStates, "Status, one of the states."),
    milliseconds("haproxy_server_total_time_average_seconds", "ttime",
                 "Whole time of a session, average over the last 1024 requests."),
    gauge("haproxy_server_unsafe_idle_connections_current", "idle_conn_cur",
          "Idle connections that are unsafe to reuse."),
    gauge("haproxy_server_used_connections_current", "used_conn_cur", "Connections in use."),
    gauge("haproxy_server_uweight", "uweight", "Weight as configured."),
    gauge("haproxy_server_weight", "weight",
          "Weight in effect (backend: of all servers that take traffic)."),
};

// For each column its source among kStatNumbers.
template <size_t N>
consteval std::array<StatCell, N> bind(const Column (&columns)[N]) {
  std::array<StatCell, N> cells{};
  for (size_t i = 0; i < N; ++i) {
    cells[i].number = static_cast<uint8_t>(stat_number(columns[i].source));
    cells[i].http_only = columns[i].name.find("_http_") != std::string_view::npos;
    cells[i].scaled = columns[i].scale != 1;
    cells[i].elements = static_cast<uint8_t>(cell_count(columns[i]));
  }
  return cells;
}
constexpr auto kFrontendCells = bind(kFrontendColumns);
constexpr auto kListenerCells = bind(kListenerColumns);
constexpr auto kBackendCells = bind(kBackendColumns);
constexpr auto kServerCells = bind(kServerColumns);

constexpr std::string_view kProxy[] = {"proxy"};
constexpr std::string_view kProxyListener[] = {"proxy", "listener"};
constexpr std::string_view kProxyServer[] = {"proxy", "server"};
constexpr StatScope kScopes[] = {
    {{kProxy, kFrontendColumns}, kFrontendCells},
    {{kProxy, kBackendColumns}, kBackendCells},
    {{kProxyServer, kServerColumns}, kServerCells},
    {{kProxyListener, kListenerColumns}, kListenerCells},
};

}  // namespace

const StatScope& stat_scope(RowType type) { return kScopes[static_cast<size_t>(type)]; }

}  // namespace lagwatch
