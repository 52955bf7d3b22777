# SPDX-License-Identifier: Apache-2.0
"""At the edges, for information: 10,000 servers, and 1,000 targets. The bounds are a later
issue's."""

import time

from lab.agent import Agent, configuration, target
from lab.haproxy import Balancing, HAProxy
from lab.process import Lab, free_ports, wait_until

from .measure import Cpu, Pinger, Scraper, p50, p99, percentile, status_bytes

SIZE = "Large sites, memory (bounds of a later issue)"
POLLED = "Requests through HAProxy (10,000 servers, one thread) while its statistics are read"
SERVERS = 10000
SERVERS_RSS_MB = 60.0
TARGETS = 1000
TARGETS_RSS_MB = 36.0
SOCKETS = 4


def run_servers(report, scale):
    with Lab() as lab:
        port = free_ports(1)[0]
        answering = (
            "frontend ping",
            f"    bind 127.0.0.1:{port}",
            "    http-request return status 200 content-type text/plain string ok",
        )
        balancing = Balancing(
            {"app1": ("127.0.0.1", 9)}, web_servers=SERVERS, checks=False, extra=answering
        )
        haproxy = HAProxy(lab, "large", balancing).start()
        Polled(lab, haproxy, ("127.0.0.1", port), report, scale).run()


class Polled:
    """Request latency in regimes that take turns: nobody reads, lagwatch does, a reader that does
    not pause, HAProxy's own exporter; each reads once a second."""

    def __init__(self, lab, haproxy, address, report, scale):
        self.lab = lab
        self.haproxy = haproxy
        self.address = address
        self.report = report
        self.scale = scale
        self.latencies = {}
        self.memory = []
        self.cpu = []

    def run(self):
        regimes = [self.nobody, self.lagwatch, self.fast_reader, self.promex]
        for number in range(self.scale.polled_rounds):
            for regime in regimes[number % 4 :] + regimes[: number % 4]:
                regime()
        self.add_rows()

    def measure(self, name):
        pinger = Pinger(self.address)
        try:
            found = pinger.run(self.scale.polled_seconds)
        finally:
            pinger.close()
        self.latencies.setdefault(name, []).extend(found)

    def nobody(self):
        self.measure("nobody")

    def lagwatch(self):
        config = configuration(
            [target("large", self.haproxy.user_socket)], interval="1s", host=False
        )
        agent = Agent(self.lab, config, name="paced").start()
        with Cpu(agent.pid) as cpu:
            self.measure("lagwatch")
        self.cpu.append(cpu.ms[0] / self.scale.polled_seconds)
        scraper = Scraper([f"{agent.url}/metrics"])
        time.sleep(self.scale.large_seconds)
        scraper.stop()
        self.memory.append(status_bytes(agent.pid, "VmRSS", "RssAnon", "VmHWM"))
        agent.stop()

    def fast_reader(self):
        self.beside("a reader that does not pause", "socket", self.haproxy.user_socket)

    def promex(self):
        self.beside("HAProxy's own exporter", "http", self.haproxy.promex_url)

    def beside(self, name, kind, address):
        reader = self.lab.spawn_module(
            "reader", "bench.reader", kind, address, self.scale.polled_seconds + 5
        )
        wait_until(lambda: reader.out.read_text(), what="the reader has read once")
        self.measure(name)
        reader.stop()

    def add_rows(self):
        def row(title, function):
            values = {name: function(found) for name, found in self.latencies.items()}
            own = values.pop("lagwatch")
            self.report.add(POLLED, title, own, "ms", None, values)

        row("p50 while lagwatch polls every second", p50)
        row("p99", p99)
        row("p99.9", lambda found: percentile(found, 0.999))
        row("slowest", max)
        self.report.add(POLLED, "lagwatch's CPU a second", p50(self.cpu), "ms", None)
        rss, anonymous, peak = max(self.memory)
        self.report.add(
            SIZE,
            f"RSS, {SERVERS:,} servers, polled and scraped every second",
            rss,
            "MB",
            SERVERS_RSS_MB if self.scale.later_bounds else None,
            note=f"anonymous {anonymous:.1f}, highest {peak:.1f}; wanted {SERVERS_RSS_MB:.0f}",
        )


def run_targets(report, scale):
    with Lab() as lab:
        directory = lab.directory("many")
        sockets = [directory / f"{number}.sock" for number in range(SOCKETS)]
        # The default of 10 slots and 11 waiting is for a few readers; a thousand ask at once here.
        slots = ("    stats maxconn 2000",) + tuple(
            f"    stats socket {one} mode 666 level user maxconn 1000 backlog 1000"
            for one in sockets
        )
        balancing = Balancing(
            {"app1": ("127.0.0.1", 9)}, web_servers=10, checks=False, extra_global=slots
        )
        HAProxy(lab, "many", balancing).start()
        targets = [
            target(f"lb{number}", sockets[number % SOCKETS]) for number in range(TARGETS)
        ]
        config = configuration(targets, interval="5s", host=False)
        agent = Agent(lab, config, name="targets").start(timeout=30)
        scraper = Scraper([f"{agent.url}/metrics"])
        with Cpu(agent.pid) as cpu:
            time.sleep(scale.large_seconds + 5)
        scraper.stop()
        lines = agent.fetch("/metrics", timeout=30).body.splitlines()
        up = sum(one.startswith(b"haproxy_up{") and one.endswith(b" 1") for one in lines)
        rss, anonymous, peak = status_bytes(agent.pid, "VmRSS", "RssAnon", "VmHWM")
        report.add(
            SIZE,
            f"RSS, {TARGETS:,} targets of 10 servers every 5 s, scraped every second",
            rss,
            "MB",
            TARGETS_RSS_MB if scale.later_bounds else None,
            note=f"anonymous {anonymous:.1f}, highest {peak:.1f}; wanted {TARGETS_RSS_MB:.0f}; "
            f"{up} of {TARGETS:,} up, {cpu.ms[0] / (scale.large_seconds + 5):.0f} ms CPU a second",
        )
