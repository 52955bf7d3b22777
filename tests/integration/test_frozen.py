# SPDX-License-Identifier: Apache-2.0
"""lagwatch itself stopped for a while, as a virtual machine is when it moves or its host swaps:
what did not answer meanwhile is not held against the targets."""

import time

from lab import fakes
from lab.agent import target
from lab.fakes import Fake
from lab.process import wait_until

from integration.support import WELL, WithSite, failures, relaxed

INTERVAL = 0.5
FROZEN = 3.0  # s: more than two of lagwatch's own periods (of at least 1 s), longer than TIMEOUT
TIMEOUT = 1.5
ANSWER_AFTER = 0.7


def slow(session):
    """Answers rightly, but so slowly that an exchange is nearly always under way."""
    command = session.command()
    if not session.hang(ANSWER_AFTER):
        session.send(fakes.reply_to(command))


def slow_page(session):
    session.command()
    if not session.hang(ANSWER_AFTER):
        body = fakes.stat().encode()
        head = f"HTTP/1.0 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
        session.send(head.encode() + body)


class Frozen(WithSite):
    def test_a_stopped_lagwatch_holds_nothing_against_its_targets(self):
        unix = self.enterContext(Fake(slow, self.lab.directory("slow") / "stats.sock"))
        tcp = self.enterContext(Fake(slow))
        page = self.enterContext(Fake(slow_page))
        names = [WELL, "unix", "tcp", "page", "stats"]
        agent = self.agent(
            [
                target(WELL, self.lb.user_socket),
                target("unix", unix.path),
                target("tcp", tcp.address),
                target("page", page.address.replace("tcp", "http", 1) + "/;csv"),
                target("stats", self.lb.stats_url),
            ],
            interval=f"{round(INTERVAL * 1000)}ms",
            timeout=f"{round(relaxed(TIMEOUT) * 1000)}ms",
            host=True,
        )
        agent.wait_metric(
            lambda m: all(m.value("haproxy_up", target=name) == 1 for name in names), "all are up"
        )
        for _ in range(3):
            wait_until(
                lambda: unix.open and tcp.open and page.open, 5, "three exchanges are under way"
            )
            agent.child.signal(19)
            time.sleep(relaxed(FROZEN))
            agent.child.signal(18)
            began = time.monotonic()
            for name in names:
                samples = agent.wait_metric(
                    lambda m, name=name: (
                        m.value("lagwatch_target_age_seconds", target=name) or 9
                    )
                    < relaxed(ANSWER_AFTER + INTERVAL + 0.5),
                    f"{name} is asked again",
                    relaxed(5),
                    0.05,
                )
            self.assertLess(time.monotonic() - began, relaxed(3.0))
            for name in [*names, "host"]:
                self.assertEqual(failures(samples, name), 0, agent.log()[-900:])
                self.assertEqual(samples.value("lagwatch_target_up", target=name), 1)
        self.assertNotIn("target failed", agent.log())
