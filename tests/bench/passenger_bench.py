# SPDX-License-Identifier: Apache-2.0
"""What watching a Passenger full of slow requests costs lagwatch, passenger-status, and the other
applications of the same core. Times in milliseconds."""

import os
import re
import shutil
import socket
import subprocess
import threading
import time

from lab import exposition
from lab.agent import Agent, configuration
from lab.fetch import fetch
from lab.passenger import USER, App, Limits, PassengerApache
from lab.process import Lab, LabError, environment, wait_until

from .measure import PLAIN_HEADERS, Cpu, get, p50, p99

SECTION = "Passenger with 30 slow requests, collected each 100 ms"
QUEUED_SECTION = "Passenger with 100 requests queued, latency of another application on its core"
POOL = 2
IN_FLIGHT = 30
QUEUED = 100
HELD = 300  # seconds a request is slow, the application's limit
RATE = 30  # requests a second to the other application
WORSE = 1.1  # times the p99 that nobody's watching has
POLLS = 2  # a second, by the naive reader
WALL_MS = 1.0
CPU_MS = 0.1


def run(report, scale):
    with Lab() as lab:
        Cost(lab, report, scale).run()
    with Lab() as lab:
        Queued(lab, report, scale).run()


class Held:
    """`count` slow requests, each on a connection that stays open; POOL of them run. close() them
    before Apache ends."""

    def __init__(self, web, count):
        self._connections = []
        for _ in range(count):
            connection = socket.create_connection(web.address("shop"), 10)
            self._connections.append(connection)
            connection.sendall(f"GET /slow?seconds={HELD} HTTP/1.1\r\nHost: shop\r\n\r\n".encode())
        wait_until(lambda: waiting(web) == count - POOL, 30, f"{count - POOL} requests wait")
        web.lab.on_close(self.close)

    def close(self):
        for one in self._connections:
            one.close()


def waiting(web):
    """Requests in the longest queue of an application group."""
    text = web.ask("/pool.xml", web.account).text
    return max(map(int, re.findall(r"<get_wait_list_size>(\d+)", text)), default=0)


def watching(lab, name, web, interval, user="unprivileged", account=True):
    """An agent on `web`, stopped; without the account it sees what `user` may."""
    entry = {"name": "web", "registry": str(web.registry)}
    if account:
        secret = lab.dir / "passenger.password"
        secret.write_text(web.account[1], encoding="ascii")
        secret.chmod(0o644)
        entry |= {"username": web.account[0], "password_file": str(secret)}
    config = configuration([], interval=interval, host=False) | {"passenger": [entry]}
    return Agent(lab, config, name=name, user=user)


