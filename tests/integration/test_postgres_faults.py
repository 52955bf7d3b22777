# SPDX-License-Identifier: Apache-2.0
"""Faults of a real PostgreSQL, beside a second, healthy one: hung before and during a question,
killed, starting up."""

import contextlib
import os
import re
import signal
import time
import unittest

from lab.haproxy import process_state
from lab.postgres import Postgres
from lab.process import Unavailable, wait_until

from integration.pg_support import MON, pg_target
from integration.support import (
    SICK,
    WELL,
    Watch,
    WithLab,
    duration,
    failing,
    failures,
    fds_at_rest,
    relaxed,
    wait_fds,
)

PERIOD = 0.3  # s
TIMEOUT = 0.5
LASTS = 1.5  # how long a fault is watched once it is seen
OURS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lagwatch'"
UNDER_WAY = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'lagwatch' AND state = 'active'"
)
# Of the exchange, and of the host the server runs on.
NOT_OF_SERVER = re.compile(r"pg_(up|exporter_last_scrape_error|(data|wal)_filesystem_.*)$")
CONCLUDED = re.compile(r"pg_(cluster_|primary_protected|replication_lag)")


def pg_series(samples, name):
    """What is told as said by the server itself."""
    return {
        key
        for key in samples
        if ("target", name) in key[1]
        and key[0].startswith("pg_")
        and not NOT_OF_SERVER.match(key[0])
    }


def age(samples, name):
    """How old the samples of the server's position are; None where none are shown."""
    return samples.value("lagwatch_target_age_seconds", target=name, collector="postgres_node")


class WithPair(WithLab):
    """Two servers: `sick`, which a test breaks, and `well`, which nobody touches. What a test left
    broken is put right behind it."""

    version = "15"
    shape = {}  # further arguments of `sick`

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.sick = Postgres(cls.lab, SICK, cls.version, **cls.shape).start()
            cls.well = Postgres(cls.lab, WELL, cls.version).start()
        except Unavailable as error:
            raise unittest.SkipTest(str(error)) from None
        for server in (cls.sick, cls.well):
            server.role(MON)

    def tearDown(self):
        self.sick.sigcont()
        if not self.sick.running:
            self.sick.start()

    def watching(self, *targets, name="agent", ready=True, up=True, **config):
        """An agent on these targets (by default `sick`) and on `well`; with `up`, all answer."""
        targets = [*(targets or [pg_target(self.sick)]), pg_target(self.well)]
        settings = {"interval": duration(PERIOD), "timeout": duration(relaxed(TIMEOUT))} | config
        agent = self.agent(name=name, ready=ready, postgres=targets, **settings)
        if up:
            for one in targets:
                self.wait_up(agent, one["name"])
        return agent

    @staticmethod
    def wait_up(agent, name=SICK, timeout=10.0):
        return agent.wait_metric(
            lambda m: m.value("pg_up", target=name) == 1, f"{name} is up", relaxed(timeout)
        )

    @staticmethod
    def wait_failing(agent, reason, name=SICK, timeout=None):
        """Waits until the target fails, which must be for `reason`; the samples."""
        samples = agent.wait_metric(
            lambda m: failing(m, name) is not None,
            f"{name} fails ({reason})",
            timeout or 2 * PERIOD + relaxed(TIMEOUT + 1.0),
            0.05,
        )
        if failing(samples, name) != reason:
            raise AssertionError(f"{failing(samples, name)}: {agent.log()[-700:]}")
        return samples

    @contextlib.contextmanager
    def fault(self, agent, *reasons, lasts=LASTS):
        """Within the block `sick` is broken; behind it must have put it right. Gives a function
        that waits until the first of `reasons` is seen, and then looks on for `lasts`."""

        def seen():
            self.wait_failing(agent, reasons[0])
            time.sleep(lasts)

        base = fds_at_rest(agent)
        began = time.monotonic()
        with Watch(agent) as watch:
            yield seen
            lasted = time.monotonic() - began
            samples = self.wait_up(agent, timeout=2 * lasted + 3)
        watch.check(self, period=PERIOD)
        self.check_told(watch, reasons)
        self.assertEqual(failures(samples, WELL), 0)
        wait_fds(agent, base)
        self.check_no_pile_up()
        self.watch = watch

    def check_told(self, watch, reasons):
        """pg_up is 0 with a reason or 1 without, and nothing is invented while it is 0. (Questions
        asked less often are asked again a moment after the position.)"""
        before, was = None, 0.0
        for _, samples in watch.all():
            reason = failing(samples, SICK)
            self.assertIn(reason, (None, *reasons))
            self.assertEqual(samples.value("pg_up", target=SICK), 0 if reason else 1)
            error = samples.value("pg_exporter_last_scrape_error", target=SICK)
            self.assertEqual(error, 1 if reason else 0)
            series, old = pg_series(samples, SICK), age(samples, SICK)
            asked_anew = old is not None and (was is None or old < was)
            if reason and before is not None and not asked_anew:
                invented = sorted({name for name, _ in series - before})
                self.assertEqual(invented, [], f"while {reason}")
            before, was = series, old
        self.assertTrue(any(failing(samples, SICK) for _, samples in watch.all()))

    def check_no_pile_up(self):
        wait_until(
            lambda: int(self.sick.value(OURS)) <= 1,
            relaxed(5),
            "one connection of lagwatch's is left",
        )

    def check_gone_in_time(self):
        """The last good samples stayed for two periods and the timeout, and went."""
        shown = [(failing(m, SICK), age(m, SICK)) for _, m in self.watch.all()]
        bound = 2 * PERIOD + relaxed(TIMEOUT + 0.3)
        oldest = max(old or 0 for reason, old in shown if reason)
        self.assertLess(oldest, bound, "the oldest samples that were shown")
        self.assertTrue(any(reason and old is None for reason, old in shown), shown)


