# SPDX-License-Identifier: Apache-2.0
"""Faults of a real HAProxy, beside a second, healthy one: killed, stopped, without its socket,
with all its slots taken."""

import contextlib
import os
import socket
import time

from lab.agent import target
from lab.haproxy import HAProxy
from lab.process import wait_until

from integration.support import (
    PERIOD,
    SICK,
    TIMEOUT,
    WELL,
    Watch,
    WithSite,
    duration,
    failing,
    failures,
    fds_at_rest,
    relaxed,
    series_of,
    wait_fds,
)

LASTS = 1.0  # s: how long a fault is watched once it is seen


class RealFaults(WithSite):
    """lb1 is the healthy one; each test breaks `sick` and leaves it whole."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sick = HAProxy(cls.lab, SICK, cls.lb.balancing).start()
        cls.settings = {
            "interval": duration(PERIOD),
            "timeout": duration(relaxed(TIMEOUT)),
            "host": {"enabled": False},
        }
        cls.watcher = cls.site.start_agent(
            name="watcher",
            config=cls.settings
            | {
                "haproxy": [
                    target(SICK, cls.sick.user_socket),
                    target(WELL, cls.lb.user_socket),
                ]
            },
        )
        cls.wait_sick_is_well(cls.watcher)
        cls.base = fds_at_rest(cls.watcher)

    @staticmethod
    def wait_sick_is_well(watcher, timeout=10.0):
        return watcher.wait_metric(
            lambda m: m.value("haproxy_up", target=SICK) == 1, "sick is up", relaxed(timeout)
        )

    @contextlib.contextmanager
    def fault(self, reason, lasts=LASTS):
        """Within the block HAProxy is broken; behind it must have put it right."""
        known = self.wait_sick_is_well(self.watcher)
        series, began = series_of(known, SICK), time.monotonic()
        before = failures(known, SICK, reason)
        with Watch(self.watcher) as watch:
            yield lambda: self.wait_failing(reason, lasts)
            lasted = time.monotonic() - began
            samples = self.wait_sick_is_well(self.watcher, lasted + TIMEOUT + 2.0)
        watch.check(self)
        for _, one in watch.all():
            self.assertIn(failing(one, SICK), (None, reason))
            self.assertLessEqual(series_of(one, SICK), series, "series were invented")
            up = one.value("haproxy_up", target=SICK)
            self.assertEqual(up, 0 if failing(one, SICK) else 1)
        self.assertGreater(failures(samples, SICK, reason), before)
        self.assertEqual(failures(samples, WELL), 0)
        wait_fds(self.watcher, self.base)

    def wait_failing(self, reason, lasts):
        samples = self.watcher.wait_metric(
            lambda m: failing(m, SICK) is not None,
            f"sick fails ({reason})",
            2 * PERIOD + relaxed(TIMEOUT + 1.0),
            0.05,
        )
        self.assertEqual(failing(samples, SICK), reason, self.watcher.log()[-500:])
        time.sleep(lasts)

    def test_killed_with_its_socket_file_left_behind_is_refused(self):
        with self.fault("refused") as seen:
            self.sick.kill9()
            self.assertTrue(self.sick.user_socket.exists())
            seen()
            self.sick.start()

    def test_without_its_socket_is_refused(self):
        aside = self.sick.user_socket.with_suffix(".aside")
        with self.fault("refused") as seen:
            os.rename(self.sick.user_socket, aside)
            seen()
            self.assertIn("no such socket", self.watcher.log())
            os.rename(aside, self.sick.user_socket)

    def test_a_restart_is_counted_and_no_counter_goes_back_unseen(self):
        before = self.wait_sick_is_well(self.watcher).value("haproxy_reloads_total", target=SICK)
        with self.fault("refused") as seen:
            self.sick.kill9()
            seen()
            self.sick.start()
        after = self.watcher.wait_metric(
            lambda m: (m.value("haproxy_reloads_total", target=SICK) or 0) > before,
            "the restart is counted",
        )
        self.assertEqual(after.value("haproxy_reloads_total", target=SICK), before + 1)

    def stopped(self, prepare=lambda: None):
        with self.fault("hung") as seen:
            prepare()
            self.sick.sigstop()
            seen()
            self.sick.sigcont()

    def test_stopped_is_hung(self):
        self.stopped()

    def test_stopped_after_a_reload_is_hung(self):
        self.sick.reload()
        self.stopped()

    def test_stopped_is_hung_also_when_its_queue_of_connections_is_full(self):
        """Each attempt leaves a connection in the queue of 10. Eight targets of one socket make
        the attempts quickly; a ninth is its TCP socket, whose queue is another."""
        many = [target(f"{SICK}{n}", self.sick.user_socket) for n in range(8)]
        tcp = target("tcp", self.sick.cli_url)
        agent = self.agent(
            [*many, tcp, target(WELL, self.lb.user_socket)],
            interval=self.settings["interval"],
            timeout=self.settings["timeout"],
        )
        base = fds_at_rest(agent)
        self.addCleanup(self.sick.sigcont)
        with Watch(agent) as watch:
            self.sick.sigstop()
            wait_until(self.queue_is_full, relaxed(8), "the queue is full")
            time.sleep(LASTS)
            samples = agent.wait_metric(
                lambda m: failures(m, SICK + "0") >= 4, "four attempts each", relaxed(10)
            )
            self.sick.sigcont()
            for name in [one["name"] for one in many] + ["tcp"]:
                self.assertEqual(failing(samples, name), "hung", name)
                agent.wait_metric(
                    lambda m, name=name: m.value("haproxy_up", target=name) == 1,
                    f"{name} is well",
                    relaxed(12),
                )
        watch.check(self)
        end = agent.metrics()
        for name in [one["name"] for one in many] + ["tcp"]:
            self.assertEqual(failures(end, name), failures(end, name, "hung"), agent.log()[-900:])
        wait_fds(agent, base)

    def queue_is_full(self):
        with socket.socket(socket.AF_UNIX) as one:
            one.setblocking(False)
            try:
                one.connect(str(self.sick.user_socket))
            except BlockingIOError:
                return True
        return False

    def hold_slots(self, stack):
        """Takes all ten places of the stats sockets, as ten shells would that were left open."""
        for _ in range(10):
            held = stack.enter_context(socket.socket(socket.AF_UNIX))
            held.connect(str(self.sick.user_socket))
            held.sendall(b"show")  # no line feed: HAProxy never ends it

    def test_with_all_ten_slots_taken_has_too_many_connections(self):
        with self.fault("too_many_connections", lasts=1.5) as seen:
            with contextlib.ExitStack() as stack:
                self.hold_slots(stack)
                seen()
                log = self.watcher.log()
                self.assertIn("ss -xp", log)
                self.assertIn("stats maxconn", log)
