# SPDX-License-Identifier: Apache-2.0
"""lagwatch discover beside a real PostgreSQL of Debian's: found with the rights of the unprivileged
user, who may see neither its files nor its open sockets, and what discover says lets him in."""

import os
import re
import unittest
from pathlib import Path

from lab.process import free_ports, unprivileged_user, wait_until

from integration.support import WithLab, cli, need_root

BINARIES = Path("/usr/lib/postgresql/15/bin")
OWNER = "postgres"


class DiscoverPostgres(WithLab):
    @classmethod
    def setUpClass(cls):
        need_root()
        if not (BINARIES / "postgres").exists():
            raise unittest.SkipTest("PostgreSQL 15 of Debian is not installed")
        super().setUpClass()
        cls.data = cls.lab.directory("data", user=OWNER, mode=0o700)
        initdb = [BINARIES / "initdb", "--no-sync", "--auth=peer", "-D", cls.data]
        cls.run_as_owner("initdb", *initdb)

    @classmethod
    def run_as_owner(cls, name, *argv):
        child = cls.lab.spawn(name, argv, user=OWNER)
        if child.wait(60) != 0:
            raise AssertionError(child.tail())
        return child.out.read_text()

    def server(self, name, settings=(), flags=()):
        """A server that ends with the test: (its process, its directory of sockets, its port)."""
        directory = self.lab.directory(name, user=OWNER)
        port = free_ports(1)[0]
        lines = [one.format(directory=directory, port=port) for one in ("fsync = off", *settings)]
        (self.data / "postgresql.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
        flags = [one.format(directory=directory, port=port) for one in flags]
        child = self.lab.spawn(name, [BINARIES / "postgres", "-D", self.data, *flags], user=OWNER)
        self.addCleanup(child.stop)
        socket = directory / f".s.PGSQL.{port}"
        wait_until(lambda: child.require_alive() and socket.exists(), 30, f"{socket} exists")
        return child, directory, port

    def discovered(self, directory, port):
        """The comments and the dsn of the entry, or None; the entry must be there once."""
        done = cli(self.lab, "discover")
        self.assertEqual(done.code, 0, done)
        dsn = f"host={directory} port={port} user=lagwatch dbname=postgres"
        found = re.findall(
            rf'((?:^  # .*\n)*)^  - name: "[\w.:-]+"\n    dsn: "{re.escape(dsn)}"$',
            done.out,
            re.MULTILINE,
        )
        self.assertEqual(len(found), done.out.count(dsn), done.out)
        self.assertLessEqual(len(found), 1, done.out)
        return found[0] if found else None

    def test_a_server_whose_files_are_hidden_is_found_by_its_socket(self):
        settings = (
            "unix_socket_directories = '{directory}'",
            "port = {port}",
            "listen_addresses = ''",
        )
        child, directory, port = self.server("conf", settings)
        self.assertIsNotNone(self.discovered(directory, port))
        child.kill()
        self.assertTrue((directory / f".s.PGSQL.{port}").exists(), "its socket's file stays behind")
        self.assertIsNone(self.discovered(directory, port), "nobody listens there")

    def test_what_discover_says_makes_the_role_and_peer_lets_it_in(self):
        flags = ("-k", "{directory}", "-p", "{port}", "-c", "listen_addresses=")
        child, directory, port = self.server("flags", flags=flags)
        notes = self.discovered(directory, port)
        self.assertIn(f"PostgreSQL 15 (pid {child.pid})", notes)
        command = re.search(
            rf'sudo -u {OWNER} psql -h {directory} -p {port} -d postgres -c "([^"]+)"$',
            notes,
            re.MULTILINE,
        )
        self.assertIsNotNone(command, notes)
        psql = [BINARIES / "psql", "-X", "-h", directory, "-p", port, "-d", "postgres"]
        wait_until(lambda: self.answers(psql), 30, "PostgreSQL answers")
        self.run_as_owner("role", *psql, "-v", "ON_ERROR_STOP=1", "-c", command[1])
        user = unprivileged_user()
        if user != "lagwatch":  # a host without that user: its name in the server's map
            (self.data / "pg_hba.conf").write_text(
                "local all lagwatch peer map=m\nlocal all all peer\n"
            )
            (self.data / "pg_ident.conf").write_text(f"m {user} lagwatch\n")
            self.run_as_owner("reload", *psql, "-c", "SELECT pg_reload_conf()")
        asked = "SELECT count(*) >= 0 FROM pg_ls_waldir(), pg_ls_archive_statusdir()"
        query = [*psql, "-U", "lagwatch", "-At", "-c", asked]

        def allowed():
            one = self.lab.spawn("query", query, user=user, env={"HOME": "/"})
            return one.wait(20) == 0 and one.out.read_text().strip() == "t"

        wait_until(allowed, 20, "role lagwatch gets in and may look")

    def answers(self, psql):
        return self.lab.spawn("hello", [*psql, "-c", "SELECT 1"], user=OWNER).wait(20) == 0

    def test_a_socket_that_may_not_be_used_is_a_problem_with_its_fix(self):
        flags = ("-k", "{directory}", "-p", "{port}", "-c", "unix_socket_permissions=0770")
        _, directory, port = self.server("denied", flags=flags)
        self.assertIsNone(self.discovered(directory, port))
        out = cli(self.lab, "discover").out
        problem = re.search(rf"^# Problem: .*{directory}/\.s\.PGSQL\.{port} .*$", out, re.MULTILINE)
        self.assertIsNotNone(problem, out)
        self.assertIn(f"it is {OWNER}:{OWNER} 0770", problem[0])
        os.chmod(directory / f".s.PGSQL.{port}", 0o777)
        self.assertIsNotNone(self.discovered(directory, port))
