# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL that answers and does not let lagwatch in: no connection left, passwords, roles,
pg_hba.conf, databases, its socket's directory. It is not called down for it, and each has a fix."""

import os
import re

from lab import agent as agents
from lab.process import unprivileged_user, wait_until

from integration.pg_support import MON, pg_target
from integration.support import (
    SICK,
    WELL,
    Watch,
    cli,
    config_file,
    failing,
    failures,
    gid_of,
    need_root,
    relaxed,
)
from integration.test_postgres_faults import PERIOD, WithPair, pg_series

OLD, NEW = "old secret", "new 'secret'"


def fix_in(log, target):
    """The fix in the line of the log that says that the target failed."""
    lines = [one for one in log.splitlines() if f"target={target} " in one and "failed" in one]
    found = re.search(r' fix="((?:[^"\\]|\\.)*)"', lines[-1]) if lines else None
    if not found:
        raise AssertionError(f"no fix for {target}: {log[-900:]}")
    return found[1]


class NoConnectionLeft(WithPair):
    def exhausted(self, user):
        early = self.watching(name="early")
        with Watch(early) as watch, self.sick.exhaust_connections(user):
            late = self.watching(name="late", up=False)
            samples = self.wait_failing(late, "too_many_connections")
            self.assertEqual(pg_series(samples, SICK), set())
            self.assertRegex(fix_in(late.log(), SICK), "pg_stat_activity.*max_connections")
            late.wait_metric(lambda m: failures(m, SICK) >= 3, "three attempts", relaxed(5))
            samples = early.wait_metric(
                lambda m: m.value("pg_stat_activity_connections", target=SICK) >= 27,
                "those who hold them are counted",
                relaxed(5),
            )
            most = samples.value("pg_settings_max_connections", target=SICK)
            self.assertEqual(most, 30)
        watch.check(self, period=PERIOD)
        for _, samples in watch.all():
            self.assertEqual(samples.value("pg_up", target=SICK), 1)
        self.assertEqual(failures(early.metrics(), SICK), 0)
        samples = self.wait_up(late)
        self.assertEqual(failures(samples, SICK), failures(samples, SICK, "too_many_connections"))

    def test_all_taken(self):
        self.exhausted("postgres")

    def test_all_taken_but_those_for_superusers(self):
        self.exhausted(MON)


class Refused(WithPair):
    """Each target is refused for another reason; all are watched at once."""

    shape = {
        "hba": "local all postgres trust\n"
        f"local all {MON},ghost trust\n"
        "local all locked scram-sha-256\n"
        "host all postgres 127.0.0.1/32 trust\n"
    }
    # name: (arguments of dsn, reason, fix)
    CASES = {
        "no_role": ({"user": "ghost"}, "auth", "CREATE ROLE"),
        "no_line": ({"user": "stranger"}, "auth", "a line for it in pg_hba.conf"),
        "no_password": ({"user": "locked"}, "auth", "set password_file"),
        "no_database": ({"user": MON, "dbname": "absent"}, "protocol", "dbname=postgres"),
        "bad_option": (
            {"user": MON, "options": "'-c no_such_setting=1'"},
            "unsupported",
            "options of dsn",
        ),
    }

    def targets(self):
        return [
            {"name": name, "dsn": self.sick.dsn(**arguments)}
            for name, (arguments, _, _) in self.CASES.items()
        ]

    def test_each_has_its_reason_and_its_fix(self):
        self.sick.sql("CREATE ROLE locked LOGIN PASSWORD 'x'")
        agent = self.watching(*self.targets(), up=False)
        with Watch(agent) as watch:
            for name, (_, reason, fix) in self.CASES.items():
                samples = self.wait_failing(agent, reason, name)
                self.assertEqual(pg_series(samples, name), set())
                self.assertIn(fix, fix_in(agent.log(), name))
        watch.check(self, period=PERIOD)
        self.check_live()

    def check_live(self):
        config = agents.configuration(host=False, postgres=[*self.targets(), pg_target(self.well)])
        done = cli(self.lab, "check", "--live", f"--config.file={config_file(self.lab, config)}")
        self.assertEqual(done.code, 1, done)
        self.assertIn(f"postgres {WELL}: ok\n", done.out)
        for name, (_, reason, fix) in self.CASES.items():
            said = rf"^postgres {name}: {reason}: .+\n  fix: .*{re.escape(fix)}"
            self.assertRegex(done.out, re.compile(said, re.MULTILINE))

    def test_a_directory_of_its_socket_that_may_not_be_entered(self):
        need_root()
        self.addCleanup(self.sick.socket_directory.chmod, 0o755)
        agent = self.watching()
        self.sick.socket_directory.chmod(0o700)
        self.sick.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'lagwatch'"
        )
        with Watch(agent) as watch:
            agent.wait_metric(lambda m: failing(m, SICK) == "permission", "permission", relaxed(5))
            self.sick.socket_directory.chmod(0o755)
            self.wait_up(agent)
        watch.check(self, period=PERIOD)


