# SPDX-License-Identifier: Apache-2.0
"""Everything broken at once, for so long that the last good samples go: a dozen faults in one
agent, a healthy real HAProxy among them."""

import contextlib
import time

from lab import fakes
from lab.agent import target
from lab.fakes import Fake
from lab.process import wait_until

from integration.support import (
    PERIOD,
    SANITIZED,
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

FAULTS = {
    "hung": (fakes.hung(), "hung"),
    "stalled": (fakes.hung_mid_reply(), "stalled"),
    "dripping": (fakes.drip(0.05), "stalled"),
    "reset": (fakes.reset_mid_reply(), "reset"),
    "closing": (fakes.closes(), "reset"),
    "garbage": (fakes.garbage(), "protocol"),
    "truncated": (fakes.truncated(0.7), "protocol"),
    "forbidden": (fakes.error_text("Permission denied"), "permission"),
}
GONE = "gone"  # its socket file is removed
REASONS = {name: reason for name, (_, reason) in FAULTS.items()} | {GONE: "refused"}
# Attempts are at most 15 s apart, and samples stay for two such periods and the timeout.
MOST_KEPT = 2 * 15 + TIMEOUT
# A fault that takes its whole timeout is slower than its first periods: samples go at once.
SOON_GONE = ("hung", "stalled", "dripping")


class AllAtOnce(WithSite):
    def setUp(self):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        directory = self.lab.directory("many")
        self.fakes = {
            name: stack.enter_context(Fake(fakes.canned(), directory / f"{name}.sock"))
            for name in REASONS
        }
        self.targets = [target(name, fake.path) for name, fake in self.fakes.items()]

    def break_all(self):
        for name, (behaviour, _) in FAULTS.items():
            self.fakes[name].behaviour = behaviour
        self.fakes[GONE].path.rename(self.fakes[GONE].path.with_suffix(".aside"))

    def mend_all(self):
        for fake in self.fakes.values():
            fake.behaviour = fakes.canned()
        self.fakes[GONE].path.with_suffix(".aside").rename(self.fakes[GONE].path)

    def test_a_dozen_faults_at_once_delay_nobody_and_old_samples_go(self):
        agent = self.agent(
            [*self.targets, target(WELL, self.lb.user_socket)],
            interval=duration(PERIOD),
            timeout=duration(TIMEOUT),
        )
        healthy = agent.wait_metric(
            lambda m: all(m.value("haproxy_up", target=name) == 1 for name in REASONS),
            "all are up",
        )
        base, memory = fds_at_rest(agent), agent.memory()
        with Watch(agent, pause=0.5) as watch:
            self.break_all()
            broken = time.monotonic()
            agent.wait_metric(
                lambda m: all(failing(m, name) for name in REASONS), "all fail", relaxed(3)
            )
            samples = agent.wait_metric(
                lambda m: not any(series_of(m, name) for name in REASONS),
                "the old samples are gone",
                relaxed(MOST_KEPT + 2),
                0.3,
            )
            self.assertEqual({name: failing(samples, name) for name in REASONS}, REASONS)
            self.mend_all()
            agent.wait_metric(
                lambda m: all(m.value("haproxy_up", target=name) == 1 for name in REASONS),
                "all are up again",
                relaxed(17),
            )
        self.check(watch, healthy, broken)
        wait_fds(agent, base)
        if not SANITIZED:  # whose allocator keeps what is freed
            self.assertLess(agent.memory().rss, memory.rss + 8_000_000)

    def check(self, watch, healthy, broken):
        watch.check(self)
        gone_at = {}
        for at, samples in watch.all():
            for name, reason in REASONS.items():
                own = series_of(samples, name)
                self.assertLessEqual(own, series_of(healthy, name), "series were invented")
                self.assertIn(failing(samples, name), (None, reason))
                if failing(samples, name) and not own:
                    gone_at.setdefault(name, at - broken)
                elif failing(samples, name):
                    self.assertNotIn(name, gone_at, "samples that had gone came back")
            self.assertEqual(failures(samples, WELL), 0)
        self.assertEqual(set(gone_at), set(REASONS))
        for name in SOON_GONE:
            self.assertLess(gone_at[name], relaxed(2 * PERIOD + TIMEOUT + 1.5), name)


class Crowd(WithSite):
    def test_two_hundred_hung_targets_delay_nobody(self):
        path = self.lab.directory("crowd") / "stats.sock"
        with Fake(fakes.hung(), path) as fake:
            crowd = [target(f"hung{n}", path, timeout="2s") for n in range(200)]
            agent = self.agent(
                [*crowd, target(WELL, self.lb.user_socket)],
                interval=duration(PERIOD),
                timeout=duration(TIMEOUT),
                ready=False,
            )
            wait_until(lambda: fake.open >= 200, relaxed(5), "all 200 hang")
            agent.wait_metric(lambda m: m.value("haproxy_up", target=WELL) == 1, "well is up")
            with Watch(agent) as watch:
                time.sleep(3)
            watch.check(self, slack=1.0)
