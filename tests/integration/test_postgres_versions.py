# SPDX-License-Identifier: Apache-2.0
"""Every version from 10 on that servers can be had of: a primary and its standby are up, nothing is
missing with the rights of the version but what is named here, each gives the metrics of its
version, and the lag is right. What cannot be had is left out by name."""

from integration.pg_support import INTERVAL, MON, WithCluster, lag, pg_target, server_value
from integration.support import Watch, failures, relaxed

# {metric: (first version with it, first version without it)}, by Postgres.number, on a primary
# that archives and has a standby.
ALWAYS = (903, 9999)
PRIMARY = {
    "pg_replication_is_replica": ALWAYS,
    "pg_postmaster_start_time_seconds": ALWAYS,
    "pg_timeline": ALWAYS,
    "pg_system_info": ALWAYS,
    "pg_wal_lsn_bytes": ALWAYS,
    "pg_xlog_location_bytes": (903, 1000),
    "pg_stat_replication_standbys": ALWAYS,
    "pg_stat_replication_pg_wal_lsn_diff": ALWAYS,
    "pg_stat_replication_pg_xlog_location_diff": (903, 1000),
    "pg_stat_replication_lsn_bytes": ALWAYS,
    "pg_stat_replication_lag_seconds": ALWAYS,
    "pg_stat_replication_reply_timestamp_seconds": (1200, 9999),
    "pg_stat_replication_reply_age_seconds": (1200, 9999),
    "pg_replication_standby_connected": ALWAYS,
    "pg_archive_configured": ALWAYS,
    "pg_stat_archiver_archived_count": (904, 9999),
    "pg_stat_archiver_last_archived_timestamp_seconds": (904, 9999),
    "pg_archive_backlog_segments": (904, 9999),
    "pg_archive_ready_segments": ALWAYS,
    "pg_replication_slots_active": (904, 9999),
    "pg_replication_slots_pg_xlog_location_diff": (904, 1000),
    "pg_replication_slots_pg_wal_lsn_diff": (904, 9999),
    "pg_replication_slots_wal_status": (1300, 9999),
    "pg_stat_activity_connections": ALWAYS,
    "pg_stat_activity_count": ALWAYS,
    "pg_stat_database_xact_commit": ALWAYS,
    "pg_stat_database_active_time_seconds_total": (1400, 9999),
    "pg_stat_bgwriter_buffers_alloc_total": ALWAYS,
    "pg_stat_bgwriter_checkpoints_timed_total": (903, 1700),
    "pg_stat_checkpointer_num_timed_total": (1700, 9999),
    "pg_wal_segments": (1000, 9999),
    "pg_wal_oldest_lsn_bytes": (1000, 9999),
    "pg_settings_max_connections": ALWAYS,
    "pg_settings_wal_keep_segments": (903, 1300),
    "pg_settings_wal_keep_size_bytes": (1300, 9999),
    "pg_settings_reserved_connections": (1600, 9999),
    "pg_settings_max_slot_wal_keep_size_bytes": (1300, 9999),
    "pg_static": ALWAYS,
    "pg_cluster_primaries": ALWAYS,
    "pg_primary_protected": ALWAYS,
}
STANDBY = {
    "pg_replication_is_replica": ALWAYS,
    "pg_replication_is_replay_paused": (906, 9999),
    "pg_replication_last_replay_seconds": ALWAYS,
    "pg_replication_lag_seconds": ALWAYS,
    "pg_replication_lag_bytes": ALWAYS,
    "pg_stat_wal_receiver_up": (906, 9999),
    "pg_stat_wal_receiver_info": (906, 9999),
    "pg_stat_wal_receiver_flushed_lsn": (906, 9999),
    "pg_cluster_upstreams": (906, 9999),
    "pg_standby_needs_rebuild": ALWAYS,
    "pg_archive_configured": ALWAYS,
    "pg_stat_archiver_archived_count": (9999, 9999),
    "pg_primary_protected": (9999, 9999),
}


