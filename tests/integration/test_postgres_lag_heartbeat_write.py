# SPDX-License-Identifier: Apache-2.0
"""heartbeat.write: lagwatch writes the heartbeat itself, by one agent of several, as long as that
one lives, with a role that may."""

import time

from lab.agent import configuration

from integration.pg_support import (
    INTERVAL,
    MON,
    TIMEOUT,
    WithCluster,
    check_lag,
    is_up,
    lag_source,
    pg_target,
    server_value,
)
from integration.support import Watch, cli, config_file, relaxed

SEEN = 2 * INTERVAL + TIMEOUT
HEARTBEAT = {"table": "public.lab_heartbeat", "column": "ts"}
WRITER = "writer"  # a role with UPDATE


class HeartbeatWritten(WithCluster):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with cls.primary.heartbeat():
            pass
        cls.primary.role(WRITER, "pg_monitor")
        cls.primary.sql(f"GRANT UPDATE ON lab_heartbeat TO {WRITER}")
        cls.catch_up()

    def wait_source(self, agent):
        return agent.wait_metric(
            lambda m: lag_source(m, self.standby) == "heartbeat", "it is read", relaxed(10)
        )

    def writing_agent(self, name, user=WRITER):
        own = HEARTBEAT | {"write": True}
        targets = [pg_target(one, user, heartbeat=own) for one in self.cluster.servers]
        return self.watching(*targets, name=name)

    def writers(self, *agents):
        return [
            server_value(one.metrics(), "pg_heartbeat_writer", self.primary) for one in agents
        ]

    def wait_one_writer(self, *agents, bound=4 * INTERVAL + 2.0):
        """One of them writes. (it, the others)."""
        agents[0].wait_metric(
            lambda m: sorted(self.writers(*agents), key=str) == [0] * (len(agents) - 1) + [1],
            "one agent writes",
            relaxed(bound),
        )
        values = self.writers(*agents)
        self.assertEqual(sum(values), 1)
        return agents[values.index(1)], [a for a, v in zip(agents, values) if v == 0]

    def test_one_of_two_agents_writes_and_the_other_takes_over(self):
        one, two = self.writing_agent("writer-one"), self.writing_agent("writer-two")
        writer, (other,) = self.wait_one_writer(one, two)
        until = time.monotonic() + 3.0
        while time.monotonic() < until:
            self.assertEqual(sum(self.writers(one, two)), 1)
            time.sleep(0.1)
        before = float(self.primary.value("SELECT extract(epoch FROM ts) FROM lab_heartbeat"))
        writer.kill9()
        self.wait_one_writer(other)
        other.wait_metric(
            lambda m: server_value(m, "pg_heartbeat_timestamp_seconds", self.primary) > before + 1,
            "the heartbeat goes on",
            relaxed(5),
        )
        self.wait_source(other)
        self.assertEqual(self.primary.value("SELECT count(*) FROM lab_heartbeat"), "1")

    def test_stopped_the_writer_leaves_it_to_the_other_at_once(self):
        one, two = self.writing_agent("left-one"), self.writing_agent("left-two")
        writer, (other,) = self.wait_one_writer(one, two)
        self.assertEqual(writer.stop().code, 0)
        self.wait_one_writer(other)

    def test_it_tells_the_lag(self):
        agent = self.writing_agent("alone")
        self.wait_one_writer(agent)
        self.wait_source(agent)
        with self.truth() as truth:
            with Watch(agent) as watch:
                time.sleep(1.0)
                self.standby.pause_replay()
                time.sleep(3.0)
                self.standby.resume_replay()
                time.sleep(1.0)
            told = check_lag(
                self, watch, truth, self.standby, interval=2 * INTERVAL, size=False
            )
        self.assertGreater(max(v for _, v in told), 3.0 - 3 * INTERVAL)

    def test_the_writer_goes_on_when_the_primary_was_restarted(self):
        agent = self.writing_agent("again")
        self.wait_one_writer(agent)
        name = "pg_postmaster_start_time_seconds"
        before = server_value(agent.metrics(), name, self.primary)
        self.primary.restart()
        agent.wait_metric(
            lambda m: (server_value(m, name, self.primary) or before) > before,
            "it has seen the new server",
            relaxed(20),
        )
        self.wait_one_writer(agent)
        self.wait_source(agent)

    def test_without_the_right_to_write_it_says_so(self):
        agent = self.writing_agent("denied", user=MON)
        samples = agent.wait_metric(
            lambda m: server_value(m, "lagwatch_target_limited", self.primary) == 1,
            "it is limited",
            relaxed(SEEN + 2),
        )
        self.assertIsNone(server_value(samples, "pg_heartbeat_writer", self.primary))
        self.assertTrue(is_up(samples, self.primary))

    def test_without_the_right_to_write_check_names_the_fix(self):
        own = HEARTBEAT | {"write": True}
        config = configuration(postgres=[pg_target(self.primary, heartbeat=own)], host=False)
        done = cli(self.lab, "check", "--live", f"--config.file={config_file(self.lab, config)}")
        self.assertIn(f"GRANT SELECT, UPDATE ON public.lab_heartbeat TO {MON}", done.out)
