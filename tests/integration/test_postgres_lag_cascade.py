# SPDX-License-Identifier: Apache-2.0
"""Replication lag of a standby of a standby: against the primary, not against its upstream, which
reports it at 0 while both fall behind."""

import time

from lab.process import wait_until

from integration.pg_support import (
    INTERVAL,
    SLACK,
    TIMEOUT,
    WithCluster,
    check_lag,
    check_sender_lag,
    is_up,
    lag,
    lag_bytes,
    lag_source,
    sender_lag,
    server_value,
)
from integration.support import Watch, failing, relaxed

SEEN = 2 * INTERVAL + TIMEOUT
LASTS = 4.0


class Cascade(WithCluster):
    shape = {"cascade": True}

    def setUp(self):
        self.below = self.cluster.cascade
        self.watcher = self.watching()
        self.wait_caught_up()

    def wait_caught_up(self, bound=20.0):
        return self.watcher.wait_metric(
            lambda m: lag(m, self.standby) == 0 and lag(m, self.below) == 0,
            "neither lags",
            relaxed(bound),
            0.05,
        )

    def check(self, watch, truth):
        check_lag(self, watch, truth, self.below)
        return check_sender_lag(self, watch, truth, self.below)

    def test_each_upstream_tells_of_its_own_standbys_only(self):
        samples = self.watcher.metrics()
        rows = {
            (labels["target"], labels["application_name"])
            for labels, _ in samples.select("pg_stat_replication_lag_seconds")
        }
        self.assertEqual(rows, {("primary", "standby1"), ("standby1", "cascade")})

    def test_under_load_both_are_within_an_interval(self):
        with self.truth() as truth, self.primary.workload(rate=50, seconds=30):
            watch = self.watched_for(self.watcher, LASTS)
            check_lag(self, watch, truth, self.standby)
            told = self.check(watch, truth)
        self.assertLess(max(v for _, v in told), INTERVAL + 1.0 + relaxed(SLACK))

    def test_with_replay_paused_above_it_does_not_lag(self):
        """WAL is passed on as it is received."""
        with self.truth() as truth, self.primary.workload(rate=50, seconds=60):
            with Watch(self.watcher) as watch:
                self.standby.pause_replay()
                time.sleep(LASTS)
                samples = self.watcher.metrics()
                self.standby.resume_replay()
            check_lag(self, watch, truth, self.standby)
            told = self.check(watch, truth)
        self.assertGreater(lag(samples, self.standby), LASTS - 2 * INTERVAL - relaxed(SLACK))
        self.assertLess(lag(samples, self.below), INTERVAL + relaxed(SLACK))
        self.assertLess(max(v for _, v in told), INTERVAL + 1.0 + relaxed(SLACK))

    def test_paused_itself_its_upstream_tells_its_lag(self):
        with self.truth() as truth, self.primary.workload(rate=50, seconds=60):
            with Watch(self.watcher) as watch:
                self.below.pause_replay()
                time.sleep(LASTS)
                samples = self.watcher.metrics()
                self.below.resume_replay()
            check_lag(self, watch, truth, self.standby)
            self.check(watch, truth)
        for told in (lag(samples, self.below), sender_lag(samples, self.standby, self.below)):
            self.assertGreater(told, LASTS - 2 * INTERVAL - relaxed(SLACK))
        self.assertEqual(sender_lag(samples, self.primary, self.standby) or 0, 0)

    def test_with_its_upstream_stopped_lag_counts_from_the_next_write(self):
        """It has replayed all it received, and its upstream does not answer."""
        with self.truth() as truth, Watch(self.watcher) as watch:
            self.standby.sigstop()
            time.sleep(2 * INTERVAL)
            began = time.monotonic()
            self.primary.write(64)
            wait_until(lambda: time.monotonic() - began > LASTS, LASTS + 1)
            lasted, samples = time.monotonic() - began, self.watcher.metrics()
            self.standby.sigcont()
            self.wait_caught_up()
        self.assertEqual(failing(samples, self.standby.name), "hung")
        self.assertAlmostEqual(
            lag(samples, self.below), lasted - INTERVAL, delta=INTERVAL + relaxed(SLACK)
        )
        self.assertGreater(lag_bytes(samples, self.below), 60_000)
        self.assertEqual(lag_source(samples, self.below), "lsn_history")
        self.assertIsNone(sender_lag(samples, self.standby, self.below))
        told = check_lag(self, watch, truth, self.below)
        self.assertLess(max(v for at, v in told if at < began), SLACK)

    def test_with_its_upstream_killed_likewise(self):
        with self.truth() as truth, Watch(self.watcher) as watch:
            self.standby.kill9()
            self.watcher.wait_metric(
                lambda m: not is_up(m, self.standby)
                and server_value(m, "pg_stat_wal_receiver_up", self.below) == 0,
                "its upstream is gone",
                relaxed(SEEN + 1.0),
            )
            began = time.monotonic()
            self.primary.write(64)
            self.watcher.wait_metric(
                lambda m: lag(m, self.below) > 2.0, "it lags", relaxed(SEEN + 3.0), 0.05
            )
            self.standby.start()
            self.wait_caught_up()
        told = check_lag(self, watch, truth, self.below)
        self.assertLess(max(v for at, v in told if at < began), SLACK)
