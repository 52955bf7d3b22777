# SPDX-License-Identifier: Apache-2.0
"""On the lab's site with traffic: how fast /metrics answers, also while an HAProxy hangs, and how
much memory a long scraped agent has."""

import threading
import time

from lab.agent import Agent, configuration, target
from lab.haproxy import HAProxy
from lab.process import LabError, wait_until
from lab.site import Site

from .measure import PLAIN_HEADERS, Scraper, get, p50, p99, status_bytes
from .peers import haproxy_exporter, node_exporter

LATENCY = "/metrics on the lab's site, latency"
MEMORY = "Agent on the lab's site, memory"
P99_MS = 5.0
FIRST_MS = 105.0
RSS_MB = 18.0
ANONYMOUS_MB = 5.0
PAUSE = 0.005  # seconds between two requests of a round
FIRST_SECONDS = 1.5  # in which every exchange with a hung target begins to look hung
PEER_TIMEOUT = 12.0  # seconds a peer is waited for while its HAProxy hangs


def run(report, scale):
    with Site("local") as site:
        site.wait_up()
        hanging = HAProxy(site.lab, "lb2", site.lb.balancing).start()
        site.traffic(rate=50, seconds=1800)
        memory = Memory(site, report, scale)
        latency = Latency(site, hanging, report, scale)
        latency.fine()
        latency.hung()
        memory.finish()


class Latency:
    """An agent on two load balancers, the second of which is to hang."""

    def __init__(self, site, hanging, report, scale):
        self.report = report
        self.scale = scale
        self.lb = site.lb
        self.hanging = hanging
        targets = [target(one.name, one.user_socket) for one in (site.lb, hanging)]
        self.agent = Agent(site.lab, configuration(targets), name="latency").start()
        self.healthy = []  # latencies of a request that needs no work: what the machine adds now
        self.exporter = haproxy_exporter(site.lab, "haproxy_exporter", site.lb, report)
        self.hung_exporter = haproxy_exporter(site.lab, "haproxy_exporter2", hanging, report)

    def fine(self):
        url = self.agent.url
        exporter = {"haproxy_exporter": (self.exporter.url,)} if self.exporter else {}
        asked = {
            "gzip": (f"{url}/metrics",),
            "plain": (f"{url}/metrics", PLAIN_HEADERS),
            "/-/healthy": (f"{url}/-/healthy",),
            **exporter,
            "HAProxy's own exporter": (self.lb.promex_url,),
        }
        latencies = {name: [] for name in asked}
        order = list(asked)
        for number in range(self.scale.requests):
            for name in order[number % len(order) :] + order[: number % len(order)]:
                latencies[name].append(get(*asked[name])[0])
                time.sleep(PAUSE)
        peers = {name: found for name, found in latencies.items() if name not in ("gzip", "plain")}
        self.add("as Prometheus asks (gzip)", latencies["gzip"], P99_MS, peers)
        self.add("plain text", latencies["plain"], P99_MS, {})

    def add(self, what, latencies, bound, peers):
        note = f"p50 {p50(latencies):.2f}, of {len(latencies)}"
        found = {f"{name} p99": p99(one) for name, one in peers.items()}
        self.report.add(LATENCY, f"{what}: p99", p99(latencies), "ms", bound, found, note)

    def hung(self):
        """Each hang: the slowest scrape of its first seconds stands apart, all others count."""
        first, later = [], []
        peers = {}
        for number in range(self.scale.hangs):
            self.hanging.sigstop()
            try:
                asking = self.ask_peers(peers) if number == 0 else []
                early = self.scrape_for(FIRST_SECONDS)
                first.append(max(early))
                early.remove(max(early))
                later += early
                later += self.scrape_for(1.0)
                while any(one.is_alive() for one in asking):
                    later += self.scrape_for(0.5)
            finally:
                self.hanging.sigcont()
            self.wait_back()
        self.add("one of two HAProxies hung", later, P99_MS, {"/-/healthy": self.healthy})
        self.report.add(
            LATENCY,
            "the first scrape after a hang (slowest of each)",
            max(first),
            "ms",
            FIRST_MS,
            peers,
            f"of {len(first)} hangs, p50 {p50(first):.0f}",
        )

    def wait_back(self):
        wait_until(
            lambda: self.agent.metrics().value("haproxy_up", target="lb2") == 1,
            30,
            "lb2 is up again",
            0.2,
        )

    def scrape_for(self, seconds):
        latencies = []
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            latencies.append(get(f"{self.agent.url}/metrics")[0])
            time.sleep(PAUSE)
            self.healthy.append(get(f"{self.agent.url}/-/healthy")[0])
            time.sleep(PAUSE)
        return latencies

    def ask_peers(self, found):
        """Asks the peers of the hung HAProxy side by side, each once; threads."""
        urls = {"HAProxy's own exporter": self.hanging.promex_url}
        if self.hung_exporter:
            urls["haproxy_exporter"] = self.hung_exporter.url
        threads = [
            threading.Thread(target=ask_until, args=(name, url, found))
            for name, url in urls.items()
        ]
        for one in threads:
            one.start()
        return threads


def ask_until(name, url, found):
    began = time.monotonic()
    try:
        get(url, timeout=PEER_TIMEOUT)
    except (OSError, LabError):
        name += ", gave up"
    found[name] = (time.monotonic() - began) * 1e3


class Memory:
    """A default agent (HAProxy and host), scraped once a second beside all the rest; and its
    peers."""

    def __init__(self, site, report, scale):
        self.report = report
        self.scale = scale
        self.agent = site.start_agent()
        self.peers = {
            "haproxy_exporter": haproxy_exporter(site.lab, "exporter", site.lb, report),
            "node_exporter": node_exporter(site.lab, report),
        }
        running = [one for one in self.peers.values() if one]
        self.began = time.monotonic()
        self.scraper = Scraper([f"{self.agent.url}/metrics", *(one.url for one in running)])

    def finish(self):
        left = self.began + self.scale.memory_seconds - time.monotonic()
        time.sleep(max(0.0, left))
        self.scraper.stop()
        note = f"after {time.monotonic() - self.began:.0f} s, {self.scraper.scrapes} scrapes"
        pids = {name: one.pid for name, one in self.peers.items() if one}
        names = ("VmRSS", "RssAnon", "VmHWM")
        rss, anonymous, peak = status_bytes(self.agent.pid, *names)
        peers = {name: status_bytes(pid, *names) for name, pid in pids.items()}
        if len(peers) > 1:
            peers["both"] = [sum(one) for one in zip(*peers.values())]
        columns = (("RSS", rss, RSS_MB), ("of it anonymous", anonymous, ANONYMOUS_MB))
        for index, (what, value, bound) in enumerate(columns):
            others = {name: one[index] for name, one in peers.items()}
            self.report.add(
                MEMORY, what, value, "MB", bound, others, note if index == 0 else ""
            )
        others = {name: one[2] for name, one in peers.items()}
        self.report.add(MEMORY, "highest RSS", peak, "MB", None, others)
