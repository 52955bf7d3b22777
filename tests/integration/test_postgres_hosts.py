# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL in the normal layout: a network namespace per host, lagwatch on each, asking its own
server over its socket; one more agent asks all over the network. The standby's host is cut off."""

import time
import unittest

from lab.agent import configuration
from lab.pg_cluster import on_site
from lab.process import Unavailable

from integration.pg_support import MON, lag, pg_target, server_value, unknown
from integration.support import Watch, WithSite, duration, failing, failures, relaxed

PERIOD = 0.5  # s
TIMEOUT = 1.0
# The receiver has pinged its upstream after half of wal_receiver_timeout (5 s), and a second more.
FRESH = 3.5


class PostgresHosts(WithSite):
    layout = "netns"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.cluster = on_site(cls.site, cascade=True)
        except Unavailable as error:
            raise unittest.SkipTest(str(error)) from None
        cls.primary, cls.standby, cls.cascade = cls.cluster.servers
        cls.primary.role(MON)
        for server in (cls.standby, cls.cascade):
            server.wait_caught_up()
        cls.own = {
            one.name: cls.start_agent(one.host.name, [pg_target(one)])
            for one in cls.cluster.servers
        }
        everybody = [{"name": one.name, "dsn": one.tcp_dsn(MON)} for one in cls.cluster.servers]
        cls.outside = cls.start_agent("lb1", everybody)

    @classmethod
    def start_agent(cls, host, targets):
        config = configuration(
            host=False,
            postgres=targets,
            interval=duration(PERIOD),
            timeout=duration(relaxed(TIMEOUT)),
        )
        return cls.site.start_agent(host, config, name=f"pg-{host}")

    def wait(self, agent, what, test, timeout=10):
        return agent.wait_metric(test, what, relaxed(timeout))

    def connected(self, samples):
        return server_value(
            samples,
            "pg_replication_standby_connected",
            self.primary,
            application_name=self.standby.name,
        )

    def protected(self, samples):
        return server_value(samples, "pg_primary_protected", self.primary, by="standby")

    def wait_all_is_well(self):
        for server in self.cluster.servers:
            samples = self.wait(
                self.own[server.name],
                f"{server.name} is up",
                lambda m, server=server: server_value(m, "pg_up", server) == 1,
            )
            names = {labels["target"] for labels, _ in samples.select("pg_up")}
            self.assertEqual(names, {server.name})
        for server in (self.standby, self.cascade):
            for agent in (self.own[server.name], self.outside):
                self.wait(
                    agent,
                    f"{server.name} does not lag",
                    lambda m, server=server: lag(m, server) == 0,
                    20,
                )
        self.wait(
            self.outside,
            "one primary and two standbys",
            lambda m: all(
                server_value(m, "pg_cluster_primaries", one) == 1
                and server_value(m, "pg_cluster_standbys", one) == 2
                and server_value(m, "pg_cluster_upstreams", one) == 1
                for one in self.cluster.servers
            ),
        )

    def test_the_standbys_host_is_cut_off(self):
        self.wait_all_is_well()
        agent_of_primary = self.own[self.primary.name]
        agent_of_standby = self.own[self.standby.name]
        self.assertEqual(self.connected(agent_of_primary.metrics()), 1)
        self.addCleanup(self.site.network.plug, "db2")
        with Watch(agent_of_standby) as inside, Watch(self.outside) as outside:
            self.site.network.unplug("db2")
            self.primary.write(100)
            self.check_seen_from_outside()
            self.wait(agent_of_primary, "it is missed", lambda m: self.connected(m) == 0, 12)
            self.assertEqual(self.protected(agent_of_primary.metrics()), 0)
            self.wait(
                agent_of_standby,
                "its receiver is down",
                lambda m: unknown(m, self.standby) == "receiver_down",
                12,
            )
        inside.check(self, well=self.standby.name, period=PERIOD)
        outside.check(self, well=self.primary.name, period=PERIOD)
        for _, samples in inside.all():
            self.check_claims_nothing(samples)
        self.site.network.plug("db2")
        self.wait_all_is_well()
        self.wait(agent_of_primary, "it streams", lambda m: self.protected(m) == 1)
        self.assertEqual(self.connected(agent_of_primary.metrics()), 1)
        for server in self.cluster.servers:
            self.assertEqual(failures(self.own[server.name].metrics(), server.name), 0)

    def check_seen_from_outside(self):
        """It hangs, and when it is connected to anew nobody answers."""
        self.wait(
            self.outside,
            "no connection",
            lambda m: failing(m, self.standby.name) == "connect_timeout",
        )
        samples = self.outside.metrics()
        self.assertEqual(failures(samples, self.primary.name), 0)
        self.assertIsNone(server_value(samples, "pg_wal_lsn_bytes", self.standby, kind="replay"))

    def check_claims_nothing(self, samples):
        """No lag of 0 from a stream that has been silent for too long."""
        age = server_value(samples, "pg_stat_wal_receiver_last_msg_age_seconds", self.standby)
        if age is not None and age > FRESH + relaxed(0.5):
            self.assertNotEqual(lag(samples, self.standby), 0, f"after {age} s of silence")
        self.assertEqual(server_value(samples, "pg_up", self.standby), 1)

    def wait_joined(self, joiner):
        """Every server is a member of one cluster, and both standbys are at 0 by the history of a
        primary that another agent told of."""
        for server in self.cluster.servers:
            own = {"target": server.name, "agent": f"on-{server.host.name}"}
            self.wait(
                joiner,
                f"{server.name} is in the cluster",
                lambda m, own=own: m.value("pg_cluster_primaries", **own) == 1
                and m.value("pg_cluster_standbys", **own) == 2,
            )
        for server in (self.standby, self.cascade):
            self.wait(
                joiner,
                f"{server.name} does not lag",
                lambda m, server=server: lag(m, server) == 0
                and server_value(m, "pg_replication_lag_source", server, source="lsn_history") == 1,
                20,
            )

    def test_one_agent_that_reads_the_others_joins_the_cluster(self):
        self.wait_all_is_well()
        others = [
            {"name": f"on-{one.host.name}", "url": self.own[one.name].url}
            for one in self.cluster.servers
        ]
        config = configuration(
            host=False,
            agents=others,
            interval=duration(PERIOD),
            timeout=duration(relaxed(TIMEOUT)),
        )
        joiner = self.site.start_agent("lb2", config, name="joiner")
        self.wait_joined(joiner)
        self.addCleanup(self.standby.resume_replay)
        self.standby.pause_replay()
        self.primary.write(100)
        wrote = time.monotonic()
        samples = self.wait(joiner, "it lags", lambda m: (lag(m, self.standby) or 0) > 2)
        elapsed = time.monotonic() - wrote
        # As old as both agents' intervals, and the asking.
        self.assertGreater(lag(samples, self.standby), elapsed - 2 * PERIOD - relaxed(1.5))
        self.assertLess(lag(samples, self.standby), elapsed + PERIOD)
        self.assertGreater(server_value(samples, "pg_replication_lag_bytes", self.standby), 0)
        self.standby.resume_replay()
        self.wait_joined(joiner)
