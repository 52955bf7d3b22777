# SPDX-License-Identifier: Apache-2.0
"""CPU of one collect of HAProxy with 10 and 1,000 servers, beside its exporters'.

Two HAProxies of the same configuration: lagwatch has one to itself, so that its CPU per collect is
seen too; the peers take turns at the other, in the same rhythm (caches are as cold for them). What
is subtracted: the CPU of a lagwatch without targets over the same seconds."""

import json
import subprocess
import time

from lab.agent import Agent, configuration, target
from lab.haproxy import Balancing, HAProxy, ask
from lab.process import Lab, LabError

from .inprocess import find_bench
from .measure import Cpu, get, p50
from .peers import haproxy_exporter

SECTION = "HAProxy collected, CPU per collect or scrape"
BOUNDS = {10: 0.1, 1000: 2.0}
TOGETHER = 8  # targets of the same HAProxy, collected at once: less than its 10 slots
QUESTION = "show info;show stat"


def run(report, scale):
    for servers in BOUNDS:
        with Lab() as lab:
            Bench(lab, report, scale, servers).run()


def connections(haproxy):
    return int(haproxy.info()["CumConns"])


class Bench:
    def __init__(self, lab, report, scale, servers):
        self.report = report
        self.scale = scale
        self.servers = servers
        balancing = Balancing({"app1": ("127.0.0.1", 9)}, web_servers=servers, checks=False)
        self.own = HAProxy(lab, "own", balancing).start()
        self.others = HAProxy(lab, "others", balancing).start()
        self.third = HAProxy(lab, "third", balancing).start()
        self.own_pid = self.own.worker_pid
        self.others_pid = self.others.worker_pid

        def agent(name, targets, interval):
            return Agent(lab, configuration(targets, interval=interval, host=False), name=name)

        self.reader = find_bench(scale)
        if self.reader is None:
            report.skip("reading alone", "no lagwatch_bench")
        watched = [target("lb1", self.own.user_socket)]
        self.agent = agent("agent", watched, f"{scale.pause_ms}ms").start()
        several = [target(f"lb{n}", self.third.user_socket) for n in range(TOGETHER)]
        self.together = agent("together", several, f"{scale.pause_ms}ms")
        self.server = agent("server", [target("lb1", self.others.user_socket)], "10m").start()
        self.idle = agent("idle", [], "1s").start()
        self.exporter = haproxy_exporter(lab, "haproxy_exporter", self.others, report)
        self.samples = {}

    def run(self):
        time.sleep(0.5)
        for _ in range(self.scale.rounds):
            self.collects()
            self.collects_together()
            self.serves()
            if self.exporter:
                exporter = (self.exporter.pid, self.others_pid)
                self.per_scrape("exporter", self.exporter.url, *exporter)
            self.per_scrape("promex", self.others.promex_url, self.others_pid)
            self.asks()
            self.bare_reader()
        self.add_rows()

    def note(self, name, value):
        self.samples.setdefault(name, []).append(value)

    def median(self, name):
        return p50(self.samples[name])

    def collects(self):
        """lagwatch polling by itself, less what one without targets takes."""
        before = connections(self.own)
        with Cpu(self.agent.pid, self.idle.pid, self.own_pid) as cpu:
            time.sleep(self.scale.window)
        self.agent.child.require_alive()
        count = connections(self.own) - before - 1  # the question how many there were
        if count < 1:
            raise LabError(f"no collect of {self.servers} servers in {self.scale.window} s")
        self.note("collect", (cpu.ms[0] - cpu.ms[1]) / count)
        self.note("idle", cpu.ms[1] / self.scale.window)
        self.note("collect haproxy", cpu.ms[2] / count)

    def collects_together(self):
        """Several targets at once, so that most collects find the caches warm. Runs only now: it
        would disturb the others."""
        self.together.start()
        time.sleep(0.3)
        before = connections(self.third)
        with Cpu(self.together.pid) as cpu:
            time.sleep(self.scale.window)
        count = connections(self.third) - before - 1
        self.together.stop()
        self.note("together", cpu.ms[0] / max(count, 1))

    def paced(self, function):
        """Calls it `scrapes` times in the rhythm in which lagwatch collects."""
        for _ in range(self.scale.scrapes):
            time.sleep(self.scale.pause_ms / 1e3)
            function()

    def serves(self):
        """/metrics from what is known: the first GET collects, those within a second find it
        fresh."""
        sizes = []
        get(f"{self.server.url}/metrics")
        with Cpu(self.server.pid) as cpu:
            self.paced(lambda: sizes.append(get(f"{self.server.url}/metrics")[1]))
        self.note("serve", cpu.ms[0] / len(sizes))
        self.note("serve bytes", sizes[0])

    def per_scrape(self, name, url, *pids):
        with Cpu(*pids) as cpu:
            self.paced(lambda: get(url))
        self.note(name, cpu.ms[0] / self.scale.scrapes)
        self.note(f"{name} haproxy", cpu.ms[-1] / self.scale.scrapes)

    def asks(self):
        with Cpu(self.others_pid) as cpu:
            self.paced(lambda: ask(str(self.others.user_socket), QUESTION, 5))
        self.note("ask haproxy", cpu.ms[0] / self.scale.scrapes)

    def bare_reader(self):
        """The least any reader costs, in this rhythm and on this machine now."""
        if self.reader is None:
            return
        command = [self.reader, "reader", self.others.user_socket, 5, self.scale.pause_ms]
        done = subprocess.run(
            [str(one) for one in command], capture_output=True, text=True, timeout=60, check=True
        )
        self.note("reader", json.loads(done.stdout)["median_ms"])

    def peers(self, suffix=""):
        all_of_them = {
            "haproxy_exporter": f"exporter{suffix}",
            "HAProxy's own exporter": f"promex{suffix}",
            "reading alone": f"reader{suffix}",
        }
        return {
            title: self.median(name)
            for title, name in all_of_them.items()
            if name in self.samples
        }

    def add_rows(self):
        servers = f"{self.servers:,} servers"
        best = min(self.samples["collect"])
        idle = self.median("idle")
        self.report.add(
            SECTION,
            f"collect, {servers}",
            self.median("collect"),
            "ms",
            BOUNDS[self.servers],
            self.peers(),
            f"best {best:.3g}; idle {idle:.3g} ms/s subtracted",
        )
        self.report.add(
            SECTION,
            f"collect, {servers}, {TOGETHER} targets at once",
            self.median("together"),
            "ms",
            None,
            {},
            f"best {min(self.samples['together']):.3g}",
        )
        whole = self.median("collect") + self.median("serve")
        size = self.median("serve bytes") / 1e3
        self.report.add(
            SECTION,
            f"collect and a gzipped /metrics, {servers}",
            whole,
            "ms",
            None,
            self.peers(),
            f"{size:.0f} kB packed",
        )
        self.report.add(
            SECTION,
            f"HAProxy's CPU for it, {servers}",
            self.median("collect haproxy"),
            "ms",
            None,
            {f"one reader of `{QUESTION}`": self.median("ask haproxy"), **self.peers(" haproxy")},
        )
