# SPDX-License-Identifier: Apache-2.0
"""Replication lag without the primary: it died, or this agent does not watch it. What the standby
has still to replay is its lag; of one that has replayed all it has, nothing is claimed."""

import time

from integration.pg_support import (
    INTERVAL,
    SLACK,
    TIMEOUT,
    WithCluster,
    check_lag,
    is_lower_bound,
    is_up,
    lag,
    lag_source,
    unknown,
    wait_unknown,
)
from integration.support import Watch, failing, relaxed

SEEN = 2 * INTERVAL + TIMEOUT
RECEIVER_TIMEOUT = 5.0  # as the lab sets it; a receiver is fresh half of it and a second
FRESH = RECEIVER_TIMEOUT / 2 + 1.0
GONE = ("primary_unseen", "receiver_down")


class Unseen(WithCluster):
    shape = {"relay": True}

    def wait_no_lag(self, agent, bound=20.0):
        return agent.wait_metric(
            lambda m: lag(m, self.standby) == 0, "there is no lag", relaxed(bound), 0.05
        )

    def fall_behind(self, agent):
        """Replay is paused and something is missing."""
        self.standby.pause_replay()
        self.primary.write(64)
        return agent.wait_metric(
            lambda m: (lag(m, self.standby) or 0) > 0, "it falls behind", relaxed(SEEN + 2), 0.05
        )

    def check_unknown_since(self, watch, instant):
        """From then on no scrape told a lag, and all said why."""
        later = [one for at, one in watch.all() if at > instant]
        self.assertGreater(len(later), 5)
        for one in later:
            self.assertIsNone(lag(one, self.standby))
            self.assertIn(unknown(one, self.standby), GONE)
            self.assertTrue(is_up(one, self.standby))


class PrimaryGone(Unseen):
    """Both are watched; the primary goes."""

    def setUp(self):
        self.watcher = self.watching()
        self.wait_no_lag(self.watcher)

    def check_gone(self, go, come_back, reason, target_reason):
        """It goes: the lag is unknown within the bound and until it is back."""
        with self.truth() as truth:
            with Watch(self.watcher) as watch:
                went = time.monotonic()
                go()
                samples = wait_unknown(self.watcher, self.standby, reason, relaxed(SEEN + 1.0))
                unknown_at = time.monotonic()
                self.watcher.wait_metric(
                    lambda m: unknown(m, self.standby) == "receiver_down",
                    "the receiver gave up",
                    relaxed(RECEIVER_TIMEOUT + 3.0),
                )
                self.assertEqual(failing(self.watcher.metrics(), "primary"), target_reason)
                time.sleep(1.0)
            self.check_unknown_since(watch, unknown_at)
            self.assertLess(unknown_at - went, relaxed(SEEN + SLACK))
            self.assertFalse(is_up(samples, self.primary) and target_reason == "refused")
            told = check_lag(self, watch, truth, self.standby, GONE, size=False)
            self.assertLess(max((v for _, v in told), default=0), SLACK)
            come_back()
            self.wait_no_lag(self.watcher)

    def test_stopped(self):
        self.check_gone(self.primary.sigstop, self.primary.sigcont, "primary_unseen", "hung")

    def test_killed(self):
        self.check_gone(self.primary.kill9, self.primary.start, "receiver_down", "refused")

    def test_killed_while_the_standby_lags_its_lag_goes_on(self):
        with self.truth() as truth:
            with Watch(self.watcher) as watch:
                self.fall_behind(self.watcher)
                self.primary.kill9()
                time.sleep(SEEN + 2.0)
                samples = self.watcher.metrics()
                self.standby.resume_replay()
                wait_unknown(self.watcher, self.standby, "receiver_down", relaxed(SEEN + 1.0))
                unknown_at = time.monotonic()
                time.sleep(1.0)
            self.assertFalse(is_up(samples, self.primary))
            self.assertGreater(lag(samples, self.standby), SEEN + 2.0 - INTERVAL)
            self.assertEqual(lag_source(samples, self.standby), "lsn_history")
            check_lag(self, watch, truth, self.standby, GONE)
            self.check_unknown_since(watch, unknown_at)

    def test_when_it_is_back_lag_is_told_again_at_once(self):
        self.primary.sigstop()
        wait_unknown(self.watcher, self.standby, "primary_unseen", relaxed(SEEN + 1.0))
        self.primary.sigcont()
        self.wait_no_lag(self.watcher, SEEN + 1.0)
        with self.truth() as truth, self.primary.workload(rate=50, seconds=20):
            watch = self.watched_for(self.watcher, 2.0)
            check_lag(self, watch, truth, self.standby)


