# SPDX-License-Identifier: Apache-2.0
"""Replication lag where the standby's clock is off by 40 s, ahead or behind: all ages are by the
agent's clock, so that none of them moves. (libfaketime does not reach the WAL receiver before 16:
the postmaster starts it from within a signal handler.)"""

import time
import unittest

from lab.process import Unavailable

from integration.pg_support import (
    INTERVAL,
    SLACK,
    WithCluster,
    check_lag,
    check_sender_lag,
    lag,
    lag_source,
    pg_target,
    server_value,
)
from integration.support import Watch, relaxed

OFF = 40.0
LASTS = 3.0
HEARTBEAT = {"table": "public.lab_heartbeat", "column": "ts"}


class ClockOff:
    """What is tried with each offset."""

    version = "16"
    offset = 0.0

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.standby.clock_offset(cls.offset)
        except Unavailable as error:
            raise unittest.SkipTest(str(error)) from None
        cls.catch_up()

    def check_paused(self, agent, source):
        """Idle, then paused under load, then caught up: right all the time."""
        agent.wait_metric(
            lambda m: lag(m, self.standby) == 0 and lag_source(m, self.standby) == source,
            f"no lag, by {source}",
            relaxed(10),
        )
        with self.truth() as truth, Watch(agent) as watch:
            time.sleep(1.0)
            self.standby.pause_replay()
            with self.primary.workload(rate=50, seconds=30):
                time.sleep(LASTS)
                samples = agent.metrics()
                self.standby.resume_replay()
                agent.wait_metric(
                    lambda m: lag(m, self.standby) < INTERVAL + SLACK, "it caught up", relaxed(5)
                )
        self.assertGreater(lag(samples, self.standby), LASTS - 2 * INTERVAL - relaxed(SLACK))
        self.assertEqual(lag_source(samples, self.standby), source)
        check_lag(self, watch, truth, self.standby)
        return samples, watch, truth

    def test_lag_is_right_with_the_primary_in_sight(self):
        samples, watch, truth = self.check_paused(self.watching(), "lsn_history")
        check_sender_lag(self, watch, truth, self.standby)
        offset = server_value(samples, "pg_clock_offset_seconds", self.standby)
        self.assertAlmostEqual(offset, self.offset, delta=relaxed(1.0))
        offset = server_value(samples, "pg_clock_offset_seconds", self.primary)
        self.assertAlmostEqual(offset, 0, delta=relaxed(1.0))

    def test_lag_is_right_without_the_primary(self):
        self.check_paused(self.watching(self.standby), "receiver")

    def test_the_age_of_replies_and_messages_is_right(self):
        agent = self.watching()
        watch = self.watched_for(agent, LASTS)
        for _, one in watch.all():
            age = server_value(one, "pg_stat_replication_reply_age_seconds", self.primary)
            self.assertTrue(0 <= age < 1.0 + INTERVAL + relaxed(SLACK), age)
            age = server_value(one, "pg_stat_wal_receiver_last_msg_age_seconds", self.standby)
            self.assertTrue(-0.1 <= age < 5.0, age)

    def test_heartbeat_lag_is_right(self):
        beat = 0.1
        with self.primary.heartbeat(rate=1 / beat, seconds=60):
            self.standby.wait_caught_up()
            servers = self.cluster.servers
            agent = self.watching(*(pg_target(one, heartbeat=HEARTBEAT) for one in servers))
            agent.wait_metric(
                lambda m: lag_source(m, self.standby) == "heartbeat", "it is read", relaxed(5)
            )
            with self.truth() as truth, Watch(agent) as watch:
                time.sleep(1.0)
                self.standby.pause_replay()
                time.sleep(LASTS)
                samples = agent.metrics()
                self.standby.resume_replay()
            check_lag(self, watch, truth, self.standby, interval=INTERVAL + beat)
        self.assertGreater(lag(samples, self.standby), LASTS - 2 * INTERVAL - relaxed(SLACK))
        self.assertEqual(lag_source(samples, self.standby), "heartbeat")


class ClockAhead(ClockOff, WithCluster):
    offset = OFF


class ClockBehind(ClockOff, WithCluster):
    offset = -OFF