class Version:
    """What one version gives to a role that sees all there is to see."""

    shape = {"archive": "ok"}
    settings = {}
    # Collectors that say that something is missing: (server, collector).
    limits = set()
    missing = set()  # metrics

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.primary.wait_archived(cls.primary.switch_wal())

    @classmethod
    def target_of(cls, server):
        return pg_target(server, MON, **cls.settings)

    def started(self):
        return self.watching(*map(self.target_of, self.cluster.servers))

    def families_right(self, samples, server, table):
        """What is missing, and what should not be there."""
        there = {name for name, labels in samples if ("target", server.name) in labels}
        wanted = {
            name for name, (since, until) in table.items() if since <= server.number < until
        } - self.missing
        return sorted(wanted - there), sorted(there & set(table) - wanted)

    def test_each_gives_the_metrics_of_its_version(self):
        agent = self.started()
        tables = ((self.primary, PRIMARY), (self.standby, STANDBY))

        def all_right(samples):
            return all(
                self.families_right(samples, one, table) == ([], []) for one, table in tables
            )

        try:
            agent.wait_metric(all_right, "all is there", relaxed(8))
        except Exception:  # the lists say more
            samples = agent.metrics()
            for server, table in tables:
                right = self.families_right(samples, server, table)
                self.assertEqual(right, ([], []), f"{server.name}: missing, and too much")
            raise
        self.check_values(agent.metrics())

    def check_values(self, samples):
        for server in self.cluster.servers:
            self.assertEqual(server_value(samples, "pg_up", server), 1)
            self.assertEqual(failures(samples, server.name), 0)
            self.assertEqual(
                samples.select("pg_system_info", target=server.name)[0][0]["system_identifier"],
                self.primary.system_identifier,
            )
            version = samples.select("pg_static", target=server.name)[0][0]["short_version"]
            full = self.primary.binaries.full_version
            self.assertTrue(version.startswith(full.split(" ")[0]), f"{version}: {full}")
            self.assertEqual(server_value(samples, "pg_cluster_primaries", server), 1)
            self.assertEqual(server_value(samples, "pg_cluster_standbys", server), 1)
        self.assertEqual(server_value(samples, "pg_replication_is_replica", self.primary), 0)
        self.assertEqual(server_value(samples, "pg_replication_is_replica", self.standby), 1)
        self.assertEqual(server_value(samples, "pg_settings_max_connections", self.primary), 30)
        limited = {
            (labels["target"], labels["collector"])
            for labels, _ in samples.select("lagwatch_target_limited")
        }
        self.assertEqual(limited, self.limits)

    def test_lag_is_0_when_idle_and_grows_while_replay_is_paused(self):
        agent = self.started()
        agent.wait_metric(lambda m: lag(m, self.standby) == 0, "no lag", relaxed(5))
        with Watch(agent) as watch:
            self.standby.pause_replay()
            self.primary.write(64)
            agent.wait_metric(lambda m: (lag(m, self.standby) or 0) > 1, "it lags", relaxed(6))
            self.standby.resume_replay()
            agent.wait_metric(lambda m: lag(m, self.standby) == 0, "no lag again", relaxed(10))
        watch.check(self, well=self.primary.name, period=INTERVAL)
        for _, samples in watch.all():
            self.assertIsNotNone(lag(samples, self.standby))


class Version10(Version, WithCluster):
    """Only superusers may list archive_status there."""

    version = "10"
    limits = {("primary", "postgres_archive_status")}
    missing = {"pg_archive_ready_segments"}


class Version12(Version, WithCluster):
    version = "12"


class Version14(Version, WithCluster):
    version = "14"


class Version15(Version, WithCluster):
    version = "15"


class Version16(Version, WithCluster):
    version = "16"


class Version17(Version, WithCluster):
    version = "17"


class Version18(Version, WithCluster):
    version = "18"