class Password:
    """A password that is rotated while lagwatch runs."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.password_file = cls.lab.dir / "password"
        cls.set_password(OLD)
        cls.write(OLD)

    @classmethod
    def set_password(cls, password):
        text = password.replace("'", "''")
        cls.sick.sql(f"ALTER ROLE {MON} PASSWORD '{text}'")

    @classmethod
    def write(cls, password):
        new = cls.password_file.with_suffix(".new")
        new.write_text(password + "\n", encoding="utf-8")
        user = unprivileged_user()
        if user:
            os.chown(new, -1, gid_of(user))
        new.chmod(0o640)
        new.replace(cls.password_file)

    def with_password(self, **more):
        target = pg_target(self.sick, password_file=str(self.password_file))
        return self.watching(target, **more)

    def end_connection(self):
        pid = self.sick.value(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'lagwatch'"
        )
        self.sick.sql(f"SELECT pg_terminate_backend({pid})")
        wait_until(
            lambda: not self.sick.sql(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid}"),
            what="it has ended",
        )

    def check_secret(self, agent):
        """No password is to be read anywhere."""
        text = agent.log() + agent.fetch("/metrics").text + agent.fetch("/").text
        for secret in (OLD, NEW):
            self.assertNotIn(secret, text)

    def test_rotated_it_is_read_at_the_next_connection(self):
        agent = self.with_password()
        self.addCleanup(self.write, OLD)
        self.addCleanup(self.set_password, OLD)
        with Watch(agent) as watch:
            self.set_password(NEW)
            self.write(NEW)
            opened = self.opened(agent)
            self.end_connection()
            agent.wait_metric(
                lambda m: self.opened_in(m) > opened and m.value("pg_up", target=SICK) == 1,
                "it has a new connection",
                relaxed(5),
            )
        watch.check(self, period=PERIOD)
        self.assertEqual(failures(agent.metrics(), SICK, "auth"), 0)
        self.check_secret(agent)

    @staticmethod
    def opened_in(samples):
        return samples.value("lagwatch_target_connections_opened_total", target=SICK)

    def opened(self, agent):
        return self.opened_in(agent.metrics())

    def test_the_old_one_is_refused_and_not_tried_again_and_again(self):
        agent = self.with_password()
        self.addCleanup(self.set_password, OLD)
        with Watch(agent) as watch:
            self.set_password(NEW)
            self.end_connection()
            agent.wait_metric(lambda m: failing(m, SICK) == "auth", "auth", relaxed(5), 0.05)
            agent.wait_metric(lambda m: self.rounds(m) >= 10, "some rounds", relaxed(10))
        watch.check(self, period=PERIOD)
        self.assertEqual(failures(agent.metrics(), SICK, "auth"), 1)
        self.assertEqual(fix_in(agent.log(), SICK), "check user and password_file")
        self.check_secret(agent)

    def rounds(self, samples):
        """Rounds of questions to `well` since this was first asked."""
        now = samples.value(
            "lagwatch_target_last_success_timestamp_seconds",
            target=WELL,
            collector="postgres_node",
        )
        self.first = getattr(self, "first", now)
        return (now - self.first) / PERIOD

    def test_a_password_file_that_is_not_there(self):
        target = pg_target(self.sick, password_file=str(self.lab.dir / "absent"))
        agent = self.watching(target, up=False)
        agent.wait_metric(lambda m: failing(m, SICK) is not None, "it fails", relaxed(5))
        self.assertIn(str(self.lab.dir / "absent"), agent.log())


class Md5Password(Password, WithPair):
    shape = {"auth": "md5", "settings": {"password_encryption": "md5"}}


class ScramPassword(Password, WithPair):
    shape = {"auth": "scram-sha-256"}