class PrimaryNeverWatched(Unseen):
    """The agent asks the standby alone."""

    def setUp(self):
        self.watcher = self.watching(self.standby)
        self.wait_no_lag(self.watcher)

    def test_idle_and_fresh_is_no_lag(self):
        self.primary.sql("CHECKPOINT")
        with self.truth() as truth:
            watch = self.watched_for(self.watcher, 2 * RECEIVER_TIMEOUT)
            told = check_lag(self, watch, truth, self.standby)
        self.assertLess(max(value for _, value in told), SLACK)
        self.assertEqual(
            {lag_source(one, self.standby) for _, one in watch.all()}, {"receiver"}
        )

    def test_paused_under_load_lag_is_read_from_what_it_received(self):
        with self.truth() as truth, self.primary.workload(rate=50, seconds=60):
            with Watch(self.watcher) as watch:
                time.sleep(2 * INTERVAL)
                self.standby.pause_replay()
                time.sleep(4.0)
                samples = self.watcher.metrics()
                self.standby.resume_replay()
                self.watcher.wait_metric(
                    lambda m: lag(m, self.standby) < INTERVAL, "lag is gone", relaxed(5), 0.05
                )
            check_lag(self, watch, truth, self.standby)
        self.assertGreater(lag(samples, self.standby), 4.0 - 2 * INTERVAL - relaxed(SLACK))
        self.assertEqual(lag_source(samples, self.standby), "receiver")
        self.assertFalse(is_lower_bound(samples, self.standby))

    def test_upstream_killed_is_unknown(self):
        with Watch(self.watcher) as watch:
            self.primary.kill9()
            wait_unknown(self.watcher, self.standby, "receiver_down", relaxed(SEEN + 1.0))
            unknown_at = time.monotonic()
            time.sleep(2.0)
        self.check_unknown_since(watch, unknown_at)

    def test_upstream_killed_while_it_lags_is_a_lower_bound(self):
        with self.truth() as truth, Watch(self.watcher) as watch:
            self.fall_behind(self.watcher)
            self.primary.kill9()
            time.sleep(SEEN + 2.0)
            samples = self.watcher.metrics()
            self.standby.resume_replay()
            wait_unknown(self.watcher, self.standby, "receiver_down", relaxed(SEEN + 1.0))
        told = check_lag(self, watch, truth, self.standby, GONE)
        self.assertTrue(is_lower_bound(samples, self.standby))
        self.assertGreater(max(value for _, value in told), SEEN + 1.0)

    def test_cut_off_is_unknown_before_its_receiver_gives_up(self):
        """Nothing tells the standby what the primary writes: 0 is claimed only as long as an
        upstream that is well may be silent."""
        with self.truth() as truth, Watch(self.watcher) as watch:
            self.standby.relay.blackhole()
            cut = time.monotonic()
            self.primary.write(64)
            wait_unknown(
                self.watcher, self.standby, "primary_unseen", relaxed(FRESH + SEEN + 1.0)
            )
            unknown_at = time.monotonic()
            self.watcher.wait_metric(
                lambda m: unknown(m, self.standby) == "receiver_down", "it gave up", relaxed(8)
            )
            time.sleep(1.0)
            end = time.monotonic()
        self.assertLess(unknown_at - cut, relaxed(FRESH + INTERVAL + TIMEOUT))
        self.check_unknown_since(watch, unknown_at)
        check_lag(
            self, watch, truth, self.standby, GONE, interval=FRESH + INTERVAL, size=False
        )
        self.assertLess(end - cut, relaxed(20))
