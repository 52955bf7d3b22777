# SPDX-License-Identifier: Apache-2.0
"""Real PostgreSQL servers: every version, replication, and what can be done to them."""

import os
import signal
import socket
import subprocess
import sys
import time
import unittest
from unittest import mock

from .. import packages, pg_binaries
from ..haproxy import process_state
from ..pg_binaries import VERSIONS, client
from ..pg_cluster import Cluster, on_site
from ..pg_session import SqlError
from ..postgres import Postgres
from ..process import TESTS_DIRECTORY, Lab, LabError, Unavailable, unprivileged_user, wait_until
from ..site import Site
from .support import in_lab, or_skip

QUICK = {"wal_sender_timeout": "1s", "wal_receiver_timeout": "1s"}


class EveryVersion(unittest.TestCase):
    """test_9_3 and so on: starts, answers; those of STREAMING have a standby too."""

    STREAMING = ("9.3", "9.6", "10", "12", "18")

    def check(self, version):
        server = or_skip(lambda: Postgres(in_lab(self), "one", version).start())
        said = server.value("SHOW server_version")
        self.assertTrue(said.startswith(f"{version}."), said)
        self.assertFalse(server.is_in_recovery)
        self.assertEqual(server.timeline, 1)
        before = server.lsn()
        self.assertGreaterEqual(server.write(50) - before, 50_000)
        old = ("bare", "superuser", "wrappers")
        kinds = old if server.number < 1000 else ("least", "pg_monitor")
        for kind in kinds:
            role = server.role(f"role_{kind}", kind)
            self.assertEqual(server.value("SELECT current_user", user=role), role)
        if version in self.STREAMING:
            self.check_standby(server, kinds)

    def check_standby(self, server, kinds):
        standby = server.standby("two", slot="two" if server.number >= 904 else None)
        standby.wait_streaming()
        server.write(50)
        standby.wait_caught_up()
        self.assertTrue(standby.is_in_recovery)
        self.assertEqual(standby.system_identifier, server.system_identifier)
        if "wrappers" in kinds:
            rows = server.sql(
                "SELECT state FROM monitoring.stat_replication()", user="role_wrappers"
            )
        else:
            rows = server.sql("SELECT state FROM pg_stat_replication", user="role_least")
        self.assertEqual(rows, [("streaming",)])
        standby.promote(trigger=server.number < 1600)
        self.assertEqual(standby.timeline, 2)
        standby.restart()
        self.assertFalse(standby.is_in_recovery)


for one in VERSIONS:
    setattr(
        EveryVersion,
        f"test_{one.replace('.', '_')}",
        lambda self, version=one: self.check(version),
    )


class Replication(unittest.TestCase):
    def cluster(self, **more):
        return or_skip(lambda: Cluster(in_lab(self), **more))

    def test_cascade(self):
        cluster = self.cluster(cascade=True)
        self.assertEqual(cluster.primary.senders(), {"standby1": "streaming"})
        self.assertEqual(cluster.standby.senders(), {"cascade": "streaming"})
        position = cluster.primary.write(100)
        cluster.standby.wait_caught_up()
        cluster.cascade.wait_caught_up()
        self.assertGreaterEqual(cluster.cascade.lsn("replay"), position)
        slots = cluster.primary.sql("SELECT slot_name, active FROM pg_replication_slots")
        self.assertEqual(slots, [("standby1", "t")])

    def test_promoted_standby_is_a_second_primary(self):
        cluster = self.cluster(cascade=True)
        cluster.standby.promote()
        self.assertEqual([one.is_in_recovery for one in cluster.servers], [False, False, True])
        self.assertEqual((cluster.primary.timeline, cluster.standby.timeline), (1, 2))
        cluster.standby.write(10)
        cluster.cascade.wait_caught_up()

    def test_relay_cut_and_healed(self):
        cluster = self.cluster(relay=True, settings=QUICK)
        for cut in (cluster.standby.relay.blackhole, cluster.standby.relay.refuse):
            cut()
            wait_until(lambda: not cluster.primary.senders(), what="the primary lost its standby")
            cluster.primary.write(50)
            self.assertLess(cluster.standby.lsn(), cluster.primary.lsn())
            cluster.standby.relay.forward()
            cluster.standby.wait_streaming()
            cluster.standby.wait_caught_up()

    def test_hung_standby_and_hung_receiver(self):
        cluster = self.cluster(settings=QUICK)
        cluster.standby.sigstop()
        self.assertEqual(process_state(cluster.standby.child.pid), "T")
        with self.assertRaises(TimeoutError):
            cluster.standby.value("SELECT 1", timeout=0.3)
        wait_until(lambda: not cluster.primary.senders(), what="the primary lost its standby")
        cluster.standby.sigcont()
        cluster.standby.wait_streaming()
        cluster.standby.sigstop("walreceiver")
        cluster.primary.write(50)
        self.assertEqual(cluster.standby.value("SELECT 1"), "1")
        self.assertLess(cluster.standby.lsn("receive"), cluster.primary.lsn())
        cluster.standby.sigcont()
        cluster.standby.wait_caught_up()

    def test_replay_paused(self):
        cluster = self.cluster()
        cluster.standby.pause_replay()
        position = cluster.primary.write(50)
        wait_until(lambda: cluster.standby.lsn("receive") >= position, what="it has received")
        self.assertLess(cluster.standby.lsn("replay"), position)
        cluster.standby.resume_replay()
        cluster.standby.wait_caught_up()

    def test_standby_with_another_clock(self):
        cluster = self.cluster()
        or_skip(lambda: cluster.standby.clock_offset(40))
        cluster.standby.wait_streaming()
        cluster.primary.write(10)
        cluster.standby.wait_caught_up()
        age = "SELECT extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())"
        self.assertGreater(float(cluster.standby.value(age)), 39)

    def test_lost_slot(self):
        primary = or_skip(lambda: Postgres(in_lab(self), "one").start())
        primary.lose_slot("old")
        rows = primary.sql("SELECT wal_status, restart_lsn FROM pg_replication_slots")
        self.assertEqual(rows, [("lost", None)])

    def test_on_namespaces(self):
        site = or_skip(lambda: Site("netns").__enter__())
        self.addCleanup(site.__exit__)
        cluster = or_skip(lambda: on_site(site, cascade=True, settings=QUICK))
        self.assertEqual(
            [(one.host.name, one.port) for one in cluster.servers],
            [("db1", 5432), ("db2", 5432), ("search1", 5432)],
        )
        site.network.unplug("db2")
        wait_until(lambda: not cluster.primary.senders(), what="db1 lost db2")
        self.assertEqual(cluster.standby.value("SELECT 1"), "1")  # its socket is everybody's
        site.network.plug("db2")
        cluster.standby.wait_streaming()


