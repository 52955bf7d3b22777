// SPDX-License-Identifier: Apache-2.0
// The main lane's: names, labels and types of elasticsearch_exporter, and beside them what it
// parses and never exports, which tells first that searches pile up.
#include "collector/elasticsearch_columns.h"

#include <algorithm>
#include <vector>

namespace lagwatch {
namespace {

consteval Column seconds_of(std::string_view name, std::string_view source, std::string_view help) {
  return Column{
      .name = name, .type = Type::kCounter, .source = source, .help = help, .scale = 0.001};
}

constexpr std::string_view kHeap[] = {"heap"};
constexpr std::string_view kUptime[] = {"uptime"};
constexpr std::string_view kStages[] = {"coordinating", "primary", "replica"};
consteval Column heap(std::string_view name, std::string_view source, std::string_view help) {
  return Column{.name = name,
                .source = source,
                .help = help,
                .label = "area",
                .values = kHeap,
                .expand = Expand::kEach};
}

constexpr Column kNode[] = {
    gauge("elasticsearch_search_active_queries", "indices.search.query_current",
          "Shard queries that run now: at the size of the search pool nothing more gets through."),
    gauge("elasticsearch_fetch_current", "indices.search.fetch_current",
          "Shard fetches that run now."),
    gauge("elasticsearch_search_open_contexts", "indices.search.open_contexts",
          "Search contexts that are open, scrolls among them: they hold memory and files."),
    counter("elasticsearch_search_failed_total",
            "indices.search.query_failure|indices.search.query_failure_total",
            "Shard queries that failed (8.x+)."),
    counter("elasticsearch_indexing_failed_total", "indices.indexing.index_failed",
            "Documents that could not be indexed (2.x+)."),
    gauge("elasticsearch_http_current_open", "http.current_open",
          "HTTP connections that are open: each request that waits holds one."),
    counter("elasticsearch_http_opened_total", "http.total_opened", "HTTP connections opened."),
    counter("elasticsearch_indices_search_query_total", "indices.search.query_total",
            "Shard queries that ended."),
    seconds_of("elasticsearch_indices_search_query_time_seconds",
               "indices.search.query_time_in_millis",
               "Time of the shard queries that ended, waiting not included: blind while they pile "
               "up."),
    counter("elasticsearch_indices_search_fetch_total", "indices.search.fetch_total",
            "Shard fetches that ended."),
    seconds_of("elasticsearch_indices_search_fetch_time_seconds",
               "indices.search.fetch_time_in_millis", "Time of the shard fetches that ended."),
    gauge("elasticsearch_indices_search_scroll_current", "indices.search.scroll_current",
          "Scrolls that are open."),
    counter("elasticsearch_indices_indexing_index_total", "indices.indexing.index_total",
            "Documents indexed, on replicas too."),
    seconds_of("elasticsearch_indices_indexing_index_time_seconds_total",
               "indices.indexing.index_time_in_millis", "Time spent on indexing."),
    gauge("elasticsearch_indices_indexing_is_throttled", "indices.indexing.is_throttled",
          "1 while indexing is slowed down because merges do not keep up."),
    seconds_of("elasticsearch_indices_indexing_throttle_time_seconds_total",
               "indices.indexing.throttle_time_in_millis", "Time in which indexing was so slowed."),
    counter("elasticsearch_indices_refresh_total", "indices.refresh.total", "Refreshes."),
    seconds_of("elasticsearch_indices_refresh_time_seconds_total",
               "indices.refresh.total_time_in_millis", "Time spent on refreshes."),
    gauge("elasticsearch_indices_merges_current", "indices.merges.current", "Merges that run now."),
    seconds_of("elasticsearch_indices_merges_total_throttled_time_seconds_total",
               "indices.merges.total_throttled_time_in_millis",
               "Time in which merges were slowed down (1.5+)."),
    gauge("elasticsearch_indices_docs", "indices.docs.count", "Documents on this node's shards."),
    gauge("elasticsearch_process_cpu_percent", "process.cpu.percent",
          "CPU of the process, percent of the host's."),
    gauge("elasticsearch_process_open_files_count", "process.open_file_descriptors",
          "File descriptors that are open."),
    gauge("elasticsearch_process_max_files_descriptors", "process.max_file_descriptors",
          "File descriptors that may be open."),
    heap("elasticsearch_jvm_memory_used_bytes", "jvm.mem.heap_used_in_bytes",
         "Memory the JVM uses."),
    heap("elasticsearch_jvm_memory_max_bytes", "jvm.mem.heap_max_in_bytes",
         "Memory the JVM may use."),
    heap("elasticsearch_jvm_memory_committed_bytes", "jvm.mem.heap_committed_in_bytes",
         "Memory the JVM has of the system."),
    Column{.name = "elasticsearch_jvm_uptime_seconds",
           .source = "jvm.uptime_in_millis",
           .help = "How long the JVM has run.",
           .scale = 0.001,
           .label = "type",
           .values = kUptime,
           .expand = Expand::kEach},
};
constexpr Schema kNodeSchema{kNodeLabels, kNode};

constexpr std::string_view kPoolLabels[] = {"cluster",        "host",         "name",
                                            "es_master_node", "es_data_node", "es_ingest_node",
                                            "es_client_node", "type"};
constexpr Column kPool[] = {
    gauge("elasticsearch_thread_pool_active_count", "thread_pool.*.active",
          "Threads of the pool that work now."),
    gauge("elasticsearch_thread_pool_queue_count", "thread_pool.*.queue",
          "Tasks that wait for a thread of the pool."),
    counter("elasticsearch_thread_pool_rejected_count", "thread_pool.*.rejected",
            "Tasks refused because the pool's queue was full."),
    counter("elasticsearch_thread_pool_completed_count", "thread_pool.*.completed",
            "Tasks that ended."),
    gauge("elasticsearch_thread_pool_threads_count", "thread_pool.*.threads",
          "Threads the pool has."),
    gauge("elasticsearch_thread_pool_largest_count", "thread_pool.*.largest",
          "Most threads the pool ever had."),
};
constexpr std::string_view kPoolSources[] = {"thread_pool.*"};

constexpr std::string_view kBreakerLabels[] = {"cluster",        "host",         "name",
                                               "es_master_node", "es_data_node", "es_ingest_node",
                                               "es_client_node", "breaker"};
constexpr Column kBreaker[] = {
    gauge("elasticsearch_breakers_estimated_size_bytes", "breakers.*.estimated_size_in_bytes",
          "Memory that the circuit breaker counts."),
    gauge("elasticsearch_breakers_limit_size_bytes", "breakers.*.limit_size_in_bytes",
          "Memory at which the circuit breaker trips."),
    counter("elasticsearch_breakers_tripped", "breakers.*.tripped",
            "Requests that the circuit breaker refused."),
    counter("elasticsearch_breakers_overhead", "breakers.*.overhead",
            "Factor by which the circuit breaker multiplies its estimates."),
};
constexpr Schema kBreakerSchema{kBreakerLabels, kBreaker};
constexpr std::string_view kBreakerSources[] = {"breakers.*"};

constexpr std::string_view kGcLabels[] = {
    "cluster",      "host",           "name",           "es_master_node",
    "es_data_node", "es_ingest_node", "es_client_node", "gc"};
constexpr Column kGc[] = {
    counter("elasticsearch_jvm_gc_collection_seconds_count", "jvm.gc.collectors.*.collection_count",
            "Garbage collections."),
    seconds_of("elasticsearch_jvm_gc_collection_seconds_sum",
               "jvm.gc.collectors.*.collection_time_in_millis",
               "Time spent on garbage collections."),
};
constexpr Schema kGcSchema{kGcLabels, kGc};
constexpr std::string_view kGcSources[] = {"jvm.gc.collectors.*"};

constexpr std::string_view kMemoryPoolLabels[] = {
    "cluster",      "host",           "name",           "es_master_node",
    "es_data_node", "es_ingest_node", "es_client_node", "pool"};
constexpr Column kMemoryPool[] = {
    gauge("elasticsearch_jvm_memory_pool_used_bytes", "jvm.mem.pools.*.used_in_bytes",
          "Memory in the pool; `old` after a collection is what the node really needs."),
    // elasticsearch_exporter calls these three counters.
    counter("elasticsearch_jvm_memory_pool_max_bytes", "jvm.mem.pools.*.max_in_bytes",
            "Memory the pool may have."),
    counter("elasticsearch_jvm_memory_pool_peak_used_bytes", "jvm.mem.pools.*.peak_used_in_bytes",
            "Most memory that was in the pool."),
    counter("elasticsearch_jvm_memory_pool_peak_max_bytes", "jvm.mem.pools.*.peak_max_in_bytes",
            "Most memory the pool was allowed."),
};
constexpr Schema kMemoryPoolSchema{kMemoryPoolLabels, kMemoryPool};
constexpr std::string_view kMemoryPoolSources[] = {"jvm.mem.pools.*"};

constexpr std::string_view kPressureLabels[] = {"cluster", "host", "name", "indexing_pressure"};
constexpr Column kPressure[] = {
    gauge("elasticsearch_indexing_pressure_current_all_in_bytes",
          "indexing_pressure.*.current.all_in_bytes",
          "Memory that documents hold which are being indexed (7.9+)."),
    gauge("elasticsearch_indexing_pressure_limit_in_bytes",
          "indexing_pressure.*.limit_in_bytes|indexing_pressure.*.total.limit_in_bytes",
          "Memory at which indexing is refused (7.9+)."),
    Column{.name = "elasticsearch_indexing_pressure_rejections_total",
           .type = Type::kCounter,
           .source = "indexing_pressure.*.total.coordinating_rejections "
                     "indexing_pressure.*.total.primary_rejections "
                     "indexing_pressure.*.total.replica_rejections",
           .help = "Indexing requests refused for that (7.9+).",
           .label = "stage",
           .values = kStages,
           .expand = Expand::kEach},
};
constexpr Schema kPressureSchema{kPressureLabels, kPressure};
constexpr std::string_view kPressureSources[] = {"indexing_pressure.*"};

constexpr std::string_view kMainFilter =
    "_nodes.failed,cluster_name,nodes.*.name,nodes.*.host,nodes.*.roles,nodes.*.attributes.master,"
    "nodes.*.attributes.data,nodes.*.attributes.client,"
    "nodes.*.indices.docs.count,nodes.*.indices.search.query_*,nodes.*.indices.search.fetch_*,"
    "nodes.*.indices.search.open_contexts,nodes.*.indices.search.scroll_current,"
    "nodes.*.indices.indexing.index_*,nodes.*.indices.indexing.*throttle*,"
    "nodes.*.indices.refresh.total*,nodes.*.indices.merges.current,"
    "nodes.*.indices.merges.total_throttled_time_in_millis,nodes.*.jvm.uptime_in_millis,"
    "nodes.*.jvm.mem.heap_*,nodes.*.jvm.mem.pools,nodes.*.jvm.gc,"
    "nodes.*.process.*_file_descriptors,nodes.*.process.cpu.percent,nodes.*.thread_pool.search,"
    "nodes.*.thread_pool.search_*,nodes.*.thread_pool.write,nodes.*.thread_pool.bulk,"
    "nodes.*.thread_pool.index,nodes.*.thread_pool.get,nodes.*.thread_pool.management,"
    "nodes.*.breakers,nodes.*.http.current_open,nodes.*.http.total_opened,"
    "nodes.*.indexing_pressure.memory.current.all_in_bytes,"
    "nodes.*.indexing_pressure.memory.total.*_rejections,"
    "nodes.*.indexing_pressure.memory.limit_in_bytes";
constexpr int kIndexingPressure = 70900;

}  // namespace

bool is_main_elasticsearch_pool(std::string_view pool) {
  constexpr std::string_view kMain[] = {"search", "get", "write", "bulk", "index", "management"};
  return pool.starts_with("search_") ||
         std::find(std::begin(kMain), std::end(kMain), pool) != std::end(kMain);
}

const Schema kElasticsearchPoolSchema{kPoolLabels, kPool};

std::span<const NodeTable> elasticsearch_main_tables() {
  static const NodeTable kTables[] = {
      {&kNodeSchema, {}, nullptr},
      {&kElasticsearchPoolSchema, kPoolSources, is_main_elasticsearch_pool},
      {&kBreakerSchema, kBreakerSources, nullptr},
      {&kGcSchema, kGcSources, nullptr},
      {&kMemoryPoolSchema, kMemoryPoolSources, nullptr},
      {&kPressureSchema, kPressureSources, nullptr},
  };
  return kTables;
}

std::string elasticsearch_main_request(int api, bool local_node) {
  std::string path = local_node ? "/_nodes/_local/stats/" : "/_nodes/stats/";
  path += "indices,jvm,thread_pool,process,breaker,http";
  if (api >= kIndexingPressure) path += ",indexing_pressure";
  return (path += "/search,indexing,refresh,merge,docs?filter_path=") += kMainFilter;
}

}  // namespace lagwatch
