# SPDX-License-Identifier: Apache-2.0
"""Standbys that cannot follow any more and must be built anew: the WAL they need is gone, or they
went on where the new timeline did not. (A slot that is lost: test_postgres_faults_archive.)"""

import time

from integration.pg_support import WithCluster, server_value
from integration.support import Watch, relaxed

REASONS = ("wal_removed", "slot_lost", "timeline_diverged")
STUCK = 20  # s: so long it must neither stream nor replay
STAYS = 5  # s: it is so all the time, also while the standby tries again


class WithRebuild(WithCluster):
    def rebuild(self, samples, server):
        """{reason: value} of what says that the server must be built anew."""
        name = "pg_standby_needs_rebuild"
        return {one: server_value(samples, name, server, reason=one) for one in REASONS}

    def only(self, reason=None):
        return {one: 1 if one == reason else 0 for one in REASONS}

    def wait_rebuild(self, agent, server, reason, timeout):
        """Waits until the server must be built anew for this reason and no other."""
        agent.wait_metric(
            lambda m: self.rebuild(m, server)[reason] == 1,
            f"{server.name} must be built anew: {reason}",
            relaxed(timeout),
        )
        with Watch(agent) as watch:
            time.sleep(STAYS)
        for _, samples in watch.all():
            self.assertEqual(self.rebuild(samples, server), self.only(reason))

    @classmethod
    def mend(cls):
        """It cannot be put right."""


class WalRemoved(WithRebuild):
    shape = {
        "standbys": 2,
        "slots": False,
        "settings": {"max_wal_size": "32MB", "min_wal_size": "32MB"},
    }

    def test_its_wal_was_removed(self):
        agent = self.watching()
        left, well = self.cluster.standbys
        self.assertEqual(self.rebuild(agent.metrics(), left), self.only())
        left.stop()
        self.primary.set(wal_keep_size="0")
        position = self.primary.lsn()
        while self.oldest() <= position:
            self.primary.switch_wal()
            self.primary.sql("CHECKPOINT", timeout=30)
        left.start()
        started = time.monotonic()
        with Watch(agent, pause=0.5) as watch:
            self.wait_rebuild(agent, left, "wal_removed", STUCK + 10)
        self.assertGreater(time.monotonic() - started, STUCK / 2)
        for _, samples in watch.all():
            self.assertEqual(self.rebuild(samples, well), self.only())
        samples = agent.metrics()
        oldest = server_value(samples, "pg_wal_oldest_lsn_bytes", self.primary)
        replayed = server_value(samples, "pg_wal_lsn_bytes", left, kind="replay")
        self.assertGreater(oldest, replayed)

    def oldest(self):
        """Where the oldest segment that the primary has begins."""
        name = self.primary.value(
            "SELECT min(name) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'"
        )
        return (int(name[8:16], 16) << 32) + int(name[16:24], 16) * (16 << 20)


class Pause(WithRebuild):
    """What a standby does not need a new copy for."""

    def test_a_standby_that_only_pauses_or_is_away_needs_none(self):
        agent = self.watching()
        with Watch(agent, pause=0.5) as watch:
            self.standby.pause_replay()
            self.primary.write(2000)
            self.primary.switch_wal()
            self.standby.stop()
            self.primary.write(2000)
            self.standby.start()
            self.standby.wait_streaming()
            self.standby.wait_caught_up()
            agent.wait_metric(
                lambda m: self.rebuild(m, self.standby) == self.only(), "it is fine", relaxed(10)
            )
        for _, samples in watch.all():
            self.assertNotIn(1, self.rebuild(samples, self.standby).values())


class Diverged(WithRebuild):
    shape = {"slots": False}

    def test_the_old_primary_goes_on_alone_and_is_made_a_standby(self):
        """Without pg_rewind: it has WAL that the new timeline does not have."""
        agent = self.watching()
        old, new = self.primary, self.standby
        new.promote()
        agent.wait_metric(
            lambda m: server_value(m, "pg_timeline", new) == 2, "the promotion is seen", relaxed(5)
        )
        old.write(3000)
        agent.wait_metric(
            lambda m: server_value(m, "pg_wal_lsn_bytes", old, kind="current") >= old.lsn(),
            "what it wrote is seen",
            relaxed(5),
        )
        old.stop("fast")
        old.slot = None
        old.follow(new)
        old.start()
        self.wait_rebuild(agent, old, "timeline_diverged", 15)


class DivergedStandby(WithRebuild):
    """A standby that has replayed more than the one that was promoted."""

    shape = {"standbys": 2, "relay": True, "slots": False}

    def test_a_standby_that_was_ahead_of_the_promoted_one(self):
        agent = self.watching()
        new, ahead = self.cluster.standbys
        new.relay.blackhole()
        self.primary.write(3000)
        ahead.wait_caught_up()
        self.primary.stop("immediate")
        new.promote()
        new.sql("CREATE TABLE IF NOT EXISTS lab_writes (at timestamptz, payload text)")
        ahead.relay = None
        ahead.follow(new)
        ahead.restart()
        self.wait_rebuild(agent, ahead, "timeline_diverged", 15)
