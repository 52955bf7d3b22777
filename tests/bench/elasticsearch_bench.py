# SPDX-License-Identifier: Apache-2.0
"""What watching an Elasticsearch of 3, 50 and 200 nodes costs lagwatch and the exporter. Times in
milliseconds."""

import time

from lab.agent import Agent, configuration
from lab.process import Lab, LabError, wait_until

from .es_stub import Stub
from .measure import Cpu, get, p50, status_bytes
from .peers import elasticsearch_exporter

SECTION = "Elasticsearch 7.17 collected, every 200 ms, CPU"
MEMORY = "Elasticsearch 7.17 collected, memory"
INTERVAL = 0.2  # seconds
BOUNDS = {3: 0.5, 50: 5.0, 200: 20.0}
GROWTH_MB = 8.0
COLLECTS = 9  # in a round
SERVES = 2  # in a round
WARM = 2  # of the detail lane's rounds, before anything is counted


def run(report, scale):
    for nodes in BOUNDS:
        stub = Stub(nodes)
        try:
            with Lab() as lab:
                Bench(lab, report, scale, stub, nodes).run()
        finally:
            stub.close()


class Bench:
    """One size of cluster. The stub tells when lagwatch collects, and what."""

    def __init__(self, lab, report, scale, stub, nodes):
        self.report = report
        self.scale = scale
        self.stub = stub
        self.nodes = nodes
        self.agent = self._agent(lab, "agent", [{"name": "search", "url": stub.url}])
        self.idle = self._agent(lab, "idle", [])
        self.exporter = elasticsearch_exporter(lab, stub.url, report)
        self.samples = {}

    @staticmethod
    def _agent(lab, name, targets):
        config = configuration([], interval=f"{INTERVAL * 1e3:.0f}ms", host=False)
        return Agent(lab, config | {"elasticsearch": targets}, name=name).start()

    def note(self, name, value):
        self.samples.setdefault(name, []).append(value)

    def median(self, name):
        if name not in self.samples:
            raise LabError(f"{self.nodes} nodes: no {name} was measured")
        return p50(self.samples[name])

    def run(self):
        wait_until(lambda: self.stub.asked()["detail"] >= 2 * WARM, 30, "the detail lane's rounds")
        self.check()
        for _ in range(self.scale.rounds):
            self.collects()
            self.serves()
            if self.exporter:
                self.scrapes()
        self.add_rows()

    def check(self):
        samples = self.agent.metrics(timeout=20)
        for name in (
            "elasticsearch_cluster_health_number_of_nodes",
            "elasticsearch_nodes_expected",
        ):
            if samples.value(name, target="search") != self.nodes:
                raise LabError(f"{name} is {samples.value(name, target='search')}")
        found = len(samples.select("elasticsearch_jvm_uptime_seconds"))
        if found != self.nodes:
            raise LabError(f"{found} of {self.nodes} nodes are shown")

    def middle(self):
        """Waits for the middle between two collects."""
        before = self.stub.asked()["main"]
        wait_until(
            lambda: self.stub.asked()["main"] > before, what="lagwatch collects", interval=0.002
        )
        time.sleep(INTERVAL / 2)

    def collects(self):
        """The main lane's, and apart from them those that other lanes add to."""
        self.middle()
        for _ in range(COLLECTS):
            before = self.stub.asked()
            with Cpu(self.agent.pid, self.idle.pid) as cpu:
                self.middle()
            asked = self.stub.asked() - before
            self.agent.child.require_alive()
            if asked["main"] != 1:
                continue
            more = "detail" if asked["detail"] else "other" if asked["other"] else None
            took = cpu.ms[0] - cpu.ms[1]
            self.note(f"collect and {more}" if more else "collect", took)

    def serves(self):
        """/metrics between two collects, from what is known."""
        for _ in range(SERVES):
            get(f"{self.idle.url}/metrics")
            self.middle()
            with Cpu(self.agent.pid) as cpu:
                self.note("served bytes", get(f"{self.agent.url}/metrics")[1])
            self.note("serve", cpu.ms[0])

    def scrapes(self):
        for _ in range(SERVES):
            time.sleep(INTERVAL)
            with Cpu(self.exporter.pid) as cpu:
                get(self.exporter.url)
            self.note("exporter", cpu.ms[0])

    def peers(self):
        return {"elasticsearch_exporter": self.median("exporter")} if self.exporter else {}

    def add_rows(self):
        nodes = f"{self.nodes} nodes"
        collect = self.median("collect")
        kilobytes = self.stub.size("main") / 1e3
        self.report.add(
            SECTION,
            f"collect, {nodes}",
            collect,
            "ms",
            BOUNDS[self.nodes],
            self.peers(),
            f"best {min(self.samples['collect']):.3g} of {len(self.samples['collect'])}; "
            f"{kilobytes:.0f} kB{self.detail(collect)}",
        )
        self.report.add(
            SECTION,
            f"collect and a gzipped /metrics, {nodes}",
            collect + self.median("serve"),
            "ms",
            None,
            self.peers(),
            f"{self.median('served bytes') / 1e3:.0f} kB packed",
        )
        self.add_memory(nodes)

    def detail(self, collect):
        """What the detail lane takes where it falls together with a collect: every sixth of them,
        or up to three times as seldom where it is dear."""
        if "collect and detail" not in self.samples:
            return ""
        return f"; the detail lane {self.median('collect and detail') - collect:.3g} more"

    def add_memory(self, nodes):
        rss, peak = status_bytes(self.agent.pid, "VmRSS", "VmHWM")
        (idle,) = status_bytes(self.idle.pid, "VmRSS")
        peers = {}
        if self.exporter:
            (theirs,) = status_bytes(self.exporter.pid, "VmRSS")
            peers = {"elasticsearch_exporter": theirs}
        self.report.add(
            MEMORY,
            f"RSS beyond that without a target, {nodes}",
            rss - idle,
            "MB",
            GROWTH_MB,
            note=f"without {idle:.1f}",
        )
        self.report.add(MEMORY, f"RSS, {nodes}", rss, "MB", None, peers, note=f"highest {peak:.1f}")
