// SPDX-License-Identifier: Apache-2.0
#include "collector/collector.h"

namespace lagwatch {

extern const Collector agent;
extern const Collector apache;
extern const Collector elasticsearch;
extern const Collector elasticsearch_tasks;
extern const Collector elasticsearch_probe;
extern const Collector elasticsearch_routes;
extern const Collector elasticsearch_blocks;
extern const Collector elasticsearch_detail;
extern const Collector haproxy;
extern const Collector host;
extern const Collector passenger_pool;
extern const Collector passenger_requests;
extern const Collector passenger_settings;
extern const Collector postgres_node;
extern const Collector postgres_replication;
extern const Collector postgres_wal_receiver;
extern const Collector postgres_archiver;
extern const Collector postgres_slots;
extern const Collector postgres_heartbeat;
extern const Collector postgres_activity;
extern const Collector postgres_database;
extern const Collector postgres_bgwriter;
extern const Collector postgres_files;
extern const Collector postgres_wal;
extern const Collector postgres_archive_status;
extern const Collector postgres_settings;
extern const Collector probe;

namespace {
constexpr const Collector* kCollectors[] = {
    &haproxy,
    &postgres_node,
    &postgres_replication,
    &postgres_wal_receiver,
    &postgres_archiver,
    &postgres_slots,
    &postgres_heartbeat,
    &postgres_activity,
    &postgres_database,
    &postgres_bgwriter,
    &postgres_files,
    &postgres_wal,
    &postgres_archive_status,
    &postgres_settings,
    &apache,
    &probe,
    &passenger_pool,
    &passenger_requests,
    &passenger_settings,
    &elasticsearch,
    &elasticsearch_tasks,
    &elasticsearch_probe,
    &elasticsearch_routes,
    &elasticsearch_blocks,
    &elasticsearch_detail,
    &host,
    &agent,
};
}  // namespace

std::span<const Collector* const> collectors() { return kCollectors; }

}  // namespace lagwatch