class OneServer(unittest.TestCase):
    """What needs no standby, on one server."""

    @classmethod
    def setUpClass(cls):
        lab = Lab()
        cls.addClassCleanup(lab.close)
        cls.server = or_skip(lambda: Postgres(lab, "one").start())

    def test_killed_and_started(self):
        children = list(self.server.children())
        self.server.write(10)
        self.assertEqual(self.server.kill9(), -signal.SIGKILL)
        self.assertTrue(all(process_state(pid) in ("", "Z", "X") for pid in children))
        with self.assertRaises(OSError):
            self.server.value("SELECT 1")
        self.server.start()
        self.assertEqual(self.server.value("SELECT 1"), "1")

    def test_connections_exhausted(self):
        self.server.sql("DROP ROLE IF EXISTS plain; CREATE ROLE plain LOGIN")
        for user, held in (("plain", 27), ("postgres", 30)):
            with self.server.exhaust_connections(user) as number:
                self.assertEqual(number, held)
                with self.assertRaises(SqlError) as caught:
                    self.server.value("SELECT 1", user=user)
                self.assertEqual(caught.exception.code, "53300")
            wait_until(lambda: self.sessions("exhaust") == 0, what="they are closed")

    def sessions(self, name):
        text = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}'"
        return int(self.server.value(text))

    def test_locks_pile_up(self):
        with self.server.lock_pileup(waiters=4):
            self.assertEqual(self.server.waiting(), 4)
        wait_until(lambda: self.server.waiting() == 0, what="nobody waits")

    def test_replication_clients(self):
        with self.server.basebackup_running():
            self.assertEqual(self.server.senders(), {"pg_basebackup": "backup"})
        with self.server.receivewal():
            wait_until(
                lambda: self.server.senders() == {"pg_receivewal": "streaming"}, what="it streams"
            )
        wait_until(lambda: not self.server.senders(), what="they are gone")

    def test_workload_and_heartbeat(self):
        before = self.server.lsn()
        with self.server.workload(200, seconds=5) as load, self.server.heartbeat(50, 5) as beat:
            wait_until(lambda: load.rows > 20 and beat.rows > 5, what="rows are written")
        self.assertEqual((load.error, beat.error), (None, None))
        self.assertGreater(self.server.lsn() - before, 20 * 200)
        age = "SELECT extract(epoch FROM clock_timestamp() - ts) FROM lab_heartbeat"
        self.assertLess(float(self.server.value(age)), 10)

    def test_settings(self):
        self.server.set(work_mem="5MB")
        self.assertEqual(self.server.value("SHOW work_mem"), "5MB")

    def test_anybody_may_use_its_socket(self):
        argv = [client("psql"), "-XAtqc", "SELECT 42", self.server.dsn()]
        child = self.server.lab.spawn("psql", argv, user=unprivileged_user())
        self.assertEqual((child.wait(), child.out.read_text()), (0, "42\n"))

    def test_another_clock(self):
        ahead = "SELECT extract(epoch FROM clock_timestamp())"
        try:
            or_skip(lambda: self.server.clock_offset(40))
            self.assertAlmostEqual(float(self.server.value(ahead)) - time.time(), 40, delta=2)
            self.server.write(10)
            self.server.clock_offset(-40)
            self.assertAlmostEqual(float(self.server.value(ahead)) - time.time(), -40, delta=2)
            self.assertEqual(self.server.value("SELECT 1 FROM pg_sleep(0.01)"), "1")
        finally:
            self.server.clock_offset(0)
        self.assertAlmostEqual(float(self.server.value(ahead)) - time.time(), 0, delta=2)


