# SPDX-License-Identifier: Apache-2.0
"""Archiving that fails, lies or hangs, and a slot that lost its WAL."""

from integration.pg_support import WithCluster, server_value
from integration.support import failures, relaxed

FAILED = "pg_stat_archiver_failed_count"
ARCHIVED = "pg_stat_archiver_archived_count"
LAST_FAILED = "pg_stat_archiver_last_failed_timestamp_seconds"
LAST_ARCHIVED = "pg_stat_archiver_last_archived_timestamp_seconds"
READY = "pg_archive_ready_segments"
OLDEST = "pg_archive_oldest_ready_timestamp_seconds"
BACKLOG = "pg_archive_backlog_segments"
PROTECTED = "pg_primary_protected"


class WithArchive(WithCluster):
    shape = {"archive": "ok"}

    def value(self, samples, name, server=None, **labels):
        return server_value(samples, name, server or self.primary, **labels)

    def wait(self, agent, what, test, timeout=8):
        """Waits until test(value), with value(name, **labels), holds; the samples."""

        def holds(samples):
            return test(lambda name, **labels: self.value(samples, name, **labels))

        return agent.wait_metric(holds, what, relaxed(timeout))

    def archived(self):
        """One segment is archived as it should be; an agent that has seen it."""
        self.primary.wait_archived(self.primary.switch_wal())
        agent = self.watching()
        self.wait(
            agent,
            "all is archived",
            lambda v: v(READY) == 0 and v(BACKLOG) == 0 and (v(ARCHIVED) or 0) > 0,
        )
        return agent

    def check_target_is_well(self, agent):
        self.assertEqual(failures(agent.metrics(), self.primary.name), 0)


class Archive(WithArchive):
    def test_ok(self):
        samples = self.archived().metrics()
        self.assertEqual(self.value(samples, "pg_archive_configured"), 1)
        self.assertEqual(self.value(samples, PROTECTED, by="archive"), 1)
        self.assertEqual(self.value(samples, PROTECTED, by="standby"), 1)
        self.assertIsNone(self.value(samples, OLDEST))
        # A standby does not archive: what its pg_stat_archiver says is of no day in particular.
        self.assertEqual(self.value(samples, "pg_archive_configured", self.standby), 0)
        for name in (ARCHIVED, FAILED, BACKLOG, READY, OLDEST):
            self.assertIsNone(self.value(samples, name, self.standby))

    def test_failing(self):
        agent = self.archived()
        before = self.value(agent.metrics(), FAILED)
        self.primary.archive("fail")
        names = [self.primary.switch_wal() for _ in range(2)]
        samples = self.wait(
            agent,
            "archiving fails",
            lambda v: v(FAILED) >= before + 3 and v(READY) == 2 and v(BACKLOG) == 2,
        )
        self.assertGreater(self.value(samples, LAST_FAILED), self.value(samples, LAST_ARCHIVED))
        self.assertEqual(self.value(samples, PROTECTED, by="archive"), 0)
        self.assertEqual(self.value(samples, PROTECTED, by="standby"), 1)
        clock = float(self.primary.value("SELECT extract(epoch FROM clock_timestamp())"))
        self.assertLess(abs(self.value(samples, OLDEST) - clock), relaxed(30))
        self.primary.archive("ok")
        names.append(self.primary.switch_wal())  # wakes the archiver in its pause
        self.primary.wait_archived(names[-1])
        samples = self.wait(
            agent,
            "it archives again",
            lambda v: v(READY) == 0 and v(BACKLOG) == 0 and v(PROTECTED, by="archive") == 1,
        )
        self.assertGreater(self.value(samples, LAST_ARCHIVED), self.value(samples, LAST_FAILED))
        self.check_target_is_well(agent)

    def test_lying_is_what_the_archiver_cannot_tell(self):
        agent = self.archived()
        before = self.value(agent.metrics(), ARCHIVED)
        self.addCleanup(self.primary.archive, "ok")
        self.primary.archive("lie")
        name = self.primary.switch_wal()
        samples = self.wait(agent, "it says so", lambda v: v(ARCHIVED) > before and v(READY) == 0)
        self.assertNotIn(name, self.primary.archived())
        self.assertEqual(self.value(samples, BACKLOG), 0)


class HangingArchive(WithArchive):
    def test_hanging(self):
        agent = self.archived()
        before = self.value(agent.metrics(), FAILED)
        self.primary.archive("hang")
        for _ in range(3):
            self.primary.switch_wal()
        samples = self.wait(
            agent, "segments wait", lambda v: v(READY) == 3 and v(BACKLOG) == 3 and v(OLDEST)
        )
        self.assertEqual(self.value(samples, FAILED), before)
        age = self.value(samples, "pg_stat_archiver_last_archive_age")
        self.wait(
            agent, "it ages", lambda v: v("pg_stat_archiver_last_archive_age") > age + 1
        )
        self.primary.archive("ok")
        self.primary.stop("immediate")
        self.primary.start()
        self.wait(agent, "all is archived", lambda v: v(READY) == 0 and v(BACKLOG) == 0, 15)

    def test_a_stopped_archiver(self):
        agent = self.archived()
        self.primary.sigstop("archiver")
        for _ in range(2):
            self.primary.switch_wal()
        self.wait(agent, "segments wait", lambda v: v(READY) == 2 and v(BACKLOG) == 2)
        self.primary.sigcont()
        self.wait(agent, "all is archived", lambda v: v(READY) == 0 and v(BACKLOG) == 0, 15)


class LostSlot(WithCluster):
    """The standby of a slot that lost its WAL does not come back."""

    def test_a_slot_that_lost_its_wal_and_its_standby(self):
        agent = self.watching()
        slot = {"slot_name": self.standby.name}
        samples = agent.metrics()
        self.assertEqual(self.status(samples), "reserved")
        self.assertEqual(self.rebuild(samples), 0)
        self.standby.stop()
        agent.wait_metric(
            lambda m: server_value(m, "pg_replication_slots_active", self.primary, **slot) == 0,
            "nobody uses the slot",
        )
        self.primary.lose_slot(self.standby.name)
        samples = agent.wait_metric(lambda m: self.status(m) == "lost", "the slot is lost")
        kept = "pg_replication_slots_pg_wal_lsn_diff"
        self.assertIsNone(server_value(samples, kept, self.primary, **slot))
        self.standby.start()
        agent.wait_metric(lambda m: self.rebuild(m) == 1, "it must be built anew", relaxed(20))
        samples = agent.metrics()
        self.assertEqual(
            server_value(samples, "pg_replication_standby_connected", self.primary, **slot), 0
        )
        self.assertEqual(server_value(samples, PROTECTED, self.primary, by="standby"), 0)

    def status(self, samples):
        found = samples.select(
            "pg_replication_slots_wal_status",
            target=self.primary.name,
            slot_name=self.standby.name,
        )
        return found[0][0]["wal_status"] if len(found) == 1 else None

    def rebuild(self, samples):
        name = "pg_standby_needs_rebuild"
        return server_value(samples, name, self.standby, reason="slot_lost")

    @classmethod
    def mend(cls):
        """It cannot be put right."""
