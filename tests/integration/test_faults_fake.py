# SPDX-License-Identifier: Apache-2.0
"""Faults that a real HAProxy cannot be told to have, one after the other, beside a healthy real
HAProxy as second target: the reason, nothing else delayed, nothing invented, nothing left open,
back again."""

import time

from lab import fakes
from lab.agent import target
from lab.fakes import Fake
from lab.process import wait_until

from integration.support import (
    PERIOD,
    SANITIZED,
    SICK,
    TIMEOUT,
    WELL,
    Watch,
    WithLab,
    WithSite,
    duration,
    failing,
    failures,
    fds_at_rest,
    relaxed,
    series_of,
    wait_fds,
)

LASTS = 0.8  # s: how long a fault is watched once it is seen



class Faults(WithSite):
    """One agent, its target `sick` a fake that changes its behaviour, its target `well` real."""

    timeout = TIMEOUT

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.path = cls.lab.directory("sick") / "stats.sock"
        cls.fake = cls.enterClassContext(Fake(fakes.canned(), cls.path))
        cls.watcher = cls.site.start_agent(
            name="watcher",
            config={
                "interval": duration(PERIOD),
                "timeout": duration(relaxed(TIMEOUT)),
                "haproxy": [
                    target(SICK, cls.path, timeout=duration(relaxed(cls.timeout))),
                    target(WELL, cls.lb.user_socket),
                ],
                "host": {"enabled": False},
            },
        )
        cls.base = fds_at_rest(cls.watcher)

    def wait_well(self, timeout=10.0):
        return self.watcher.wait_metric(
            lambda m: m.value("haproxy_up", target=SICK) == 1 and failing(m, SICK) is None,
            "sick is well",
            relaxed(timeout),
        )

    def check(self, behaviour, reason, within=None):
        """The whole course of one fault. The Watch that saw it."""
        healthy = self.wait_well()
        known = series_of(healthy, SICK)
        before = failures(healthy, SICK, reason)
        began = time.monotonic()
        with Watch(self.watcher) as watch:
            self.fake.behaviour = behaviour
            try:
                self.wait_failing(reason, relaxed(within or 2 * PERIOD + self.timeout + 1.0))
                time.sleep(LASTS)
            finally:
                self.fake.behaviour = fakes.canned()
            lasted = time.monotonic() - began
            # The wait between attempts doubles, so it is never longer than the fault was.
            samples = self.wait_well(lasted + self.timeout + 2.0)
        self.check_watch(watch, reason, known)
        self.assertGreater(failures(samples, SICK, reason), before)
        self.assertEqual(failures(samples, WELL), 0)
        self.assertEqual(series_of(samples, SICK), known)
        wait_fds(self.watcher, self.base)
        return watch

    def wait_failing(self, reason, timeout):
        samples = self.watcher.wait_metric(
            lambda m: failing(m, SICK) is not None, f"sick fails ({reason})", timeout, 0.05
        )
        self.assertEqual(failing(samples, SICK), reason, self.watcher.log()[-500:])

    def check_watch(self, watch, reason, known):
        watch.check(self)
        seen = set()
        for _, samples in watch.all():
            up, why = samples.value("haproxy_up", target=SICK), failing(samples, SICK)
            self.assertEqual(up, 1 if why is None else 0)
            self.assertEqual(samples.value("lagwatch_target_up", target=SICK), up)
            self.assertLessEqual(series_of(samples, SICK), known, "series were invented")
            seen.add(why)
        self.assertLessEqual(seen, {None, reason})
        self.assertIn(reason, seen)


