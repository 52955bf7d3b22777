# SPDX-License-Identifier: Apache-2.0
"""What lagwatch is told with which rights: with the least it needs, nothing is missing; with none,
each missing thing is named with the statement that mends it, which is then carried out; what the
server hides is absent, not zero."""

import re
import unittest

from lab.agent import SOURCE_DIRECTORY, configuration
from lab.pg_cluster import Cluster
from lab.process import Unavailable

from integration.pg_support import pg_target, server_value
from integration.support import WithLab, cli, config_file, duration, failures, relaxed

ROLE = "lagwatch"
FIX = re.compile(r"^  fix: (.+)$", re.MULTILINE)
# Families that each need a right, on a primary with a standby.
BY_RIGHT = {
    "pg_stat_replication_pg_current_wal_lsn_bytes",
    "pg_stat_replication_lsn_bytes",
    "pg_stat_replication_standbys",
    "pg_stat_activity_count",
    "pg_stat_activity_waiting",
    "pg_wal_segments",
    "pg_wal_oldest_lsn_bytes",
    "pg_archive_ready_segments",
}
# On its standby.
STANDBY_BY_RIGHT = {
    "pg_stat_activity_count",
    "pg_stat_wal_receiver_up",
    "pg_stat_wal_receiver_info",
    "pg_wal_segments",
}
FREE = {
    "pg_wal_lsn_bytes",
    "pg_system_info",
    "pg_stat_archiver_archived_count",
    "pg_stat_database_xact_commit",
    "pg_settings_max_connections",
    "pg_replication_slots_active",
    "pg_stat_activity_connections",
}


def families(samples, server):
    return {name for name, labels in samples if ("target", server.name) in labels}


