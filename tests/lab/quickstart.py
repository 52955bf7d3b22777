# SPDX-License-Identifier: Apache-2.0
"""The Python half of packaging/quickstart.sh: lagwatch on a small real site, and what it sees.

Starts the local site with some traffic and lagwatch on it as an unprivileged user, once over each
kind of HAProxy source. Prints a digest of the metrics until Ctrl-C, or with --once checks every
source and ends."""

import argparse
import sys
import time

from . import agent as agents
from .agent import Agent
from .digest import Digest
from .pg_cluster import Cluster
from .process import LabError, Unavailable, exit_on_signals, free_ports, wait_until
from .quickstart_shop import Shop
from .site import Site
from .traffic import MOST_SECONDS

RATE = 20.0  # requests/s of the demonstration
REFRESH = 3.0  # seconds between digests
SOURCES = {
    "lb1": "haproxy over unix socket",
    "lb1-tcp": "haproxy over TCP socket",
    "lb1-http": "haproxy over HTTP ;csv",
}


def say(text=""):
    print(text, flush=True)


def need(condition, message):
    if not condition:
        raise LabError(message)


def agent_port():
    """lagwatch's usual port when nobody has it, so that the printed URLs are those of the
    documentation."""
    try:
        return free_ports(1, candidates=[agents.PORT])[0]
    except LabError:
        return free_ports(1)[0]


def databases(lab):
    """A primary with a standby, or None where PostgreSQL cannot be had."""
    try:
        cluster = Cluster(lab)
    except Unavailable as reason:
        say(f"no PostgreSQL: {reason}")
        return None
    cluster.primary.role("lagwatch", "least")
    cluster.standby.wait_caught_up()
    return cluster


def database_targets(cluster):
    servers = {} if cluster is None else {"db1": cluster.primary, "db2": cluster.standby}
    return [{"name": name, "dsn": server.dsn("lagwatch")} for name, server in servers.items()]


def targets(balancer):
    """The one load balancer as three targets, one for each way to ask it."""
    return [
        agents.target("lb1", balancer.user_socket),
        agents.target("lb1-tcp", balancer.cli_url),
        agents.target("lb1-http", balancer.stats_url),
    ]


class Checks:
    """What --once asks. Each check returns a few words, or raises with what is wrong."""

    def __init__(self, site, agent, cluster, shop):
        self.site = site
        self.agent = agent
        self.cluster = cluster
        self.shop = shop

    def all(self):
        """[(name, function)] in the order they are made."""
        return [
            ("/-/ready", self.ready),
            *[
                (name, lambda target=target: self.haproxy(target))
                for target, name in SOURCES.items()
            ],
            *([("PostgreSQL and its standby", self.postgres)] if self.cluster else []),
            *self.shop.checks(self.agent),
            ("host metrics", self.host),
            ("/metrics as text 0.0.4", lambda: self.exposition(openmetrics=False)),
            ("/metrics as OpenMetrics", lambda: self.exposition(openmetrics=True)),
            ("/probe", self.probe),
            ("/sd", self.service_discovery),
            ("unprivileged user", self.unprivileged),
        ]

    def ready(self):
        for path in ("/-/ready", "/-/healthy"):
            status = self.agent.fetch(path).status
            need(status == 200, f"status {status} from {path}")
        return "and /-/healthy: 200"

    def haproxy(self, target):
        """Up, as many requests as HAProxy itself has counted meanwhile, every server in HAProxy's
        own state."""
        least = int(self.site.lb.row("www", "FRONTEND")["req_tot"])
        series = ("haproxy_frontend_http_requests_total", {"proxy": "www", "target": target})
        samples = self.agent.wait_metric(
            lambda samples: (samples.value(series[0], **series[1]) or 0) >= least,
            f"{series[0]}{series[1]} reaches {least}",
        )
        most = int(self.site.lb.row("www", "FRONTEND")["req_tot"])
        need(
            samples.value("haproxy_up", target=target) == 1,
            f'haproxy_up{{target="{target}"}} is not 1',
        )
        requests = samples.value(series[0], **series[1])
        need(least <= requests <= most, f"{requests:g} requests, HAProxy counted {least} to {most}")
        seen = {
            labels["server"]
            for labels, value in samples.select(
                "haproxy_server_status", target=target, proxy="web", state="UP"
            )
            if value == 1
        }
        up = {
            name for name, status in self.site.lb.states("web").items() if status.startswith("UP")
        }
        need(seen == up, f"servers up in web: {sorted(seen)}, HAProxy says {sorted(up)}")
        return f"{requests:g} requests, {len(seen)} servers up in web"

    def postgres(self):
        """What is written on the primary is replayed on the standby, and lagwatch says so."""
        written = self.cluster.primary.write(100)
        samples = self.agent.wait_metric(
            lambda samples: samples.value("pg_replication_lag_seconds", target="db2") == 0
            and (samples.value("pg_wal_lsn_bytes", target="db2", kind="replay") or 0) >= written,
            "the standby has replayed what was written",
        )
        for target in ("db1", "db2"):
            need(samples.value("pg_up", target=target) == 1, f'pg_up{{target="{target}"}} is not 1')
            limited = samples.select("lagwatch_target_limited", target=target)
            need(not limited, f"{target} answers in part: {limited}")
        need(samples.value("pg_cluster_standbys", target="db1") == 1, "no standby is seen")
        version = samples.select("pg_static", target="db1")
        shown = version[0][0]["short_version"] if version else "?"
        return f"{shown}: db2 is 0 s behind db1 at byte {written}"

    def host(self):
        with open("/proc/meminfo", encoding="ascii") as file:
            total = int(file.readline().split()[1]) * 1024
        samples = self.agent.metrics()
        seen = samples.value("node_memory_MemTotal_bytes")
        need(seen == total, f"node_memory_MemTotal_bytes {seen}, /proc/meminfo says {total}")
        need(samples.names() >= {"node_load1"}, "no node_load1")
        return f"node_memory_MemTotal_bytes {total}"

    def exposition(self, openmetrics):
        plain = self.agent.metrics(openmetrics=openmetrics)
        zipped = self.agent.metrics(openmetrics=openmetrics, encoding="gzip")
        need(len(zipped) > 0, "no samples")
        return f"{len(plain)} samples in {len(plain.families)} families, gzip too"

    def probe(self):
        for target in SOURCES:
            samples = self.agent.metrics(f"/probe?target={target}")
            others = [
                labels
                for labels, _ in samples.select("haproxy_up")
                if labels.get("target", target) != target
            ]
            need(
                samples.select("haproxy_up") and not others,
                f"/probe?target={target}: not haproxy_up of it alone",
            )
        return f"{len(SOURCES)} targets, each alone"

    def service_discovery(self):
        response = self.agent.fetch("/sd")
        need(response.status == 200, f"status {response.status}")
        found = {
            group["labels"].get("__param_target") for group in response.json() if group["targets"]
        }
        need(found >= set(SOURCES), f"targets {sorted(map(str, found))}")
        return f"{len(found)} targets"

    def unprivileged(self):
        uid = self.agent.uid()
        need(uid != 0, "lagwatch runs as root")
        return f"uid {uid}"


