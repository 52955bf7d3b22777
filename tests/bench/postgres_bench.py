# SPDX-License-Identifier: Apache-2.0
"""What watching a PostgreSQL costs lagwatch, the exporter and the server, and that lagwatch never
has more than its one connection."""

import threading
import time

from lab import exposition
from lab.agent import Agent, configuration
from lab.pg_cluster import Cluster
from lab.process import Lab, LabError, wait_until

from .measure import PLAIN_HEADERS, Cpu, get, p50
from .peers import postgres_exporter

SECTION = "PostgreSQL collected, each 100 ms"
MAIN = ("postgres_node", "postgres_replication", "postgres_wal_receiver", "postgres_slots")
TARGETS = 10
SCRAPERS = 4


def backends(server, name):
    rows = server.sql(f"SELECT pid FROM pg_stat_activity WHERE application_name = '{name}'")
    return [int(pid) for (pid,) in rows]


def watching(lab, name, targets, interval, **more):
    config = configuration([], interval=interval, host=False) | {"postgres": targets} | more
    return Agent(lab, config, name=name)


def run(report, scale):
    with Lab() as lab:
        cluster = Cluster(lab, standbys=1)
        cluster.primary.role("mon", "pg_monitor")
        Bench(lab, report, scale, cluster.primary).run()


class Bench:
    def __init__(self, lab, report, scale, server):
        self.report = report
        self.scale = scale
        self.server = server
        interval = f"{scale.pause_ms}ms"
        dsn = server.dsn("mon")
        self.agent = watching(lab, "agent", [{"name": "db1", "dsn": dsn}], interval).start()
        self.idle = watching(lab, "idle", [], "1s").start()
        peer = f"{dsn} application_name=peer sslmode=disable"
        self.exporter = postgres_exporter(lab, peer, report)
        self.samples = {}

    def note(self, name, value):
        self.samples.setdefault(name, []).append(value)

    def median(self, name):
        return p50(self.samples[name])

    def run(self):
        wait_until(lambda: backends(self.server, "lagwatch"), what="lagwatch is connected")
        for _ in range(self.scale.rounds):
            self.collects()
            self.walls()
            if self.exporter:
                self.scrapes()
        self.add_rows()

    def collects(self):
        (backend,) = backends(self.server, "lagwatch")
        with Cpu(self.agent.pid, self.idle.pid, backend) as cpu:
            time.sleep(self.scale.window)
        count = self.scale.window * 1e3 / self.scale.pause_ms
        self.note("collect", (cpu.ms[0] - cpu.ms[1]) / count)
        self.note("collect server", cpu.ms[2] / count)

    def walls(self):
        """How long the main lane takes, from the first question to the last answer."""
        for _ in range(self.scale.scrapes):
            time.sleep(self.scale.pause_ms / 1e3)
            samples = exposition.parse(self.agent.fetch("/metrics").text)
            took = [
                samples.value(
                    "lagwatch_target_scrape_duration_seconds", target="db1", collector=name
                )
                for name in MAIN
            ]
            self.note("wall", max(took) * 1e3)

    def scrapes(self):
        get(self.exporter.url, PLAIN_HEADERS)  # connects, where it has to
        own = backends(self.server, "peer")
        with Cpu(self.exporter.pid, *own) as cpu:
            for _ in range(self.scale.scrapes):
                time.sleep(self.scale.pause_ms / 1e3)
                self.note("exporter wall", get(self.exporter.url)[0])
        self.note("exporter", cpu.ms[0] / self.scale.scrapes)
        self.note("exporter server", sum(cpu.ms[1:]) / self.scale.scrapes)

    def peers(self, name):
        return {"postgres_exporter": self.median(name)} if self.exporter else {}

    def add_rows(self):
        rows = (
            ("wall time of a collect, p50", "wall", 0.3, "exporter wall"),
            ("lagwatch's CPU a collect", "collect", 0.05, "exporter"),
            ("the server's CPU a collect", "collect server", 0.2, "exporter server"),
        )
        for title, name, bound, peer in rows:
            best = min(self.samples[name])
            self.report.add(
                SECTION, title, self.median(name), "ms", bound, self.peers(peer), f"best {best:.3g}"
            )


def run_connections(report, scale):
    with Lab() as lab:
        cluster = Cluster(lab, standbys=0)
        server = cluster.primary
        server.role("mon", "pg_monitor")
        targets = [{"name": f"db{n}", "dsn": server.dsn("mon")} for n in range(TARGETS)]
        agent = watching(lab, "agent", targets, f"{scale.pause_ms}ms").start()
        most = Connections(server, agent, scale).run()
        report.add(
            "PostgreSQL, connections",
            f"most at once, {TARGETS} targets, {scale.collects:,} collects, {scale.restarts} restarts",
            most,
            "",
            TARGETS,
            {},
            "",
        )


class Connections:
    def __init__(self, server, agent, scale):
        self.server = server
        self.agent = agent
        self.scale = scale
        self.stop = threading.Event()

    def scrape(self):
        while not self.stop.is_set():
            try:
                get(f"{self.agent.url}/metrics")
            except (OSError, LabError):
                pass  # counted by nobody: what matters here is the server's side

    def run(self):
        """The most connections seen at once."""
        threads = [threading.Thread(target=self.scrape, daemon=True) for _ in range(SCRAPERS)]
        for thread in threads:
            thread.start()
        seconds = self.scale.collects * self.scale.pause_ms / 1e3 / TARGETS
        between = seconds / (self.scale.restarts + 1)
        most = 0
        for turn in range(self.scale.restarts + 1):
            until = time.monotonic() + between
            while time.monotonic() < until:
                most = max(most, len(backends(self.server, "lagwatch")))
                time.sleep(0.02)
            if turn < self.scale.restarts:
                self.server.restart()
        self.stop.set()
        for thread in threads:
            thread.join(30)
        return most