class Hung(WithPair):
    def test_stopped_is_hung(self):
        agent = self.watching()
        with self.fault(agent, "hung") as seen:
            self.sick.sigstop()
            seen()
            self.sick.sigcont()
        self.check_gone_in_time()
        log = agent.log()
        self.assertEqual(log.count("target failed"), 1, log)
        self.assertEqual(log.count("target answers again"), 1, log)

    def test_stopped_again_and_again_leaves_one_connection(self):
        agent = self.watching(interval="100ms")
        for _ in range(4):
            with self.fault(agent, "hung", lasts=0.2) as seen:
                self.sick.sigstop()
                seen()
                self.sick.sigcont()

    def test_stopped_while_a_question_is_under_way(self):
        """A lock on the heartbeat's table holds a question up until lock_timeout."""
        self.sick.heartbeat(seconds=0.1).wait()
        heartbeat = {"table": "lab_heartbeat"}
        agent = self.watching(pg_target(self.sick, heartbeat=heartbeat))
        for _ in range(3):
            with self.fault(agent, "hung", lasts=0.5) as seen:
                with self.sick.session(application_name="holder") as holder:
                    holder.sql("BEGIN; LOCK TABLE lab_heartbeat IN ACCESS EXCLUSIVE MODE")
                    wait_until(
                        lambda: self.sick.sql(UNDER_WAY), relaxed(5), "a question waits", 0.01
                    )
                    self.sick.sigstop()
                    seen()
                    self.sick.sigcont()
                    holder.sql("ROLLBACK")

    def test_a_backend_that_hangs_alone_is_left_for_another(self):
        agent = self.watching()
        pid = int(self.sick.value(UNDER_WAY.replace("active", "idle")))
        self.addCleanup(self.cont, pid)
        opened = self.opened(agent)
        with Watch(agent) as watch:
            os.kill(pid, signal.SIGSTOP)
            wait_until(lambda: process_state(pid) == "T", what="it stands")
            self.wait_failing(agent, "hung")
            samples = self.wait_up(agent)
        watch.check(self, period=PERIOD)
        self.check_told(watch, ("hung",))
        self.assertEqual(self.opened(agent), opened + 1)
        # One for each lane that was asking.
        self.assertIn(failures(samples, SICK), (1, 2, 3, 4))
        self.cont(pid)
        self.check_no_pile_up()

    @staticmethod
    def cont(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    @staticmethod
    def opened(agent):
        return agent.metrics().value("lagwatch_target_connections_opened_total", target=SICK)

    def test_an_agent_that_starts_while_it_is_hung_says_so(self):
        self.sick.sigstop()
        agent = self.watching(up=False)
        with Watch(agent) as watch:
            samples = self.wait_failing(agent, "hung")
            self.assertEqual(samples.value("pg_up", target=SICK), 0)
            self.assertEqual(pg_series(samples, SICK), set())
            self.sick.sigcont()
            self.wait_up(agent)
        watch.check(self, period=PERIOD)
        self.check_no_pile_up()


class Killed(WithPair):
    def check_nothing_concluded(self):
        """What is concluded from the server's answers ended when they were too old."""
        bound = 2 * PERIOD + relaxed(TIMEOUT + 1.5)  # it is looked at every second
        for _, samples in self.watch.all():
            old = age(samples, SICK)
            if failing(samples, SICK) and (old is None or old > bound):
                names = {name for name, _ in pg_series(samples, SICK)}
                concluded = [one for one in names if CONCLUDED.match(one)]
                self.assertEqual(concluded, [], f"from what is {old} s old")

    def test_killed_with_its_socket_file_left_behind_is_refused(self):
        agent = self.watching()
        started = agent.metrics().value("pg_postmaster_start_time_seconds", target=SICK)
        with self.fault(agent, "refused", "reset", "starting_up"):
            self.sick.kill9()
            self.assertTrue(self.sick.socket.exists())
            self.wait_down(agent)
            self.wait_reason(agent, "refused")
            self.assertIn("start the server", agent.log())
            time.sleep(2 * LASTS)
            self.sick.start()
        self.check_nothing_concluded()
        again = agent.metrics()
        value = again.value("pg_postmaster_start_time_seconds", target=SICK)
        self.assertGreater(value, started)
        self.assertEqual(again.value("pg_promotions_total", target=SICK), 0)

    def test_restarted_is_back_with_one_connection(self):
        agent = self.watching()
        with self.fault(agent, "refused", "reset", "starting_up"):
            self.sick.stop("fast")
            self.wait_down(agent)
            self.sick.start()

    @staticmethod
    def wait_down(agent):
        agent.wait_metric(
            lambda m: m.value("pg_up", target=SICK) == 0, "sick is down", relaxed(3), 0.05
        )

    @staticmethod
    def wait_reason(agent, reason):
        agent.wait_metric(lambda m: failing(m, SICK) == reason, f"{reason} is seen", relaxed(5))

    def test_while_it_recovers_it_is_starting_up(self):
        """Its startup process is stopped in the middle of recovery."""
        self.sick.write(40000)
        self.sick.kill9()
        self.sick.start(ready=False)
        wait_until(lambda: self.sick.children("startup"), 10, "recovery has begun", 0.005)
        self.sick.sigstop("startup")
        self.assertFalse(self.sick.answers(), "recovery was over before it could be stopped")
        agent = self.watching(up=False)
        with Watch(agent) as watch:
            samples = self.wait_failing(agent, "starting_up")
            self.assertEqual(samples.value("pg_up", target=SICK), 0)
            self.assertEqual(pg_series(samples, SICK), set())
            time.sleep(LASTS)
            self.sick.sigcont()
            self.sick.wait_ready()
            self.wait_up(agent)
        watch.check(self, period=PERIOD)
        self.check_told(watch, ("starting_up",))

    def test_a_smart_shutdown_refuses_those_who_come_late_as_starting_up(self):
        early = self.watching(name="early")
        self.sick.child.signal(signal.SIGTERM)
        wait_until(lambda: not self.sick.answers(), 10, "it shuts down")
        late = self.watching(name="late", up=False)
        self.wait_failing(late, "starting_up")
        self.assertEqual(early.metrics().value("pg_up", target=SICK), 1)
        self.sick.stop("fast")
        self.sick.start()
        for agent in (early, late):
            self.wait_up(agent)