class WithRoles(WithLab):
    """A primary that archives, and its standby; each test has a role of its own."""

    version = "15"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.cluster = Cluster(cls.lab, cls.version, archive="ok")
        except Unavailable as error:
            raise unittest.SkipTest(str(error)) from None
        cls.primary, cls.standby = cls.cluster.primary, cls.cluster.standby
        cls.primary.heartbeat(seconds=0.1).wait()
        cls.primary.sql("REVOKE ALL ON lab_heartbeat FROM PUBLIC")
        cls.primary.wait_archived(cls.primary.switch_wal())

    def role(self, kind, **more):
        """ROLE is of this kind, until the test ends."""
        self.addCleanup(self.primary.sql, f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")
        self.primary.role(ROLE, kind, **more)
        self.standby.wait_caught_up()

    def targets(self, **more):
        return [pg_target(one, ROLE, **more) for one in self.cluster.servers]

    def watching(self, settled=lambda samples: True, **more):
        """What an agent says of both when it has asked all its questions, and `settled` holds."""
        agent = self.agent(
            postgres=self.targets(**more),
            interval=duration(0.5),
            timeout=duration(relaxed(1.0)),
        )
        last = {"pg_stat_activity_connections", "pg_stat_bgwriter_buffers_alloc_total"}
        return agent.wait_metric(
            lambda m: all(last <= families(m, one) for one in self.cluster.servers) and settled(m),
            "both answer, and all is there",
            relaxed(10),
        )

    def others(self):
        """Sessions of others: where there are none, none can be hidden."""
        for server in self.cluster.servers:
            session = server.session(application_name="other")
            self.addCleanup(session.close)
            session.sql("SELECT 1")

    def check_live(self, **more):
        config = configuration(
            host=False, postgres=self.targets(**more), timeout=duration(relaxed(3.0))
        )
        return cli(self.lab, "check", "--live", f"--config.file={config_file(self.lab, config)}")

    def check_clean(self, done):
        self.assertEqual((done.code, done.err), (0, ""), done)
        for server in self.cluster.servers:
            self.assertIn(f"postgres {server.name}: ok\n", done.out)

    def check_everything(self, **more):
        """Nothing is missing, and nobody says so."""
        samples = self.watching(self.all_is_there, **more)
        self.assertEqual(samples.select("lagwatch_target_limited"), [])
        self.check_rights_are_said(samples)
        self.check_clean(self.check_live(**more))

    def all_is_there(self, samples, but=frozenset()):
        return (BY_RIGHT | FREE) - but <= families(
            samples, self.primary
        ) and STANDBY_BY_RIGHT - but <= families(samples, self.standby)

    def check_rights_are_said(self, samples):
        name = "pg_replication_privileges_ok"
        self.assertEqual(server_value(samples, name, self.primary), 1)
        # Nobody streams from the standby: nothing tells whether it would be shown.
        self.assertIn(server_value(samples, name, self.standby), (None, 1))
        for server in self.cluster.servers:
            self.assertEqual(failures(samples, server.name), 0)

    def check_hidden(self, samples):
        """What a role without rights may not see is absent, not zero."""
        shown = families(samples, self.primary)
        self.assertEqual(BY_RIGHT & shown, set())
        self.assertLessEqual(FREE, shown)
        self.assertEqual(STANDBY_BY_RIGHT & families(samples, self.standby), set())
        self.assertEqual(server_value(samples, "pg_replication_privileges_ok", self.primary), 0)
        self.assertNotEqual(
            server_value(samples, "pg_replication_privileges_ok", self.standby), 1
        )
        protected = server_value(samples, "pg_primary_protected", self.primary, by="standby")
        self.assertIsNone(protected)
        limited = {
            (labels["target"], labels["collector"], labels["reason"])
            for labels, _ in samples.select("lagwatch_target_limited")
        }
        for collector in ("replication", "activity", "wal", "archive_status"):
            self.assertIn(("primary", f"postgres_{collector}", "permission"), limited)
        for collector in ("wal_receiver", "activity", "wal"):
            self.assertIn(("standby1", f"postgres_{collector}", "permission"), limited)


class Roles(WithRoles):
    def test_pg_monitor_sees_everything(self):
        self.role("pg_monitor")
        self.check_everything()

    def test_the_least_rights_are_enough(self):
        self.role("least")
        self.check_everything()

    def test_a_superuser_sees_everything(self):
        self.role("superuser")
        self.check_everything()

    def test_without_rights_what_is_hidden_is_absent(self):
        self.role("bare")
        self.others()
        self.check_hidden(self.watching(lambda m: families(m, self.primary) >= FREE))

    def test_the_statements_that_are_printed_help(self):
        self.role("bare")
        self.others()
        heartbeat = {"heartbeat": {"table": "lab_heartbeat"}}
        done = self.check_live(**heartbeat)
        self.assertEqual((done.code, done.err), (1, ""), done)
        for server in self.cluster.servers:
            self.assertIn(f"postgres {server.name}: in part\n", done.out)
        for what in ("pg_stat_replication", "pg_stat_wal_receiver", "pg_stat_activity", "pg_wal:"):
            self.assertIn(f"  permission: {what}", done.out)
        self.mend(done.out)
        self.standby.wait_caught_up()
        self.check_clean(self.check_live(**heartbeat))
        self.check_everything(**heartbeat)

    def mend(self, out):
        """Carries the fixes out, as they are printed."""
        fixes = set(FIX.findall(out))
        self.assertGreaterEqual(len(fixes), 3, out)
        for fix in fixes:
            with self.subTest(fix=fix):
                self.assertRegex(fix, rf"^(GRANT|ALTER ROLE) .* {ROLE}\b")
                self.primary.sql(fix)

    def test_a_heartbeat_that_may_not_be_read_names_its_table(self):
        self.role("least")
        done = self.check_live(heartbeat={"table": "public.lab_heartbeat"})
        self.assertEqual(done.code, 1, done)
        self.assertIn("  permission: ", done.out)
        self.assertIn(f"  fix: GRANT SELECT ON public.lab_heartbeat TO {ROLE}\n", done.out)
        self.primary.sql(f"GRANT SELECT ON lab_heartbeat TO {ROLE}")
        self.standby.wait_caught_up()
        self.check_clean(self.check_live(heartbeat={"table": "public.lab_heartbeat"}))


class Roles18(Roles):
    version = "18"


class Roles10(Roles):
    """Before 12 nobody but superusers may list archive_status; before 11 not even by a grant."""

    version = "10"

    def check_everything(self, **more):
        rows = self.primary.sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{ROLE}' AND rolsuper")
        if rows:
            super().check_everything(**more)
            return
        but = {"pg_archive_ready_segments"}
        samples = self.watching(lambda m: self.all_is_there(m, but), **more)
        self.check_rights_are_said(samples)
        limited = samples.select("lagwatch_target_limited")
        self.assertEqual(
            [(labels["target"], labels["collector"]) for labels, _ in limited],
            [("primary", "postgres_archive_status")],
        )
        self.check_clean(self.check_live(**more))

    def test_the_function_shows_the_archives_status(self):
        self.role("wrappers")
        self.primary.sql(
            f"GRANT pg_read_all_stats TO {ROLE};"
            f" GRANT EXECUTE ON FUNCTION pg_ls_waldir() TO {ROLE}"
        )
        self.standby.wait_caught_up()
        super().check_everything()

    def check_clean(self, done):
        """But for the archive's status, for which there is no grant."""
        if done.code == 0:
            super().check_clean(done)
            return
        self.assertEqual(done.out.count("  permission: "), 1, done.out)
        self.assertIn("  permission: pg_wal/archive_status", done.out)
        self.assertIn(f"postgres {self.standby.name}: ok\n", done.out)

    def mend(self, out):
        grants = "\n".join(f"  fix: {one}" for one in FIX.findall(out) if one.startswith("GRANT"))
        super().mend(grants)


class OldRoles(WithRoles):
    """Before 10 there are functions of the site's own, that show what a superuser may see."""

    version = "9.6"
    NEW = {"pg_wal_segments", "pg_wal_oldest_lsn_bytes"}  # 10
    # Sessions of others are shown to superusers alone.
    SUPERUSERS = {"pg_stat_activity_count", "pg_stat_activity_waiting"}

    def seen(self, samples, but=frozenset()):
        missing = {"pg_stat_archiver_archived_count", "pg_replication_slots_active"}
        old = missing if self.primary.number < 904 else set()
        wanted = (BY_RIGHT | FREE) - self.NEW - but - old
        received = {"pg_stat_wal_receiver_up"} if self.primary.number >= 906 else set()
        return wanted <= families(samples, self.primary) and received <= families(
            samples, self.standby
        )

    @staticmethod
    def limited(samples):
        return {labels["collector"] for labels, _ in samples.select("lagwatch_target_limited")}

    def test_the_functions_are_enough_but_for_sessions(self):
        self.role("wrappers", replication=True)
        self.others()
        samples = self.watching(lambda m: self.seen(m, self.SUPERUSERS), identify=True)
        self.assertEqual(self.SUPERUSERS & families(samples, self.primary), set())
        self.assertEqual(self.limited(samples), {"postgres_activity"})

    def test_a_superuser_needs_none(self):
        self.role("superuser")
        self.others()
        samples = self.watching(self.seen, identify=True)
        self.assertEqual(self.limited(samples), set())
        self.check_clean(self.check_live(identify=True))

    def test_without_rights_what_is_hidden_is_absent(self):
        self.role("bare")
        self.others()
        samples = self.watching(identify=True)
        shown = families(samples, self.primary)
        self.assertEqual(BY_RIGHT & shown, set())
        self.assertEqual(server_value(samples, "pg_replication_privileges_ok", self.primary), 0)
        done = self.check_live(identify=True)
        self.assertEqual(done.code, 1, done)
        fixes = "\n".join(FIX.findall(done.out))
        for fix in ("the functions of README.md", "monitoring.archive_status()", "superuser"):
            self.assertIn(fix, fixes)
        readme = (SOURCE_DIRECTORY / "README.md").read_text(encoding="utf-8")
        for section in set(re.findall(r'README.md, section "([^"]+)"', fixes)):
            self.assertIn(section, readme, "what the fix refers to")
        if self.primary.number < 906:
            self.assertIn(f"ALTER ROLE {ROLE} REPLICATION", done.out)


class OldestRoles(OldRoles):
    version = "9.3"
