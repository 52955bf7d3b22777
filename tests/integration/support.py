# SPDX-License-Identifier: Apache-2.0
"""What the integration tests share: the lagwatch command line as the unprivileged user, a watch on
a running agent while something is broken, and the bounds of time.

Bounds are for a machine with two cores that does other things too. With LAGWATCH_SANITIZED=1 they
are SANITIZED_FACTOR times as long: AddressSanitizer makes lagwatch two to three times slower."""

import contextlib
import os
import pwd
import re
import socket
import threading
import time
import unittest
from dataclasses import dataclass

from lab import agent as agents
from lab import exposition
from lab.agent import Agent, configuration, target
from lab.process import Lab, Unavailable, unprivileged_user, wait_until
from lab.site import Site

SANITIZED = os.environ.get("LAGWATCH_SANITIZED") == "1"
SANITIZED_FACTOR = 3
QUICK = 0.75  # s: an answer "at once", this process' own delays included
PERIOD = 0.2  # s: interval of agents that watch a fault
TIMEOUT = 0.3
SICK = "sick"
WELL = "well"


def relaxed(seconds):
    """A bound of time, longer under sanitizers."""
    return seconds * SANITIZED_FACTOR if SANITIZED else seconds


def duration(seconds):
    """Seconds as the configuration writes them."""
    return f"{round(seconds * 1000)}ms"


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str
    seconds: float


def cli(lab, *arguments, user="unprivileged", groups=None, timeout=20.0):
    """Runs `lagwatch ARGUMENTS` as the unprivileged user (None: as ourselves). groups: with these
    supplementary group ids, as after usermod and a restart."""
    user = unprivileged_user() if user == "unprivileged" else user
    binary = agents.reachable_binary(lab, user)
    argv = [binary, *arguments]
    started = time.monotonic()
    if groups is not None:
        identity = [f"--reuid={user}", f"--regid={gid_of(user)}", f"--groups={groups}"]
        argv, user = ["setpriv", *identity, *argv], None
    child = lab.spawn("cli", argv, user=user)
    code = child.wait(relaxed(timeout))
    seconds = time.monotonic() - started
    child.kill()
    return Done(code, child.out.read_text(), child.log_text(), seconds)


def gid_of(user):
    return pwd.getpwnam(user).pw_gid


def config_file(lab, config, name="cli.yml"):
    """A configuration (dict or text) as a file that everybody may read. Its path."""
    path = lab.dir / name
    text = config if isinstance(config, str) else agents.to_yaml(config) + "\n"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)
    return path


def need_root():
    if os.geteuid() != 0:
        raise unittest.SkipTest("needs root: other users and their rights are part of it")


def check_sanitizers(lab):
    """Raises when a sanitizer wrote into the log of anything the lab ran."""
    for log in sorted((lab.dir / "log").glob("*.err")):
        text = log.read_text(encoding="utf-8", errors="replace")
        found = re.search(r"runtime error: |ERROR: \w+Sanitizer|WARNING: ThreadSanitizer", text)
        if found:
            raise AssertionError(f"{log.name}: {text[found.start() : found.start() + 3000]}")


class WithLab(unittest.TestCase):
    """A Lab for the whole class, closed behind it."""

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab()
        cls.addClassCleanup(cls.lab.close)
        cls.addClassCleanup(check_sanitizers, cls.lab)

    def agent(self, haproxy=(), name="agent", ready=True, flags=(), **config):
        """A lagwatch that ends with the test."""
        config.setdefault("host", False)
        one = Agent(self.lab, configuration(haproxy, **config), name=name, flags=flags)
        one.start(ready, timeout=relaxed(10))
        self.addCleanup(one.child.stop)
        return one


class WithSite(WithLab):
    """A Site for the whole class. `layout` and `balancing` say which; left out by name when this
    machine cannot have it."""

    layout = "local"
    balancing = {"inter": "200ms"}

    @classmethod
    def setUpClass(cls):
        try:
            cls.site = cls.enterClassContext(Site(cls.layout, **cls.balancing))
        except Unavailable as error:
            raise unittest.SkipTest(str(error)) from None
        cls.lab = cls.site.lab
        cls.addClassCleanup(check_sanitizers, cls.lab)
        cls.lb = cls.site.lb
        cls.site.wait_up()


