// SPDX-License-Identifier: Apache-2.0
// The detail lane's: what else elasticsearch_exporter says of a node. What a version does not say
// is absent, where that exporter writes 0.
#include "collector/elasticsearch_columns.h"

namespace lagwatch {
namespace {

consteval Column seconds_of(std::string_view name, std::string_view source, std::string_view help) {
  return Column{
      .name = name, .type = Type::kCounter, .source = source, .help = help, .scale = 0.001};
}

constexpr std::string_view kHit[] = {"hit"};
constexpr std::string_view kMiss[] = {"miss"};
constexpr std::string_view kNonHeap[] = {"non-heap"};
consteval Column one(std::string_view name, Type type, std::string_view source,
                     std::string_view help, std::string_view label,
                     std::span<const std::string_view> values) {
  return Column{.name = name,
                .type = type,
                .source = source,
                .help = help,
                .label = label,
                .values = values,
                .expand = Expand::kEach};
}

constexpr Column kNode[] = {
    gauge("elasticsearch_indices_docs_deleted", "indices.docs.deleted",
          "Documents deleted and not merged away yet."),
    gauge("elasticsearch_indices_store_size_bytes", "indices.store.size_in_bytes",
          "Size of the shards on disk."),
    seconds_of("elasticsearch_indices_store_throttle_time_seconds_total",
               "indices.store.throttle_time_in_millis",
               "Time in which writes were slowed down (before 6.0)."),
    gauge("elasticsearch_indices_fielddata_memory_size_bytes",
          "indices.fielddata.memory_size_in_bytes", "Memory of field data."),
    counter("elasticsearch_indices_fielddata_evictions", "indices.fielddata.evictions",
            "Field data evicted."),
    gauge("elasticsearch_indices_filter_cache_memory_size_bytes",
          "indices.filter_cache.memory_size_in_bytes", "Memory of the filter cache (1.x)."),
    counter("elasticsearch_indices_filter_cache_evictions", "indices.filter_cache.evictions",
            "Filters evicted (1.x)."),
    gauge("elasticsearch_indices_query_cache_memory_size_bytes",
          "indices.query_cache.memory_size_in_bytes",
          "Memory of the query cache; in 1.x that of the shard requests."),
    gauge("elasticsearch_indices_query_cache_cache_size", "indices.query_cache.cache_size",
          "Queries in the query cache."),
    counter("elasticsearch_indices_query_cache_cache_total", "indices.query_cache.cache_count",
            "Queries put into the query cache."),
    counter("elasticsearch_indices_query_cache_total", "indices.query_cache.total_count",
            "Look-ups in the query cache."),
    counter("elasticsearch_indices_query_cache_evictions", "indices.query_cache.evictions",
            "Queries evicted."),
    gauge("elasticsearch_indices_request_cache_memory_size_bytes",
          "indices.request_cache.memory_size_in_bytes", "Memory of the request cache."),
    counter("elasticsearch_indices_request_cache_evictions", "indices.request_cache.evictions",
            "Requests evicted."),
    counter("elasticsearch_indices_flush_total", "indices.flush.total", "Flushes."),
    seconds_of("elasticsearch_indices_flush_time_seconds", "indices.flush.total_time_in_millis",
               "Time spent on flushes."),
    counter("elasticsearch_indices_get_total", "indices.get.total", "Documents fetched by id."),
    seconds_of("elasticsearch_indices_get_time_seconds",
               "indices.get.time_in_millis|indices.get.getTime_in_millis", "Time spent on them."),
    counter("elasticsearch_indices_get_exists_total", "indices.get.exists_total",
            "Those that were there."),
    seconds_of("elasticsearch_indices_get_exists_time_seconds", "indices.get.exists_time_in_millis",
               "Time spent on those that were there."),
    counter("elasticsearch_indices_get_missing_total", "indices.get.missing_total",
            "Those that were not there."),
    seconds_of("elasticsearch_indices_get_missing_time_seconds",
               "indices.get.missing_time_in_millis", "Time spent on those that were not there."),
    counter("elasticsearch_indices_indexing_delete_total", "indices.indexing.delete_total",
            "Documents deleted."),
    seconds_of("elasticsearch_indices_indexing_delete_time_seconds_total",
               "indices.indexing.delete_time_in_millis", "Time spent on deleting."),
    counter("elasticsearch_indices_merges_total", "indices.merges.total", "Merges."),
    counter("elasticsearch_indices_merges_docs_total", "indices.merges.total_docs",
            "Documents merged."),
    counter("elasticsearch_indices_merges_total_size_bytes_total",
            "indices.merges.total_size_in_bytes", "Bytes merged."),
    seconds_of("elasticsearch_indices_merges_total_time_seconds_total",
               "indices.merges.total_time_in_millis", "Time spent on merges."),
    gauge("elasticsearch_indices_merges_current_size_in_bytes",
          "indices.merges.current_size_in_bytes", "Bytes that are merged now."),
    counter("elasticsearch_indices_refresh_external_total", "indices.refresh.external_total",
            "Refreshes that made documents visible (7.x+)."),
    seconds_of("elasticsearch_indices_refresh_external_time_seconds_total",
               "indices.refresh.external_total_time_in_millis", "Time spent on them (7.x+)."),
    counter("elasticsearch_indices_search_scroll_total", "indices.search.scroll_total",
            "Scrolls that ended."),
    seconds_of("elasticsearch_indices_search_scroll_time_seconds",
               "indices.search.scroll_time_in_millis", "Time scrolls were open."),
    counter("elasticsearch_indices_search_suggest_total",
            "indices.search.suggest_total|indices.suggest.total", "Suggestions."),
    seconds_of("elasticsearch_indices_search_suggest_time_seconds",
               "indices.search.suggest_time_in_millis|indices.suggest.time_in_millis",
               "Time spent on suggestions."),
    counter("elasticsearch_indices_translog_operations", "indices.translog.operations",
            "Operations in the transaction log."),
    counter("elasticsearch_indices_translog_size_in_bytes", "indices.translog.size_in_bytes",
            "Size of the transaction log."),
    counter("elasticsearch_indices_warmer_total", "indices.warmer.total", "Warm-ups."),
    seconds_of("elasticsearch_indices_warmer_time_seconds_total",
               "indices.warmer.total_time_in_millis", "Time spent on warm-ups."),
    counter("elasticsearch_indices_completion_size_in_bytes", "indices.completion.size_in_bytes",
            "Memory of completion suggesters."),
    gauge("elasticsearch_indices_segments_count", "indices.segments.count", "Segments."),
    gauge("elasticsearch_indices_segments_memory_bytes", "indices.segments.memory_in_bytes",
          "Memory of segments."),
    gauge("elasticsearch_indices_segments_doc_values_memory_in_bytes",
          "indices.segments.doc_values_memory_in_bytes", "Memory of doc values."),
    gauge("elasticsearch_indices_segments_fixed_bit_set_memory_in_bytes",
          "indices.segments.fixed_bit_set_memory_in_bytes", "Memory of fixed bit sets."),
    gauge("elasticsearch_indices_segments_index_writer_memory_in_bytes",
          "indices.segments.index_writer_memory_in_bytes", "Memory of index writers."),
    gauge("elasticsearch_indices_segments_norms_memory_in_bytes",
          "indices.segments.norms_memory_in_bytes", "Memory of norms."),
    gauge("elasticsearch_indices_segments_points_memory_in_bytes",
          "indices.segments.points_memory_in_bytes", "Memory of points."),
    gauge("elasticsearch_indices_segments_stored_fields_memory_in_bytes",
          "indices.segments.stored_fields_memory_in_bytes", "Memory of stored fields."),
    gauge("elasticsearch_indices_segments_term_vectors_memory_in_bytes",
          "indices.segments.term_vectors_memory_in_bytes", "Memory of term vectors."),
    gauge("elasticsearch_indices_segments_terms_memory_in_bytes",
          "indices.segments.terms_memory_in_bytes", "Memory of terms."),
    gauge("elasticsearch_indices_segments_version_map_memory_in_bytes",
          "indices.segments.version_map_memory_in_bytes", "Memory of version maps."),
    gauge("elasticsearch_os_cpu_percent", "os.cpu.percent|os.cpu_percent",
          "CPU of the host, percent."),
    gauge("elasticsearch_os_load1", "os.cpu.load_average.1m|os.load_average.0|os.load_average",
          "Load average of 1 minute."),
    gauge("elasticsearch_os_load5", "os.cpu.load_average.5m|os.load_average.1",
          "Load average of 5 minutes."),
    gauge("elasticsearch_os_load15", "os.cpu.load_average.15m|os.load_average.2",
          "Load average of 15 minutes."),
    gauge("elasticsearch_os_mem_free_bytes", "os.mem.free_in_bytes", "Free memory of the host."),
    gauge("elasticsearch_os_mem_used_bytes", "os.mem.used_in_bytes", "Used memory of the host."),
    gauge("elasticsearch_os_mem_actual_free_bytes", "os.mem.actual_free_in_bytes",
          "Free memory of the host, caches included (1.x)."),
    gauge("elasticsearch_os_mem_actual_used_bytes", "os.mem.actual_used_in_bytes",
          "Used memory of the host without caches (1.x)."),
    seconds_of("elasticsearch_process_cpu_seconds_total", "process.cpu.total_in_millis",
               "CPU time of the process."),
    gauge("elasticsearch_process_mem_resident_size_bytes", "process.mem.resident_in_bytes",
          "Resident memory (1.x)."),
    gauge("elasticsearch_process_mem_share_size_bytes", "process.mem.share_in_bytes",
          "Shared memory (1.x)."),
    gauge("elasticsearch_process_mem_virtual_size_bytes", "process.mem.total_virtual_in_bytes",
          "Virtual memory."),
    counter("elasticsearch_transport_rx_packets_total", "transport.rx_count",
            "Messages received from other nodes."),
    counter("elasticsearch_transport_rx_size_bytes_total", "transport.rx_size_in_bytes",
            "Bytes received from other nodes."),
    counter("elasticsearch_transport_tx_packets_total", "transport.tx_count",
            "Messages sent to other nodes."),
    counter("elasticsearch_transport_tx_size_bytes_total", "transport.tx_size_in_bytes",
            "Bytes sent to other nodes."),
    one("elasticsearch_indices_query_cache_count", Type::kCounter, "indices.query_cache.hit_count",
        "Look-ups in the query cache that found something.", "cache", kHit),
    one("elasticsearch_indices_query_miss_count", Type::kCounter, "indices.query_cache.miss_count",
        "Look-ups in the query cache that found nothing.", "cache", kMiss),
    one("elasticsearch_indices_request_cache_count", Type::kCounter,
        "indices.request_cache.hit_count", "Look-ups in the request cache that found something.",
        "cache", kHit),
    one("elasticsearch_indices_request_miss_count", Type::kCounter,
        "indices.request_cache.miss_count", "Look-ups in the request cache that found nothing.",
        "cache", kMiss),
    one("elasticsearch_jvm_memory_used_bytes", Type::kGauge, "jvm.mem.non_heap_used_in_bytes",
        "Memory the JVM uses.", "area", kNonHeap),
    one("elasticsearch_jvm_memory_committed_bytes", Type::kGauge,
        "jvm.mem.non_heap_committed_in_bytes", "Memory the JVM has of the system.", "area",
        kNonHeap),
};
constexpr Schema kNodeSchema{kNodeLabels, kNode};

constexpr std::string_view kBufferLabels[] = {"cluster",        "host",         "name",
                                              "es_master_node", "es_data_node", "es_ingest_node",
                                              "es_client_node", "type"};
constexpr Column kBuffer[] = {
    gauge("elasticsearch_jvm_buffer_pool_used_bytes", "jvm.buffer_pools.*.used_in_bytes",
          "Memory of the JVM's buffers."),
};
constexpr Schema kBufferSchema{kBufferLabels, kBuffer};
constexpr std::string_view kBufferSources[] = {"jvm.buffer_pools.*"};

constexpr std::string_view kDeviceLabels[] = {"cluster",        "host",         "name",
                                              "es_master_node", "es_data_node", "es_ingest_node",
                                              "es_client_node", "device"};
constexpr Column kDevice[] = {
    counter("elasticsearch_filesystem_io_stats_device_operations_count",
            "fs.io_stats.devices.*.operations", "Operations of the device."),
    counter("elasticsearch_filesystem_io_stats_device_read_operations_count",
            "fs.io_stats.devices.*.read_operations", "Read operations of the device."),
    counter("elasticsearch_filesystem_io_stats_device_write_operations_count",
            "fs.io_stats.devices.*.write_operations", "Write operations of the device."),
    counter("elasticsearch_filesystem_io_stats_device_read_size_kilobytes_sum",
            "fs.io_stats.devices.*.read_kilobytes", "Read from the device, kilobytes."),
    counter("elasticsearch_filesystem_io_stats_device_write_size_kilobytes_sum",
            "fs.io_stats.devices.*.write_kilobytes", "Written to the device, kilobytes."),
};
constexpr Schema kDeviceSchema{kDeviceLabels, kDevice};
constexpr std::string_view kDeviceSources[] = {"fs.io_stats.devices.*.device_name"};

constexpr std::string_view kDiskLabels[] = {"cluster",        "host",         "name",
                                            "es_master_node", "es_data_node", "es_ingest_node",
                                            "es_client_node", "mount",        "path"};
constexpr Column kDisk[] = {
    gauge("elasticsearch_filesystem_data_available_bytes", "fs.data.*.available_in_bytes",
          "Space Elasticsearch can use; below 5 % of the size indices become read-only."),
    gauge("elasticsearch_filesystem_data_free_bytes", "fs.data.*.free_in_bytes", "Free space."),
    gauge("elasticsearch_filesystem_data_size_bytes", "fs.data.*.total_in_bytes",
          "Size of the file system."),
};
constexpr Schema kDiskSchema{kDiskLabels, kDisk};
constexpr std::string_view kDiskSources[] = {"fs.data.*.mount", "fs.data.*.path"};

constexpr std::string_view kPoolSources[] = {"thread_pool.*"};
bool is_other_pool(std::string_view pool) { return !is_main_elasticsearch_pool(pool); }

constexpr std::string_view kNodeFilter =
    "cluster_name,nodes.*.name,nodes.*.host,nodes.*.roles,nodes.*.attributes.master,"
    "nodes.*.attributes.data,nodes.*.attributes.client,nodes.*.http.current_open";
constexpr std::string_view kDiskFilter =
    ",nodes.*.fs.data.*_in_bytes,nodes.*.fs.data.mount,nodes.*.fs.data.path,"
    "nodes.*.fs.io_stats.devices";
constexpr std::string_view kDetailFilter =
    ","
    "nodes.*.indices.docs,nodes.*.indices.store,nodes.*.indices.fielddata.memory_size_in_bytes,"
    "nodes.*.indices.fielddata.evictions,nodes.*.indices.*_cache,nodes.*.indices.flush,"
    "nodes.*.indices.get,nodes.*.indices.indexing.delete_*,nodes.*.indices.merges,"
    "nodes.*.indices.refresh,nodes.*.indices.search,nodes.*.indices.suggest,"
    "nodes.*.indices.translog,nodes.*.indices.warmer,nodes.*.indices.completion.size_in_bytes,"
    "nodes.*.indices.segments.count,nodes.*.indices.segments.*_in_bytes,nodes.*.os,"
    "nodes.*.process.cpu,nodes.*.process.mem,nodes.*.jvm.mem.non_heap_*,"
    "nodes.*.jvm.buffer_pools,nodes.*.thread_pool,nodes.*.transport.rx_*,"
    "nodes.*.transport.tx_*";

}  // namespace

std::span<const NodeTable> elasticsearch_detail_tables() {
  static const NodeTable kTables[] = {
      {&kNodeSchema, {}, nullptr},
      {&kElasticsearchPoolSchema, kPoolSources, is_other_pool},
      {&kBufferSchema, kBufferSources, nullptr},
  };
  return kTables;
}

std::span<const NodeTable> elasticsearch_disk_tables() {
  static const NodeTable kTables[] = {
      {&kDiskSchema, kDiskSources, nullptr},
      {&kDeviceSchema, kDeviceSources, nullptr},
  };
  return kTables;
}

std::string elasticsearch_detail_request(bool local_node) {
  std::string path = local_node ? "/_nodes/_local/stats/" : "/_nodes/stats/";
  path += "indices,os,process,jvm,thread_pool,transport,http?filter_path=";
  return (path += kNodeFilter) += kDetailFilter;
}

std::string elasticsearch_disk_request(bool local_node) {
  std::string path = local_node ? "/_nodes/_local/stats/" : "/_nodes/stats/";
  path += "fs,http?filter_path=";
  return (path += kNodeFilter) += kDiskFilter;
}

}  // namespace lagwatch
