# SPDX-License-Identifier: Apache-2.0
"""A readable digest of what lagwatch exports. What is not exported is shown as "-": absent is not
zero."""

import time
from statistics import median

from .agent import TEXT
from .exposition import parse

STATES = ("UP", "DOWN", "MAINT", "DRAIN", "NOLB")
BACKEND_COLUMNS = "BACKEND,UP,DOWN,OTHER,QUEUE,SESSIONS,REQ/S,5XX BY SERVERS,5XX BY HAPROXY".split(
    ","
)
SHORTEST = 1.5  # seconds between the two looks that rates are made of


def number(value, form="{:g}"):
    return "-" if value is None else form.format(value)


def size(value):
    if value is not None and value >= 1e9:
        return f"{value / 1e9:.1f} GB"
    return number(None if value is None else value / 1e6, "{:.1f} MB")


def table(header, rows):
    """Columns as wide as needed; the first left, the others right aligned."""
    rows = [header, *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths))
        )
        for row in rows
    )


class Digest:
    """Two looks at /metrics of one agent, and the text made of them."""

    def __init__(self, agent):
        self.agent = agent
        self.now = self.before = None  # (instant, Samples)
        self.latencies = []  # seconds, of the last looks
        self.size = None  # bytes of the last /metrics, uncompressed

    def take(self):
        response = self.agent.fetch("/metrics", TEXT)
        self.before, self.now = self.now, (time.monotonic(), parse(response.body))
        self.latencies = [*self.latencies[-8:], response.seconds]
        self.size = len(response.body)

    def wait_rate(self):
        """Looks again, after long enough for a rate."""
        if self.now:
            time.sleep(max(0.0, self.now[0] + SHORTEST - time.monotonic()))
        self.take()

    def value(self, name, **labels):
        return self.now[1].total(name, **labels)

    def rate(self, name, **labels):
        """Increase a second between the two looks; None without both, or when the counter went
        back."""
        if not self.before:
            return None
        old, new = (look[1].total(name, **labels) for look in (self.before, self.now))
        seconds = self.now[0] - self.before[0]
        return None if old is None or new is None or new < old else (new - old) / seconds

    def targets(self):
        rows = []
        for labels, up in sorted(
            self.now[1].select("lagwatch_target_up"), key=lambda one: sorted(one[0].items())
        ):
            own = {"kind": labels.get("kind", "-"), "target": labels.get("target", "-")}
            reasons = [
                failing.get("reason", "-")
                for failing, value in self.now[1].select("lagwatch_target_failing", **own)
                if value == 1
            ]
            rows.append(
                [
                    own["target"],
                    own["kind"],
                    number(up),
                    number(self.value("haproxy_up", target=own["target"])),
                    ", ".join(reasons) or "-",
                ]
            )
        if not rows:
            rows = [
                [labels.get("target", "-"), "haproxy", "-", number(up), "-"]
                for labels, up in self.now[1].select("haproxy_up")
            ]
        return table(["TARGET", "KIND", "UP", "HAPROXY_UP", "FAILING"], rows)

    def own_5xx(self, target, proxy):
        """5xx that HAProxy made itself: the backend's less its servers'."""
        own = {"target": target, "proxy": proxy, "code": "5xx"}
        backend = self.value("haproxy_backend_http_responses_total", **own)
        servers = self.value("haproxy_server_http_responses_total", **own)
        return None if backend is None or servers is None else backend - servers

    def backends(self, target):
        rows = []
        proxies = {
            labels["proxy"]
            for labels, _ in self.now[1].select("haproxy_backend_status", target=target)
        }
        for proxy in sorted(proxies):
            own = {"target": target, "proxy": proxy}
            states = [self.value("haproxy_server_status", state=state, **own) for state in STATES]
            queues = [
                self.value(f"haproxy_{row}_current_queue", **own) for row in ("backend", "server")
            ]
            rows.append(
                [
                    proxy,
                    number(states[0]),
                    number(states[1]),
                    number(None if states[2] is None else sum(one or 0 for one in states[2:])),
                    number(None if queues == [None, None] else sum(one or 0 for one in queues)),
                    number(self.value("haproxy_backend_current_sessions", **own)),
                    number(self.rate("haproxy_backend_http_requests_total", **own), "{:.1f}"),
                    number(self.value("haproxy_server_http_responses_total", code="5xx", **own)),
                    number(self.own_5xx(target, proxy)),
                ]
            )
        return table(BACKEND_COLUMNS, rows)

    def host(self):
        total, available = (
            self.value(f"node_memory_{name}_bytes") for name in ("MemTotal", "MemAvailable")
        )
        share = None if not total or available is None else 100 * (total - available) / total
        return (
            f"host       memory {size(total)}, {number(share, '{:.1f}')} % in use, "
            f"load {number(self.value('node_load1'), '{:.2f}')}"
        )

    def lagwatch(self):
        memory = self.agent.memory()
        latency = median(self.latencies) * 1000 if self.latencies else None
        return (
            f"lagwatch   RSS {size(memory.rss)} (PSS {size(memory.pss)}), /metrics "
            f"{number(latency, '{:.1f}')} ms for {self.size / 1e3:.0f} kB, {self.agent.fds()} "
            f"files open, {self.agent.cpu_seconds():.2f} s CPU so far"
        )

    def frontend(self, target):
        own = {"target": target, "proxy": "www"}
        name = "haproxy_frontend_http_responses_total"
        codes = ", ".join(
            f"{code} {number(self.value(name, code=code, **own))}" for code in ("2xx", "4xx", "5xx")
        )
        rate = self.rate("haproxy_frontend_http_requests_total", **own)
        return f"visitors   {number(rate, '{:.1f}')} requests/s, answered so far: {codes}"

    def databases(self):
        """A line for each PostgreSQL: its role, and a standby's lag or why that is not known."""
        lines = []
        for labels, replica in self.now[1].select("pg_replication_is_replica"):
            own = {"target": labels["target"]}
            if not replica:
                standbys = number(self.value("pg_stat_replication_standbys", **own))
                lines.append(f"{own['target']:10} primary, {standbys} standbys stream from it")
                continue
            reasons = self.now[1].select("pg_replication_lag_unknown", **own)
            unknown = [labels["reason"] for labels, _ in reasons]
            lag = number(self.value("pg_replication_lag_seconds", **own), "{:.1f} s behind")
            lines.append(f"{own['target']:10} standby, {unknown[0] if unknown else lag}")
        return lines

    def text(self, target="lb1"):
        heading = f"Backends as target {target} tells:"
        tables = [self.targets(), "", heading, self.backends(target), ""]
        own = [self.frontend(target), *self.databases(), self.host(), self.lagwatch()]
        return "\n".join([*tables, *own])