class Cost:
    """Of one collect and of one passenger-status."""

    def __init__(self, lab, report, scale):
        self.report = report
        self.scale = scale
        self.web = PassengerApache(
            lab, "web", limits=Limits(pool=POOL, queue=QUEUED, workers=60), account=True
        ).start()
        Held(self.web, IN_FLIGHT)
        interval = f"{scale.pause_ms}ms"
        # Who runs an application may read the pool and not the requests: the least there is to do.
        self.agents = {"all": watching(lab, "all", self.web, interval)}
        if self.web.user:
            self.agents["pool"] = watching(lab, "pool", self.web, interval, USER, account=False)
        else:
            report.skip("passenger: the pool alone", "needs root: the core's user may read all")
        idle = configuration([], interval="1s", host=False)
        self.idle = Agent(lab, idle, name="idle").start()
        self.status = shutil.which("passenger-status", path=environment()["PATH"])
        if not self.status:
            report.skip("peer passenger-status", "passenger-status is not installed")
        self.samples = {}

    def note(self, name, value):
        self.samples.setdefault(name, []).append(value)

    def median(self, name):
        return p50(self.samples[name])

    def run(self):
        for _ in range(self.scale.rounds):
            for name, agent in self.agents.items():
                agent.start()
                agent.wait_metric(in_queue, f"{name}: the queue is seen")
                self.collects(name, agent)
                self.walls(name, agent)
                agent.stop()
            if self.status:
                self.asks_status()
        self.add_rows()

    def collects(self, name, agent):
        with Cpu(agent.pid, self.idle.pid) as cpu:
            time.sleep(self.scale.window)
        agent.child.require_alive()
        count = self.scale.window * 1e3 / self.scale.pause_ms
        self.note(f"{name} cpu", (cpu.ms[0] - cpu.ms[1]) / count)

    def walls(self, name, agent):
        """How long the pool takes, from looking for instances to the last answer."""
        for _ in range(self.scale.scrapes):
            time.sleep(self.scale.pause_ms / 1e3)
            samples = exposition.parse(agent.fetch("/metrics").text)
            self.note(f"{name} wall", duration(samples, "passenger_pool") * 1e3)
            if name == "all":
                self.note("requests wall", duration(samples, "passenger_requests") * 1e3)

    def asks_status(self):
        """passenger-status, with the programs that it starts."""
        registry = {"PASSENGER_INSTANCE_REGISTRY_DIR": str(self.web.registry)}
        began = time.perf_counter()
        child = subprocess.Popen(
            [self.status, "--show=xml"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # tips
            env=environment(registry),
        )
        text = child.stdout.read()
        child.stdout.close()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0 or b"<get_wait_list_size>" not in text:
            raise LabError(f"passenger-status ended with {child.returncode}: {text[:200]!r}")
        self.note("status wall", (time.perf_counter() - began) * 1e3)
        self.note("status cpu", (usage.ru_utime + usage.ru_stime) * 1e3)

    def add_rows(self):
        least = "pool" if "pool" in self.agents else "all"
        rows = [
            ("wall time of passenger_pool, p50", f"{least} wall", WALL_MS, "wall"),
            ("lagwatch's CPU a collect, the pool alone", "pool cpu", CPU_MS, "cpu"),
            ("wall time of passenger_pool beside the other lanes, p50", "all wall", None, "wall"),
            ("lagwatch's CPU a collect, requests every third", "all cpu", None, "cpu"),
            ("wall time of passenger_requests, p50", "requests wall", None, "wall"),
        ]
        for title, name, bound, peer in rows:
            if name not in self.samples:
                continue
            peers = {"passenger-status --show=xml": self.median(f"status {peer}")}
            note = f"best {min(self.samples[name]):.3g}"
            self.report.add(
                SECTION, title, self.median(name), "ms", bound, peers if self.status else {}, note
            )


def in_queue(samples):
    return samples.total("passenger_app_group_queue", target="web") == IN_FLIGHT - POOL


def all_queued(samples):
    """What passenger_requests tells: those of the pool are known before."""
    return samples.total("passenger_requests_in_flight", target="web", state="queued") == QUEUED


def duration(samples, collector):
    return samples.value(
        "lagwatch_target_scrape_duration_seconds", target="web", collector=collector
    )


class Queued:
    """Another application on a core with a long queue: alone, beside lagwatch at its default
    interval, and beside one who polls server.json."""

    def __init__(self, lab, report, scale):
        self.report = report
        self.scale = scale
        limits = Limits(pool=POOL + 1, queue=QUEUED + 50, workers=150)
        self.web = PassengerApache(
            lab,
            "web",
            {"shop": App(), "other": App()},
            limits=limits,
            account=True,
            extra=(f"PassengerMaxInstancesPerApp {POOL}",),
        ).start()
        self.url = self.web.url("other") + "/"
        wait_until(
            lambda: fetch(self.url, timeout=30).status == 200, 30, "the other application answers"
        )
        Held(self.web, POOL + QUEUED)
        self.agent = watching(lab, "agent", self.web, "5s")
        self.windows = {"nobody": [], "lagwatch": [], "poller": []}  # latencies of each
        self.read = 0  # windows in which lagwatch read the requests

    def run(self):
        for _ in range(self.scale.queued_rounds):
            self.visit("nobody", self.scale.queued_seconds)
            self.beside_lagwatch()
            poller = Poller(self.web)
            self.visit("poller", self.scale.queued_seconds / 3)
            poller.stop()
        self.add_rows()

    def visit(self, name, seconds):
        """Requests by the clock; what comes late because of the one before is slow too."""
        latencies = []
        self.windows[name].append(latencies)
        began = time.perf_counter()
        for number in range(int(seconds * RATE)):
            due = began + number / RATE
            time.sleep(max(0.0, due - time.perf_counter()))
            get(self.url, PLAIN_HEADERS)
            latencies.append((time.perf_counter() - due) * 1e3)

    def beside_lagwatch(self):
        """From when it knows the queue: what it asks but once is over then."""
        self.agent.start()
        self.agent.wait_metric(all_queued, "all that wait are seen", 30)
        began = time.time()
        self.visit("lagwatch", self.scale.queued_seconds)
        last = self.agent.metrics().value(
            "lagwatch_target_last_success_timestamp_seconds",
            target="web",
            collector="passenger_requests",
        )
        self.read += last > began
        self.agent.stop()

    def add_rows(self):
        for title, function, over in (("p99", p99, p50), ("p50", p50, p50), ("slowest", max, max)):
            each = {
                name: [function(one) for one in windows] for name, windows in self.windows.items()
            }
            found = {name: over(values) for name, values in each.items()}
            own = found.pop("lagwatch")
            note = "windows " + ", ".join(f"{one:.3g}" for one in sorted(each["lagwatch"]))
            if title == "p99":
                note += "; nobody " + ", ".join(f"{one:.3g}" for one in sorted(each["nobody"]))
                note += f"; server.json read in {self.read} of {self.scale.queued_rounds}"
            self.report.add(
                QUEUED_SECTION,
                f"{title} while lagwatch asks every 5 s",
                own,
                "ms",
                found["nobody"] * WORSE if title == "p99" else None,
                {"nobody asks": found["nobody"], f"server.json {POLLS}/s": found["poller"]},
                note,
            )


class Poller:
    """Reads server.json by the clock in a thread, until stopped."""

    def __init__(self, web):
        self._web = web
        self._stop = threading.Event()
        self._failure = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.wait(1 / POLLS):
            try:
                reply = self._web.ask("/server.json", self._web.account)
            except OSError as error:
                self._failure = str(error)
                return
            if reply.status != 200:
                self._failure = f"status {reply.status}"
                return

    def stop(self):
        self._stop.set()
        self._thread.join(30)
        if self._failure:
            raise LabError(f"server.json: {self._failure}")