def fds_at_rest(agent, tries=20):
    """Open files of the agent when no exchange is under way: the least of some looks."""
    least = None
    for _ in range(tries):
        count = agent.fds()
        least = count if least is None else min(least, count)
        time.sleep(0.01)
    return least


def wait_fds(agent, base, timeout=5.0):
    """Waits until the agent has no more files open than `base`."""
    wait_until(
        lambda: fds_at_rest(agent, 5) <= base,
        relaxed(timeout),
        f"{agent.name} is back at {base} open files (now {agent.fds()})",
    )


def failing(samples, name):
    """The reason why target `name` fails, or None."""
    found = [
        labels["reason"]
        for labels, value in samples.select("lagwatch_target_failing", target=name)
        if value == 1
    ]
    if len(found) > 1:
        raise AssertionError(f"{name} fails for {found}")
    return found[0] if found else None


def failures(samples, name, reason=None):
    """How many exchanges with the target failed so far."""
    labels = {"target": name} | ({"reason": reason} if reason else {})
    return samples.total("lagwatch_target_failures_total", **labels) or 0


def series_of(samples, name):
    """The series that tell of the target itself (not of lagwatch's dealings with it, and not
    haproxy_up)."""
    return {
        key
        for key in samples
        if ("target", name) in key[1]
        and not key[0].startswith("lagwatch_")
        and key[0] != "haproxy_up"
    }


class Watch:
    """Scrapes an agent over and over in a thread, as Prometheus would, and keeps every answer.

    with Watch(agent) as watch: ...; then watch.slowest, watch.oldest("well"), watch.all()."""

    def __init__(self, agent, pause=0.1):
        self.agent = agent
        self.pause = pause
        self.slowest = 0.0
        self.bodies = []  # (instant, text)
        self.error = None
        self._parsed = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(30)

    def _run(self):
        while not self._stop.is_set():
            try:
                response = self.agent.fetch("/metrics", timeout=10)
            except OSError as error:
                self.error = self.error or error
                continue
            self.slowest = max(self.slowest, response.seconds)
            self.bodies.append((time.monotonic(), response.text))
            self._stop.wait(self.pause)

    def ages(self, name):
        """Every age of the target's samples that was seen; None where it had none."""
        pattern = re.compile(
            rf'^lagwatch_target_age_seconds\{{[^}}]*target="{name}"[^}}]*\}} (\S+)$', re.MULTILINE
        )
        found = [pattern.search(text) for _, text in self.bodies]
        return [float(one[1]) if one else None for one in found]

    def all(self):
        """Every answer, read strictly: [(instant, Samples)]."""
        if self._parsed is None or len(self._parsed) != len(self.bodies):
            self._parsed = [(at, exposition.parse(text)) for at, text in self.bodies]
        return self._parsed

    def check(self, test, well=WELL, period=PERIOD, slack=0.6):
        """Nobody else was kept waiting: neither this scraper nor the healthy target."""
        test.assertIsNone(self.error, "a scrape failed")
        test.assertGreater(len(self.bodies), 0)
        test.assertLess(self.slowest, relaxed(QUICK), "the slowest /metrics")
        if well:
            ages = self.ages(well)
            test.assertNotIn(None, ages, f"{well} had no samples for a while")
            bound = 2 * period + relaxed(slack)
            test.assertLess(max(ages), bound, f"{well} was delayed")


@contextlib.contextmanager
def silent_connections(address, count, say=b""):
    """`count` TCP connections that send `say` and nothing more."""
    held = []
    try:
        for _ in range(count):
            connection = socket.create_connection(address, 5)
            held.append(connection)
            if say:
                connection.sendall(say)
        yield held
    finally:
        for connection in held:
            connection.close()

