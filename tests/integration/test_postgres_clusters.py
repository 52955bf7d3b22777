# SPDX-License-Identifier: Apache-2.0
"""Clusters of real PostgreSQL servers, by system identifier: who counts as what, a promotion with
the old primary alive, a planned switchover, standbys that vanish or follow different upstreams."""

import contextlib

from lab.host import Host
from lab.pg_relay import Relay

from integration.pg_support import MON, WithCluster, pg_target, server_value
from integration.support import failing, relaxed

CLUSTER = ("primaries", "standbys", "timeline", "upstreams")


class WithCounts(WithCluster):
    def counts(self, samples, server):
        """(primaries, standbys, timeline, upstreams) as told of the server's cluster."""
        return tuple(server_value(samples, f"pg_cluster_{one}", server) for one in CLUSTER)

    def wait_counts(self, agent, expected, *servers, timeout=10):
        """Waits until all of these members (by default all) tell the same numbers."""
        servers = servers or self.cluster.servers

        def told(samples):
            return {one.name: self.counts(samples, one) for one in servers}

        with contextlib.suppress(Exception):
            return agent.wait_metric(
                lambda m: set(told(m).values()) == {expected}, "counts", relaxed(timeout)
            )
        self.assertEqual(told(agent.metrics()), {one.name: expected for one in servers})
        return agent.metrics()

    def protected(self, samples, server):
        """(by a standby, by its archive)"""
        name = "pg_primary_protected"
        return tuple(
            server_value(samples, name, server, by=means) for means in ("standby", "archive")
        )

    def wait_protected(self, agent, server, expected):
        agent.wait_metric(
            lambda m: self.protected(m, server) == expected,
            f"{server.name} is protected {expected}",
            relaxed(10),
        )

    def connected(self, samples, upstream, standby):
        return server_value(
            samples,
            "pg_replication_standby_connected",
            upstream,
            application_name=standby.name,
        )


class Counts(WithCounts):
    shape = {"cascade": True, "standbys": 2}

    def test_a_cascade_counts_as_standby_and_not_as_another_upstream(self):
        agent = self.watching()
        samples = self.wait_counts(agent, (1, 3, 1, 1))
        self.assertEqual(self.protected(samples, self.primary), (1, 0))
        for server in self.cluster.servers:
            self.assertEqual(server_value(samples, "pg_promotions_total", server), 0)
            own = server_value(samples, "pg_primary_protected", server, by="standby")
            self.assertEqual(own is None, server is not self.primary)
        identifiers = {
            labels["system_identifier"] for labels, _ in samples.select("pg_system_info")
        }
        self.assertEqual(identifiers, {self.primary.system_identifier})
        self.assertEqual(self.connected(samples, self.standby, self.cluster.cascade), 1)

    def test_one_server_asked_two_ways_counts_once(self):
        targets = [pg_target(one) for one in self.cluster.servers]
        for server in (self.primary, self.standby):
            targets.append({"name": f"{server.name}-tcp", "dsn": server.tcp_dsn(MON)})
        agent = self.watching(*targets)
        self.wait_counts(agent, (1, 3, 1, 1))

    def test_what_is_not_in_sight_is_not_counted(self):
        agent = self.watching(self.primary, self.cluster.cascade)
        self.wait_counts(agent, (1, 1, 1, 1), self.primary, self.cluster.cascade)

    def test_a_standby_that_vanished_is_missed(self):
        agent = self.watching()
        gone = self.cluster.standbys[1]
        self.wait_counts(agent, (1, 3, 1, 1))
        gone.kill9()
        agent.wait_metric(
            lambda m: self.connected(m, self.primary, gone) == 0, "it is missed", relaxed(10)
        )
        left = [one for one in self.cluster.servers if one is not gone]
        samples = self.wait_counts(agent, (1, 2, 1, 1), *left, timeout=20)
        self.assertEqual(self.connected(samples, self.primary, self.standby), 1)
        self.assertEqual(server_value(samples, "pg_stat_replication_standbys", self.primary), 1)
        name = "pg_replication_standby_last_seen_timestamp_seconds"
        seen = server_value(samples, name, self.primary, application_name=gone.name)
        gone.start()
        samples = agent.wait_metric(
            lambda m: self.connected(m, self.primary, gone) == 1, "it is back", relaxed(10)
        )
        self.assertGreater(
            server_value(samples, name, self.primary, application_name=gone.name), seen
        )


class OtherCluster(WithCounts):
    """Two clusters in one agent do not mix."""

    def test_clusters_are_kept_apart(self):
        other = type(self.primary)(self.lab, "other", self.version).start()
        other.role(MON)
        agent = self.watching(*self.cluster.servers, other)
        samples = self.wait_counts(agent, (1, 1, 1, 1))
        self.assertEqual(self.counts(samples, other), (1, 0, 1, None))
        self.assertEqual(self.protected(samples, other), (0, 0))