class QuickFaults(Faults):
    def test_accepted_and_never_answered_is_hung(self):
        self.check(fakes.hung(), "hung")

    def test_a_reply_that_stops_in_the_middle_is_stalled(self):
        self.check(fakes.hung_mid_reply(), "stalled")

    def test_a_byte_a_second_is_stalled(self):
        self.check(fakes.drip(1.0), "stalled")

    def test_many_slow_bytes_do_not_prolong_the_deadline(self):
        self.check(fakes.drip(0.02), "stalled")

    def test_a_reset_in_the_middle_is_reset(self):
        self.check(fakes.reset_mid_reply(), "reset")

    def test_closed_without_a_byte_is_reset(self):
        self.check(fakes.closes(), "reset")

    def test_closed_before_the_question_is_reset(self):
        self.check(fakes.closes_at_once(), "reset")

    def test_garbage_is_a_protocol_error(self):
        self.check(fakes.garbage(), "protocol")

    def test_truncated_csv_is_a_protocol_error(self):
        self.check(fakes.truncated(0.7), "protocol")

    def test_csv_that_ends_with_a_row_but_no_empty_line_is_a_protocol_error(self):
        whole = fakes.reply_to("show info;show stat")
        self.check(fakes.raw(whole[: whole[:-2].rindex(b"\n") + 1]), "protocol")

    def test_info_alone_is_a_protocol_error(self):
        self.check(fakes.raw(fakes.reply_to("show info")), "protocol")

    def test_an_answer_of_permission_denied_is_permission(self):
        self.check(fakes.error_text("Permission denied"), "permission")

    def test_an_unknown_command_is_a_protocol_error(self):
        self.check(fakes.error_text("Unknown command."), "protocol")

    def test_null_and_duplicate_columns_work(self):
        self.fake.behaviour = fakes.odd_columns()
        self.addCleanup(setattr, self.fake, "behaviour", fakes.canned())
        healthy = self.wait_well()
        known, seen = series_of(healthy, SICK), self.fake.seen
        wait_until(lambda: self.fake.seen >= seen + 3, relaxed(5), "three more collects")
        samples = self.watcher.metrics()
        self.assertEqual(samples.value("haproxy_up", target=SICK), 1)
        self.assertEqual(series_of(samples, SICK), known)
        self.assertEqual(failures(samples, SICK), failures(healthy, SICK))
        self.assertEqual(samples.value("haproxy_stat_rows_rejected_total", target=SICK), 0)


class LargeFaults(Faults):
    """Replies that are too large come at their own pace: the deadline is longer here."""

    timeout = 8.0

    def check_memory(self, behaviour):
        self.wait_well()
        before = self.watcher.memory()
        self.check(behaviour, "too_large", within=12)
        if SANITIZED:
            return  # what is freed stays in the sanitizer's quarantine
        bound = before.rss + 4_000_000
        wait_until(
            lambda: self.watcher.memory().rss < bound,
            5,
            f"memory is given back: {before.rss} before, {self.watcher.memory().rss} now",
        )

    def test_a_reply_of_100_mb_is_too_large_and_its_memory_is_given_back(self):
        self.check_memory(fakes.big(100_000_000))
        longest = max(one.sent for one in self.fake.connections)
        self.assertLess(longest, 20_000_000, "the reply was read on")

    def test_an_endless_reply_is_too_large_and_its_memory_is_given_back(self):
        self.check_memory(fakes.endless())


class WithoutScrapes(WithLab):
    def test_a_failing_target_delays_nobody_while_nobody_scrapes(self):
        """Scrapes wake lagwatch's loop, and so hide what it would oversleep."""
        directory = self.lab.directory("two")
        with (
            Fake(fakes.closes(), directory / "sick.sock") as sick,
            Fake(fakes.canned(), directory / "well.sock") as well,
        ):
            self.agent(
                [target(SICK, sick.path), target(WELL, well.path)],
                interval=duration(PERIOD),
                timeout=duration(TIMEOUT),
                ready=False,
            )
            time.sleep(3.0)
            opened = [one.opened for one in well.connections]
            longest = max(b - a for a, b in zip(opened, opened[1:]))
            self.assertLess(longest, 2 * PERIOD + relaxed(0.6))
            self.assertGreater(opened[-1], time.monotonic() - 2 * PERIOD - relaxed(0.6))
            # At 0, 0.2, 0.4, 0.8, 1.6 s.
            self.assertGreaterEqual(sick.seen, 4)


class NeverAccepted(WithSite):
    def test_a_socket_whose_process_does_not_accept_has_too_many_connections(self):
        path = self.lab.directory("full") / "stats.sock"
        with Fake(fakes.hung(), path, accepts=False):
            agent = self.agent(
                [target(SICK, path), target(WELL, self.lb.user_socket)],
                interval=duration(PERIOD),
                timeout=duration(TIMEOUT),
            )
            base = fds_at_rest(agent)
            with Watch(agent) as watch:
                time.sleep(1.5)
            watch.check(self)
            reasons = {failing(samples, SICK) for _, samples in watch.all()}
            self.assertEqual(reasons, {"too_many_connections"})
            wait_fds(agent, base)