class Archive(unittest.TestCase):
    def test_ok_fail_lie(self):
        server = or_skip(lambda: Postgres(in_lab(self), "one"))
        server.archive()
        server.start()
        first = server.switch_wal()
        server.wait_archived(first)
        server.archive("lie")
        second = server.switch_wal()
        archived = "SELECT last_archived_wal FROM pg_stat_archiver"
        wait_until(lambda: server.value(archived) == second, what="the archiver thinks it is done")
        self.assertNotIn(second, server.archived())
        server.archive("fail")
        third = server.switch_wal()
        failed = "SELECT last_failed_wal FROM pg_stat_archiver"
        wait_until(lambda: server.value(failed) == third, what="the archiver has failed")
        self.assertEqual(server.ready(), [third])


class Passwords(unittest.TestCase):
    def check(self, auth):
        settings = {"password_encryption": auth}
        server = or_skip(lambda: Postgres(in_lab(self), "one", auth=auth, settings=settings))
        server.start()
        server.role("mon", password="right")
        for password, code in (("right", 0), ("wrong", 2)):
            argv = [client("psql"), "-XAtqc", "SELECT 1", server.tcp_dsn("mon", password=password)]
            self.assertEqual(server.lab.spawn("psql", argv).wait(), code)

    def test_md5(self):
        self.check("md5")

    def test_scram(self):
        self.check("scram-sha-256")


class Fetching(unittest.TestCase):
    """Of servers that are not Debian's."""

    def setUp(self):
        self.lab = in_lab(self)
        for name, value in (("cache_directory", lambda: self.lab.dir), ("FETCH_SECONDS", 5)):
            patched = mock.patch.object(packages, name, value)
            patched.start()
            self.addCleanup(patched.stop)

    def fetch(self, reason, version="9.3"):
        with self.assertRaisesRegex(Unavailable, f"^postgres {version}: {reason}"):
            pg_binaries.unpacked(version)
        self.assertEqual(list(self.lab.dir.glob("fetch-*")), [])

    def test_no_tool(self):
        with mock.patch.dict(os.environ, {"PATH": "/nowhere"}):
            self.fetch("no mvn command to fetch it with$")
        self.fetch("no mvn command", "9.6")  # is remembered

    def test_a_tool_that_fails_and_one_that_hangs(self):
        tool = self.lab.directory("bin") / "mvn"
        with mock.patch.dict(os.environ, {"PATH": f"{tool.parent}:/usr/bin:/bin"}):
            tool.write_text("#!/bin/sh\necho no such host; exit 1\n")
            tool.chmod(0o755)
            self.fetch("mvn failed with 1: no such host")
            tool.write_text("#!/bin/sh\nsleep 60\n")
            (self.lab.dir / "mvn.failed").unlink()
            with mock.patch.object(packages, "FETCH_SECONDS", 0.2):
                self.fetch("mvn did not fetch it within 0.2 s")

    def test_another_file_than_wanted(self):
        def run_fetch(_argv, work):
            (work / "a.jar").write_bytes(b"something")
            return work

        with mock.patch.object(packages, "run_fetch", run_fetch):
            self.fetch("a.jar has sha256 3fc9b6")


class NothingIsLeft(unittest.TestCase):
    def test_of_a_hung_server_after_sigkill(self):
        script = (
            "from lab.process import Lab\nfrom lab.postgres import Postgres\nlab = Lab()\n"
            "one = Postgres(lab, 'one').start()\none.sigstop()\n"
            "print(lab.dir, one.child.pid, *one.children(), flush=True)\ninput()"
        )
        child = subprocess.Popen(
            [sys.executable, "-B", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": str(TESTS_DIRECTORY)},
        )
        with child:
            directory, *pids = child.stdout.readline().split() or [""]
            child.kill()
        if not directory:
            self.skipTest("no server")
        self.assertGreater(len(pids), 3)
        wait_until(
            lambda: not os.path.exists(directory)
            and all(process_state(pid) in ("", "Z", "X") for pid in pids),
            what="all is gone",
        )

class Starting(unittest.TestCase):
    def test_a_port_that_was_taken_meanwhile(self):
        server = or_skip(lambda: Postgres(in_lab(self), "one"))
        with socket.create_server(("127.0.0.1", server.port)):
            server.start()
            self.assertEqual(server.value("SHOW port"), str(server.port))

    def test_errors_are_told_with_the_log(self):
        server = or_skip(lambda: Postgres(in_lab(self), "one", settings={"nonsense": 1}))
        with self.assertRaisesRegex(LabError, "nonsense"):
            server.start()