class ColdStandby(WithCounts):
    """hot_standby off: it follows and takes no questions."""

    def test_a_standby_that_takes_no_questions_still_protects(self):
        agent = self.watching()
        self.addCleanup(self.standby.settings.update, hot_standby="on")
        self.standby.stop()
        self.standby.settings["hot_standby"] = "off"
        self.standby.start(ready=False)
        self.standby.wait_streaming()
        samples = agent.wait_metric(
            lambda m: failing(m, self.standby.name) == "starting_up", "starting_up", relaxed(15)
        )
        self.assertEqual(server_value(samples, "pg_up", self.standby), 0)
        self.wait_protected(agent, self.primary, (1, 0))
        samples = self.wait_counts(agent, (1, 0, 1, None), self.primary)
        self.assertEqual(self.connected(samples, self.primary, self.standby), 1)
        self.standby.stop()
        self.standby.settings["hot_standby"] = "on"
        self.standby.start()
        self.wait_counts(agent, (1, 1, 1, 1), timeout=20)


class Upstreams(WithCounts):
    """Two standbys ask for their primary under different addresses."""

    shape = {"standbys": 2}

    def test_standbys_of_different_upstreams(self):
        agent = self.watching()
        self.wait_counts(agent, (1, 2, 1, 1))
        astray = self.cluster.standbys[1]
        astray.relay = Relay(self.lab, self.primary.address, Host("other", "127.0.0.2"))
        astray.follow(self.primary)
        astray.restart()
        astray.wait_streaming()
        self.wait_counts(agent, (1, 2, 1, 2))
        astray.relay = None
        astray.follow(self.primary)
        astray.restart()
        astray.wait_streaming()
        self.wait_counts(agent, (1, 2, 1, 1))


class SplitBrain(WithCounts):
    def test_promoted_while_the_old_primary_is_alive(self):
        agent = self.watching()
        self.wait_counts(agent, (1, 1, 1, 1))
        self.wait_protected(agent, self.primary, (1, 0))
        self.standby.promote()
        samples = self.wait_counts(agent, (2, 0, 2, None))
        self.assertEqual(server_value(samples, "pg_promotions_total", self.standby), 1)
        self.assertEqual(server_value(samples, "pg_promotions_total", self.primary), 0)
        self.assertEqual(server_value(samples, "pg_timeline", self.standby), 2)
        self.assertEqual(server_value(samples, "pg_timeline", self.primary), 1)
        when = server_value(samples, "pg_promoted_timestamp_seconds", self.standby)
        clock = float(self.primary.value("SELECT extract(epoch FROM clock_timestamp())"))
        self.assertLess(abs(when - clock), relaxed(10))
        self.wait_protected(agent, self.primary, (0, 0))
        self.wait_protected(agent, self.standby, (0, 0))
        self.assertEqual(self.connected(agent.metrics(), self.primary, self.standby), 0)
        self.primary.stop("immediate")  # the split ends when the old primary goes
        self.wait_counts(agent, (1, 0, 2, None), self.standby, timeout=20)

    @classmethod
    def mend(cls):
        """It is another cluster now."""


class Switchover(WithCounts):
    shape = {"standbys": 2}

    def test_a_planned_switchover(self):
        """The primary ends, the first standby is promoted, the others follow it."""
        agent = self.watching()
        self.wait_counts(agent, (1, 2, 1, 1))
        new, second = self.cluster.standbys
        self.primary.stop("fast")
        self.wait_counts(agent, (0, 2, 1, None), new, second, timeout=20)
        new.promote()
        for server in (self.primary, second):
            new.create_slot(server.name)
            server.slot = server.name
            server.follow(new)
        second.restart()
        self.primary.start()
        for server in (self.primary, second):
            server.wait_streaming()
        samples = self.wait_counts(agent, (1, 2, 2, 1), timeout=20)
        self.assertEqual(server_value(samples, "pg_promotions_total", new), 1)
        for server in (self.primary, second):
            self.assertEqual(server_value(samples, "pg_promotions_total", server), 0)
            for reason in ("wal_removed", "slot_lost", "timeline_diverged"):
                name = "pg_standby_needs_rebuild"
                self.assertEqual(server_value(samples, name, server, reason=reason), 0, reason)
            self.assertEqual(self.connected(samples, new, server), 1)
        self.wait_protected(agent, new, (1, 0))

    @classmethod
    def mend(cls):
        """It is another cluster now."""
