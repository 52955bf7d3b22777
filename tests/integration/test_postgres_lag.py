# SPDX-License-Identifier: Apache-2.0
"""Replication lag with the primary in sight: within one interval of the truth in every scrape, be
the primary idle or busy, be the standby's replay paused, its server stopped or its network cut."""

import time

from integration.pg_support import (
    INTERVAL,
    SLACK,
    TIMEOUT,
    WithCluster,
    check_lag,
    check_sender_lag,
    is_up,
    lag,
    lag_source,
    sender_lag,
    server_value,
)
from integration.support import Watch, failing, relaxed

SEEN = 2 * INTERVAL + TIMEOUT  # what an agent needs to see a change
IDLE = 10.0
LASTS = 4.0  # s: how long a fault is watched


def of_row(samples, name, standby):
    """A metric of pg_stat_replication's row of `standby`."""
    return server_value(samples, name, standby.upstream, application_name=standby.name)


class LagInSight(WithCluster):
    shape = {"relay": True}

    def setUp(self):
        self.watcher = self.watching()

    def wait_lag(self, predicate, what, bound=None):
        return self.watcher.wait_metric(
            lambda m: lag(m, self.standby) is not None and predicate(lag(m, self.standby)),
            what,
            relaxed(bound or SEEN + 2.0),
            0.05,
        )

    def wait_caught_up(self, bound=None):
        return self.wait_lag(lambda value: value == 0, "there is no lag", bound)

    def test_idle_is_no_lag_however_old_the_last_commit(self):
        self.primary.sql("CHECKPOINT")
        self.wait_caught_up()
        with self.truth() as truth:
            watch = self.watched_for(self.watcher, IDLE)
            told = check_lag(self, watch, truth, self.standby)
        values = sorted(value for _, value in told)
        self.assertLess(values[-1], SLACK)
        self.assertEqual(values[len(values) // 2], 0)
        first, last = (
            server_value(watch.all()[n][1], "pg_replication_last_replay_seconds", self.standby)
            for n in (0, -1)
        )
        self.assertGreater(last - first, IDLE - 2.0, "the naive lag grows: the test was idle")
        self.assertEqual(lag_source(watch.all()[-1][1], self.standby), "lsn_history")

    def test_under_load_lag_stays_within_an_interval(self):
        with self.truth() as truth, self.primary.workload(rate=50, seconds=30) as load:
            watch = self.watched_for(self.watcher, LASTS)
            told = check_lag(self, watch, truth, self.standby)
            check_sender_lag(self, watch, truth, self.standby)
        self.assertIsNone(load.error)
        self.assertGreater(load.rows, 50)
        self.assertLess(max(value for _, value in told), INTERVAL + relaxed(SLACK))

    def test_paused_under_load_lag_is_the_time_since_then(self):
        with self.truth() as truth, self.primary.workload(rate=50, seconds=60):
            time.sleep(INTERVAL)
            with Watch(self.watcher) as watch:
                self.standby.pause_replay()
                paused = time.monotonic()
                time.sleep(LASTS)
                lasted = time.monotonic() - paused
                samples = self.watcher.metrics()
                self.standby.resume_replay()
                self.wait_lag(lambda value: value < INTERVAL, "lag is gone")
            check_lag(self, watch, truth, self.standby)
            check_sender_lag(self, watch, truth, self.standby)
        self.assertEqual(
            server_value(samples, "pg_replication_is_replay_paused", self.standby), 1
        )
        self.assertGreater(lag(samples, self.standby), lasted - 2 * INTERVAL - relaxed(SLACK))

    def test_paused_after_an_idle_gap_lag_counts_from_the_first_write(self):
        """now() - pg_last_xact_replay_timestamp() counts from the last write before the gap."""
        gap = 5.0
        self.primary.write(1)
        written = time.monotonic()
        self.wait_caught_up()
        with self.truth() as truth, Watch(self.watcher) as watch:
            time.sleep(gap - (time.monotonic() - written))
            self.standby.pause_replay()
            time.sleep(2 * INTERVAL)
            began = time.monotonic()
            self.primary.write(64)
            self.wait_lag(lambda value: value > 0, "the write is seen to be missing")
            time.sleep(LASTS)
            lasted = time.monotonic() - began
            samples = self.watcher.metrics()
            self.standby.resume_replay()
            self.wait_caught_up()
        told = check_lag(self, watch, truth, self.standby)
        self.assertLess(max(v for at, v in told if at < began), SLACK, "nothing was behind yet")
        self.assertAlmostEqual(
            lag(samples, self.standby), lasted - INTERVAL, delta=INTERVAL + relaxed(SLACK)
        )
        naive = server_value(samples, "pg_replication_last_replay_seconds", self.standby)
        self.assertGreater(naive, lag(samples, self.standby) + gap - 1.0)

    def test_stopped_standby_is_hung_and_its_sender_tells_the_lag(self):
        self.wait_caught_up()
        with self.truth() as truth, Watch(self.watcher) as watch:
            self.standby.sigstop()
            stopped = time.monotonic()
            samples = self.watcher.wait_metric(
                lambda m: not is_up(m, self.standby), "it does not answer", relaxed(SEEN + 1)
            )
            self.assertEqual(failing(samples, self.standby.name), "hung")
            self.assertEqual(sender_lag(samples, self.primary, self.standby), 0, "not written yet")
            self.primary.write(64)
            samples = self.watcher.wait_metric(
                lambda m: (of_row(m, "pg_stat_replication_lag_seconds", self.standby) or 0) > 1.5,
                "its sender sees it fall behind",
                relaxed(4),
            )
            age = of_row(samples, "pg_stat_replication_reply_age_seconds", self.standby)
            silent = time.monotonic() - stopped
            # Replies come every second, as this cluster is set.
            self.assertAlmostEqual(age, silent, delta=1.0 + INTERVAL + relaxed(SLACK))
            samples = self.watcher.wait_metric(
                lambda m: server_value(m, "pg_stat_replication_standbys", self.primary) == 0,
                "wal_sender_timeout ends the row",
                relaxed(8),
            )
            self.assertIsNone(sender_lag(samples, self.primary, self.standby))
            self.assertIsNone(lag(samples, self.standby), "nobody asked it")
            self.standby.sigcont()
            self.wait_caught_up(20)
        check_sender_lag(self, watch, truth, self.standby)
        for _, one in watch.all():
            self.assertTrue(is_up(one, self.primary))

    def test_cut_off_lag_grows_from_the_next_write(self):
        """It has replayed all it has received, before and after its receiver gave up."""
        self.wait_caught_up()
        with self.truth() as truth, Watch(self.watcher) as watch:
            self.standby.relay.blackhole()
            time.sleep(2 * INTERVAL)
            began = time.monotonic()
            self.primary.write(64)
            samples = self.watcher.wait_metric(
                lambda m: server_value(m, "pg_stat_wal_receiver_up", self.standby) == 0
                and lag(m, self.standby) > 6.0,
                "the receiver gave up, and lag goes on",
                relaxed(15),
            )
            lasted = time.monotonic() - began
            kinds = {"receive", "replay"}
            positions = {
                server_value(samples, "pg_wal_lsn_bytes", self.standby, kind=kind)
                for kind in kinds
            }
            self.standby.relay.forward()
            self.wait_caught_up(15)
        self.assertEqual(len(positions), 1, "recv and replay are the same")
        self.assertAlmostEqual(
            lag(samples, self.standby), lasted - INTERVAL, delta=INTERVAL + relaxed(SLACK)
        )
        told = check_lag(self, watch, truth, self.standby)
        self.assertLess(max(v for at, v in told if at < began), SLACK, "nothing was behind yet")
