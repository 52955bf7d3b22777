# SPDX-License-Identifier: Apache-2.0
"""Lag by a heartbeat: a row that somebody writes on the primary, read on the standby. Right when
nobody sees the primary; no lag when it is only the writer that died."""

import time

from lab.pg_relay import Relay

from integration.pg_support import (
    INTERVAL,
    MON,
    SLACK,
    TIMEOUT,
    WithCluster,
    check_lag,
    is_up,
    lag,
    lag_source,
    pg_target,
    server_value,
    unknown,
)
from integration.support import Watch, relaxed

SEEN = 2 * INTERVAL + TIMEOUT
BEAT = 0.1  # s: how often the tests write one
HEARTBEAT = {"table": "public.lab_heartbeat", "column": "ts"}
WRITER_SILENT = 30.0


class HeartbeatOfOthers(WithCluster):
    shape = {"relay": True}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with cls.primary.heartbeat():
            pass
        cls.catch_up()

    def beating(self, seconds=60):
        return self.primary.heartbeat(rate=1 / BEAT, seconds=seconds)

    def heartbeat_agent(self, *targets, **more):
        """All targets have the heartbeat; once it is what lag is read from."""
        targets = targets or [pg_target(s, heartbeat=HEARTBEAT) for s in self.cluster.servers]
        agent = self.watching(*targets, **more)
        self.wait_source(agent)
        return agent

    def wait_source(self, agent):
        return agent.wait_metric(
            lambda m: lag_source(m, self.standby) == "heartbeat", "it is read", relaxed(10)
        )

    def check(self, watch, truth):
        for _, one in watch.all():
            self.assertEqual(lag_source(one, self.standby), "heartbeat")
        return check_lag(
            self, watch, truth, self.standby, interval=INTERVAL + BEAT, size=False
        )

    def test_it_tells_the_lag(self):
        with self.beating(), self.truth() as truth:
            agent = self.heartbeat_agent()
            with Watch(agent) as watch:
                time.sleep(1.0)
                self.standby.pause_replay()
                time.sleep(3.0)
                samples = agent.metrics()
                self.standby.resume_replay()
                time.sleep(1.0)
            self.check(watch, truth)
        self.assertGreater(lag(samples, self.standby), 3.0 - 2 * INTERVAL - relaxed(SLACK))
        self.assertEqual(server_value(samples, "pg_heartbeat_writer_up", self.primary), 1)
        self.assertIsNone(server_value(samples, "pg_heartbeat_writer_up", self.standby))
        self.assertIsNone(server_value(samples, "pg_heartbeat_writer", self.primary))

    def test_with_its_writer_dead_lag_does_not_grow(self):
        agent = None
        with self.beating():
            agent = self.heartbeat_agent()
        with self.truth() as truth:
            with Watch(agent, pause=0.3) as watch:
                samples = agent.wait_metric(
                    lambda m: server_value(m, "pg_heartbeat_writer_up", self.primary) == 0,
                    "its writer is seen to be dead",
                    relaxed(WRITER_SILENT + SEEN + 3),
                )
                time.sleep(1.0)
                self.assertEqual(lag_source(samples, self.standby), "lsn_history")
                self.standby.pause_replay()
                self.primary.write(64)
                agent.wait_metric(
                    lambda m: lag(m, self.standby) > 1.0, "another lag is seen", relaxed(SEEN + 3)
                )
                self.standby.resume_replay()
                agent.wait_metric(
                    lambda m: lag(m, self.standby) == 0, "it is gone", relaxed(SEEN + 3)
                )
            check_lag(self, watch, truth, self.standby)
        self.assertEqual(lag(samples, self.standby), 0)

    def agent_by_relay(self):
        """An agent that asks the primary over a network that can be cut: (agent, relay)."""
        relay = Relay(self.lab, self.primary.address)
        self.addCleanup(relay.close)
        ip, port = relay.address
        dsn = f"host={ip} port={port} user={MON} dbname=postgres"
        primary = pg_target(self.primary, heartbeat=HEARTBEAT) | {"dsn": dsn}
        agent = self.heartbeat_agent(primary, pg_target(self.standby, heartbeat=HEARTBEAT))
        return agent, relay

    def wait_primary_gone(self, agent):
        return agent.wait_metric(
            lambda m: not is_up(m, self.primary), "the primary is out of sight", relaxed(SEEN + 1)
        )

    def test_out_of_the_agents_sight_it_tells_that_there_is_no_lag(self):
        with self.beating(), self.truth() as truth:
            agent, relay = self.agent_by_relay()
            with Watch(agent) as watch:
                relay.blackhole()
                samples = self.wait_primary_gone(agent)
                time.sleep(3.0)
            self.assertIsNone(unknown(samples, self.standby))
            told = self.check(watch, truth)
        self.assertLess(max(v for _, v in told), INTERVAL + BEAT + relaxed(SLACK))

    def test_out_of_everybodys_sight_lag_grows_as_the_primary_writes(self):
        """The standby is cut off as well, and the primary goes on."""
        with self.beating(), self.truth() as truth:
            agent, relay = self.agent_by_relay()
            with Watch(agent) as watch:
                relay.blackhole()
                self.standby.relay.blackhole()
                self.wait_primary_gone(agent)
                time.sleep(3.0)
                samples = agent.metrics()
            self.check(watch, truth)
        self.assertGreater(lag(samples, self.standby), 3.0)