def run_checks(checks):
    """Makes them all. The names of those that failed."""
    failed = []
    for name, check in checks:
        try:
            say(f"OK    {name:26} {check()}")
        except (
            Exception
        ) as error:  # whatever is wrong with what lagwatch answers belongs to this check
            failed.append(name)
            text = str(error) if isinstance(error, LabError) else f"{type(error).__name__}: {error}"
            say(f"FAIL  {name:26} {text}")
    return failed


def once(site, agent, cluster, shop):
    """One round of checks. Exit code."""
    digest = Digest(agent)
    digest.take()
    failed = run_checks(Checks(site, agent, cluster, shop).all())
    digest.wait_rate()
    try:
        say(f"\n{digest.text()}\n")
    except (LabError, ValueError, OSError) as error:
        say(f"no digest: {error}")
    end = agent.stop()
    say(f"{'OK  ' if end.code == 0 else 'FAIL'}  {'SIGTERM':26} exit code {end.code}")
    if end.code != 0:
        failed.append("SIGTERM")
    if failed:
        print(
            f"quickstart: failed: {', '.join(failed)}. The end of lagwatch's log:\n"
            + "\n".join(end.log.splitlines()[-20:]),
            file=sys.stderr,
        )
        return 1
    say("All sources deliver.")
    return 0


def watch(site, agent, traffic):
    """Digests until a stop signal."""
    digest = Digest(agent)
    clear = "\033[H\033[2J" if sys.stdout.isatty() else ""
    shown = False
    digest.take()
    while True:
        time.sleep(REFRESH)
        if not traffic.running:  # its hour is over
            traffic = site.traffic(RATE, MOST_SECONDS)
        agent.child.require_alive()
        digest.take()
        if clear or not shown:
            say(
                clear + describe(site, agent) + "\n" + digest.text() + "\n\nPress Ctrl-C to end it."
            )
            shown = True


def describe(site, agent):
    control = site.web.controls[0]
    return "\n".join(
        [
            f"lagwatch   {agent.url}/metrics   {agent.url}/   {agent.url}/probe?target=lb1",
            f"HAProxy    {site.lb.www_url}   {site.lb.stats_url.removesuffix(';csv')}",
            f"config     {agent.config_file}",
            "Break it from another terminal (and put it right with dependency=ok, latency=0):",
            f"           tests/lab/run web {control} dependency=dead",
            f"           tests/lab/run web {control} latency=3",
            "",
        ]
    )


def run(arguments):
    say("starting HAProxy, web servers, PostgreSQL, Apache with Passenger, Elasticsearch, traffic")
    with Site("local") as site:
        cluster = databases(site.lab)
        shop = Shop(site.lab, say)
        site.wait_up()
        traffic = site.traffic(RATE, MOST_SECONDS)
        say("starting lagwatch")
        config = agents.configuration(targets(site.lb), site="shop")
        config["postgres"] = database_targets(cluster)
        config.update(shop.targets())
        agent = Agent(site.lab, config, port=agent_port())
        site.agents["agent"] = agent.start()
        wait_until(lambda: traffic.counts().answered, what="traffic is answered")
        if arguments.once:
            return once(site, agent, cluster, shop)
        try:
            watch(site, agent, traffic)
        except SystemExit:
            say("\nstopping")
    say("Stopped, nothing is left running.")
    return 0


def main():
    parser = argparse.ArgumentParser(prog="quickstart", description="lagwatch on a small real site")
    parser.add_argument(
        "--once", action="store_true", help="check every source, print a digest, end"
    )
    arguments = parser.parse_args()
    exit_on_signals()
    try:
        return run(arguments)
    except (LabError, Unavailable) as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
