# SPDX-License-Identifier: Apache-2.0
"""Replication lag while the standby is restarted or killed, its end where the standby is promoted,
and what different intervals make of it."""

import time

from integration.pg_support import (
    INTERVAL,
    SLACK,
    TIMEOUT,
    WithBehind,
    check_lag,
    is_up,
    lag,
    pg_target,
    server_value,
    unknown,
)
from integration.support import Watch, duration, relaxed

SEEN = 2 * INTERVAL + TIMEOUT
LAG_METRICS = (
    "pg_replication_lag_seconds",
    "pg_replication_lag",
    "pg_replication_lag_bytes",
    "pg_replication_lag_is_lower_bound",
    "pg_replication_lag_source",
    "pg_replication_lag_unknown",
    "pg_replication_last_replay_seconds",
)


class StandbyRestart(WithBehind):
    def test_restarted_it_is_unknown_or_right_all_the_time(self):
        agent = self.watching()
        self.wait_lag(agent, lambda value: value == 0, "no lag")
        with self.primary.workload(rate=50, seconds=60):
            with Watch(agent) as watch:
                self.standby.stop()
                agent.wait_metric(
                    lambda m: not is_up(m, self.standby), "it is down", relaxed(SEEN + 1)
                )
                time.sleep(1.0)
                self.standby.start()
                self.wait_lag(agent, lambda value: value < INTERVAL, "it has caught up", 20)
            for _, one in watch.all():
                self.assertTrue(is_up(one, self.primary))
            up = [one for _, one in watch.all() if is_up(one, self.standby)]
            self.assertEqual({unknown(one, self.standby) for one in up}, {None})

    def test_killed_while_it_lags_nothing_is_claimed(self):
        """A paused replay does not outlive it: what it has not replayed it replays at once."""
        agent = self.watching()
        with self.truth() as truth, Watch(agent) as watch:
            self.fall_behind(agent)
            self.standby.kill9()
            agent.wait_metric(
                lambda m: lag(m, self.standby) is None, "nothing is claimed", relaxed(SEEN + 1)
            )
            self.standby.start()
            self.wait_lag(agent, lambda value: value == 0, "it caught up", 20)
        check_lag_while_up(self, watch, truth)


def check_lag_while_up(test, watch, truth):
    """check_lag() of the scrapes that had a lag."""
    kept = [n for n, (_, one) in enumerate(watch.all()) if lag(one, test.standby) is not None]
    watch.bodies = [watch.bodies[n] for n in kept]
    check_lag(test, watch, truth, test.standby)


class Promotion(WithBehind):
    shape = {"standbys": 2}

    @classmethod
    def mend(cls):
        """A promoted one stays what it is."""

    def test_promoted_it_has_no_lag_any_more(self):
        agent = self.watching()
        other = self.cluster.standbys[1]
        before = self.wait_lag(agent, lambda value: value == 0, "no lag")
        self.assertEqual(server_value(before, "pg_replication_is_replica", self.standby), 1)
        self.assertEqual(server_value(before, "pg_timeline", self.primary), 1)
        with Watch(agent) as watch:
            self.standby.promote()
            promoted = time.monotonic()
            samples = agent.wait_metric(
                lambda m: server_value(m, "pg_replication_is_replica", self.standby) == 0,
                "it is a primary",
                relaxed(SEEN + 1),
            )
            self.assertLess(time.monotonic() - promoted, relaxed(SEEN + SLACK))
            self.standby.write(64)
            time.sleep(2.0)
        self.assertEqual(server_value(samples, "pg_timeline", self.standby), 2)
        for _, one in watch.all():
            if server_value(one, "pg_replication_is_replica", self.standby) == 0:
                for name in LAG_METRICS:
                    self.assertFalse(one.select(name, target=self.standby.name), name)
            # The other one follows the first primary still, and does not lag behind it.
            self.assertEqual(server_value(one, "pg_replication_is_replica", other), 1)
            self.assertEqual(unknown(one, other), None)
            self.assertLess(lag(one, other), INTERVAL + relaxed(SLACK))


class Interval(WithBehind):
    """An agent's interval is what its answers are right to, also where targets differ."""

    def test_a_primary_asked_less_often_makes_lag_coarser(self):
        slow = 2.0
        agent = self.watching(
            pg_target(self.primary, interval=duration(slow)), pg_target(self.standby)
        )
        with self.truth() as truth, self.primary.workload(rate=20, seconds=60):
            with Watch(agent) as watch:
                time.sleep(1.0)
                self.standby.pause_replay()
                time.sleep(5.0)
                self.standby.resume_replay()
                time.sleep(1.0)
            check_lag(self, watch, truth, self.standby, interval=slow, size=False)
