// SPDX-License-Identifier: Apache-2.0
// What `show info` says, as HAProxy's own exporter names and types it, its oddities included.
#include "collector/haproxy_columns.h"

namespace lagwatch {
namespace {

using Source = std::string_view;

consteval Column counter(std::string_view name, Source cell, std::string_view help) {
  return Column{.name = name, .type = Type::kCounter, .source = cell, .help = help};
}
consteval Column gauge(std::string_view name, Source cell, std::string_view help) {
  return Column{.name = name, .source = cell, .help = help};
}

constexpr Column kProcessColumns[] = {
    gauge("haproxy_process_active_peers", "ActivePeers", "Peers that are connected and verified."),
    gauge("haproxy_process_busy_polling_enabled", "BusyPolling", "Whether busy polling is on."),
    gauge("haproxy_process_bytes_out_rate", "BytesOutRate", "Bytes sent in the last second."),
    counter("haproxy_process_bytes_out_total", "TotalBytesOut", "Bytes sent."),
    gauge("haproxy_process_connected_peers", "ConnectedPeers", "Peers connected."),
    counter("haproxy_process_connections_total", "CumConns", "Connections."),
    gauge("haproxy_process_current_backend_ssl_key_rate", "SslBackendKeyRate",
          "TLS keys computed for servers in the last second."),
    gauge("haproxy_process_current_connection_rate", "ConnRate", "Connections in the last second."),
    gauge("haproxy_process_current_connections", "CurrConns", "Connections now."),
    gauge("haproxy_process_current_frontend_ssl_key_rate", "SslFrontendKeyRate",
          "TLS keys computed for clients in the last second."),
    gauge("haproxy_process_current_run_queue", "Run_queue", "Tasks ready to run."),
    gauge("haproxy_process_current_session_rate", "SessRate", "Sessions in the last second."),
    gauge("haproxy_process_current_ssl_connections", "CurrSslConns", "TLS connections now."),
    gauge("haproxy_process_current_ssl_rate", "SslRate", "TLS sessions in the last second."),
    gauge("haproxy_process_current_tasks", "Tasks", "Tasks."),
    gauge("haproxy_process_current_zlib_memory", "ZlibMemUsage", "Memory zlib uses, bytes."),
    counter("haproxy_process_dropped_logs_total", "DroppedLogs", "Log lines dropped."),
    counter("haproxy_process_failed_resolutions", "FailedResolutions",
            "Name resolutions that failed."),
    gauge("haproxy_process_frontend_ssl_reuse", "SslFrontendSessionReuse_pct",
          "Percent of TLS sessions resumed."),
    gauge("haproxy_process_hard_max_connections", "Hard_maxconn", "Limit of connections at start."),
    counter("haproxy_process_http_comp_bytes_in_total", "CompressBpsIn",
            "Bytes a second given to the compressor (a rate, whatever its name)."),
    counter("haproxy_process_http_comp_bytes_out_total", "CompressBpsOut",
            "Bytes a second the compressor gave (a rate, whatever its name)."),
    gauge("haproxy_process_idle_time_percent", "Idle_pct",
          "Percent of time without work, of the thread that answered."),
    gauge("haproxy_process_jobs", "Jobs", "Jobs: listeners, connections, peers."),
    gauge("haproxy_process_limit_connection_rate", "ConnRateLimit",
          "Limit of connections a second (0: none)."),
    gauge("haproxy_process_limit_http_comp", "CompressBpsRateLim",
          "Limit of bytes a second given to the compressor (0: none)."),
    gauge("haproxy_process_limit_session_rate", "SessRateLimit",
          "Limit of sessions a second (0: none)."),
    gauge("haproxy_process_limit_ssl_rate", "SslRateLimit",
          "Limit of TLS sessions a second (0: none)."),
    gauge("haproxy_process_listeners", "Listeners", "Listeners."),
    gauge("haproxy_process_max_backend_ssl_key_rate", "SslBackendMaxKeyRate",
          "Most TLS keys computed for servers in a second."),
    gauge("haproxy_process_max_connection_rate", "MaxConnRate", "Most connections in a second."),
    gauge("haproxy_process_max_connections", "Maxconn", "Limit of connections."),
    gauge("haproxy_process_max_fds", "Ulimit-n", "Limit of file descriptors."),
    gauge("haproxy_process_max_frontend_ssl_key_rate", "SslFrontendMaxKeyRate",
          "Most TLS keys computed for clients in a second."),
    gauge("haproxy_process_max_memory_bytes", "Memmax_bytes", "Limit of memory (0: none)."),
    gauge("haproxy_process_max_pipes", "Maxpipes", "Limit of pipes for splicing."),
    gauge("haproxy_process_max_session_rate", "MaxSessRate", "Most sessions in a second."),
    gauge("haproxy_process_max_sockets", "Maxsock", "Limit of sockets."),
    gauge("haproxy_process_max_ssl_connections", "MaxSslConns", "Limit of TLS connections."),
    gauge("haproxy_process_max_ssl_rate", "MaxSslRate", "Most TLS sessions in a second."),
    gauge("haproxy_process_max_zlib_memory", "MaxZlibMemUsage",
          "Limit of memory for zlib, bytes (0: none)."),
    gauge("haproxy_process_nb_thread_groups", "NbThreadGroups", "Thread groups."),
    gauge("haproxy_process_nbproc", "Nbproc", "Processes."),
    gauge("haproxy_process_nbthread", "Nbthread", "Threads; 1 where HAProxy is too old to say."),
    gauge("haproxy_process_patterns_added_total", "PatternsAdded", "Patterns added."),
    gauge("haproxy_process_patterns_freed_total", "PatternsFreed", "Patterns freed."),
    counter("haproxy_process_pipes_free_total", "PipesFree",
            "Pipes free (a gauge, typed as HAProxy types it)."),
    counter("haproxy_process_pipes_used_total", "PipesUsed",
            "Pipes in use (a gauge, typed as HAProxy types it)."),
    gauge("haproxy_process_pool_allocated_bytes", "PoolAlloc_bytes", "Memory allocated in pools."),
    counter("haproxy_process_pool_failures_total", "PoolFailed", "Allocations that failed."),
    gauge("haproxy_process_pool_used_bytes", "PoolUsed_bytes", "Memory used in pools."),
    counter("haproxy_process_recv_logs_total", "CumRecvLogs", "Log lines received."),
    gauge("haproxy_process_relative_process_id", "Process_num",
          "Number of the process among nbproc."),
    counter("haproxy_process_requests_total", "CumReq", "HTTP requests."),
    counter("haproxy_process_spliced_bytes_out_total", "TotalSplicedBytesOut",
            "Bytes sent by splicing."),
    counter("haproxy_process_ssl_cache_lookups_total", "SslCacheLookups",
            "TLS sessions looked up."),
    counter("haproxy_process_ssl_cache_misses_total", "SslCacheMisses", "TLS sessions not found."),
    counter("haproxy_process_ssl_connections_total", "CumSslConns", "TLS connections."),
    gauge("haproxy_process_start_time_seconds", "Start_time_sec",
          "When the process started, by the wall clock."),
    gauge("haproxy_process_stopping", "Stopping", "Whether the process is stopping."),
    counter("haproxy_process_total_warnings", "TotalWarnings", "Warnings."),
    gauge("haproxy_process_unstoppable_jobs", "Unstoppable Jobs",
          "Jobs that keep the process alive."),
    gauge("haproxy_process_uptime_seconds", "Uptime_sec", "Seconds since the process started."),
};

}  // namespace

const Schema kProcessSchema{{}, kProcessColumns};

}  // namespace lagwatch
