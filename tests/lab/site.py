# SPDX-License-Identifier: Apache-2.0
"""The whole site: hosts, web servers, load balancers, lagwatch, in one of two layouts.

local: everything on this host, on loopback and free ports: load balancer lb1, eight web servers,
three search servers, two TCP ones. netns: a network namespace per host: lb1, lb2, web1..web4 with
two web servers each, search1, db1, db2 (bare: pg_cluster.on_site starts PostgreSQL there),
`outside` for visitors; a lagwatch can run on every host and sees only its own sockets. From a
shell:  tests/lab/run [--layout local|netns] [--rate N] [--agents]"""

import argparse
import sys
import time

from . import agent as agents
from .haproxy import PORT_NAMES, Balancing, HAProxy
from .host import LOCAL
from .netns import Network
from .process import Lab, LabError, Unavailable, exit_on_signals
from .traffic import MOST_SECONDS, Traffic
from .web import Fleet, WebServers

WEB = [f"app{n}" for n in range(1, 9)]
SEARCH = [f"search{n}" for n in range(1, 4)]
RABBIT = ["rabbit1", "rabbit2"]
HOSTS = ["lb1", "lb2", "web1", "web2", "web3", "web4", "search1", "db1", "db2"]
NETNS_PORTS = dict(zip(PORT_NAMES, (80, 8404, 8405, 9999, 5672)))


class Site:
    """A context manager; started on entering. Owns its Lab.

    hosts {name: Host}, outside (where visitors are), web (Fleet with all servers), lbs {name:
    HAProxy}, agents {name: Agent}. Keyword arguments beyond `layout` and `keep` are Balancing's
    (web_servers=1000, inter="100ms"...)."""

    def __init__(self, layout="local", keep=False, **balancing):
        if layout not in ("local", "netns"):
            raise LabError(f"no layout {layout!r}")
        self.layout = layout
        self.lab = None
        self.hosts = {}
        self.outside = LOCAL
        self.network = None  # netns only
        self.web = None
        self.lbs = {}
        self.agents = {}
        self._keep = keep
        self._balancing = balancing

    def __enter__(self):
        if self.lab:
            raise LabError("a Site is started once")
        self.lab = Lab(self._keep)
        try:
            if self.layout == "netns":
                self._start_netns()
            else:
                self._start_local()
        except BaseException:
            self.lab.close()
            raise
        return self

    def __exit__(self, *_):
        self.lab.close()

    @property
    def lb(self):
        return self.lbs["lb1"]

    def _start_local(self):
        self.hosts = {"localhost": LOCAL}
        servers = WebServers(self.lab, dict.fromkeys(WEB + SEARCH + RABBIT, 0), tcp=RABBIT)
        self.web = Fleet([servers])
        self.lbs["lb1"] = HAProxy(self.lab, "lb1", self._balanced()).start()

    def _start_netns(self):
        self.network = Network(self.lab, HOSTS)
        self.hosts = self.network.hosts
        self.outside = self.network.outside
        members = []
        for number in range(4):
            name = f"web{number + 1}"
            specs = {WEB[2 * number]: 8081, WEB[2 * number + 1]: 8082}
            members.append(WebServers(self.lab, specs, self.hosts[name], f"{name}-servers"))
        specs = {name: 9200 + n for n, name in enumerate(SEARCH)} | {
            name: 5673 + n for n, name in enumerate(RABBIT)
        }
        members.append(
            WebServers(self.lab, specs, self.hosts["search1"], "search1-servers", tcp=RABBIT)
        )
        self.web = Fleet(members)
        for name in ("lb1", "lb2"):
            self.lbs[name] = HAProxy(
                self.lab, name, self._balanced(), self.hosts[name], NETNS_PORTS
            ).start()

    def _balanced(self):
        known = self.web.addresses

        def chosen(names):
            return {name: known[name] for name in names}

        return Balancing(chosen(WEB), chosen(SEARCH), chosen(RABBIT), **self._balancing)

    def wait_up(self, timeout=20.0):
        """Waits until every load balancer has checked all its servers and found them up."""
        for balancer in self.lbs.values():
            for proxy in ("web", "search", "rabbit"):
                balancer.wait_states(proxy, "UP", timeout)

    def traffic(self, rate=20.0, seconds=60.0, lb="lb1", **more):
        """Visitors of load balancer `lb`, see Traffic."""
        return Traffic(self.lab, self.lbs[lb].www, rate, seconds, host=self.outside, **more)

    def start_agent(self, host=None, config=None, name=None, ready=True, **more):
        """lagwatch on `host` (by name; local layout: the only one). By default it watches the
        host's load balancer over its unix socket, and the host. `more` goes to Agent."""
        host = host or next(iter(self.hosts))
        own = (
            list(self.lbs.values())
            if self.layout == "local"
            else [one for one in self.lbs.values() if one.host.name == host]
        )
        if config is None:
            config = agents.configuration([agents.target(one.name, one.user_socket) for one in own])
        name = name or (f"agent-{host}" if self.layout == "netns" else "agent")
        self.agents[name] = agents.Agent(self.lab, config, self.hosts[host], name, **more).start(
            ready
        )
        return self.agents[name]

    def start_agents(self, **more):
        """One lagwatch on every host."""
        return [self.start_agent(host, **more) for host in self.hosts]

    def describe(self):
        """Lines for people: where what is."""
        lines = [f"directory   {self.lab.dir}"]
        for name, host in self.hosts.items():
            if host.namespace:
                lines.append(
                    f"host        {name:8} {host.address:12} ip netns exec {host.namespace} ..."
                )
        for name, one in self.lbs.items():
            lines += [
                f"{name:11} {one.www_url}  {one.www_url}search?q=a",
                f"{'':11} {one.stats_url}  {one.promex_url}",
                f"{'':11} {one.user_socket}  {one.cli_url}",
            ]
        for name, one in self.agents.items():
            lines.append(f"{name:11} {one.url}/metrics  (pid {one.pid})")
        lines += [
            f"web servers tests/lab/run web {control} [SERVER,...] healthcheck=503 dependency=hung"
            for control in self.web.controls
        ]
        return lines


def main():
    parser = argparse.ArgumentParser(
        prog="tests/lab/run", description="Starts the site and prints where what is."
    )
    parser.add_argument("--layout", choices=("local", "netns"), default="local")
    parser.add_argument(
        "--rate",
        type=float,
        default=0.0,
        help="requests/s on lb1, for at most an hour (default none)",
    )
    parser.add_argument("--web-servers", type=int, help="servers in the web backend (default 8)")
    parser.add_argument("--agents", action="store_true", help="run lagwatch on every host")
    parser.add_argument("--seconds", type=float, help="end after so long; default: Ctrl-C")
    arguments = parser.parse_args()
    exit_on_signals()
    try:
        with Site(arguments.layout, web_servers=arguments.web_servers) as site:
            if arguments.agents:
                site.start_agents()
            if arguments.rate:
                site.traffic(arguments.rate, MOST_SECONDS)
            print("\n".join(site.describe()), flush=True)
            print("Ctrl-C ends it.", flush=True)
            time.sleep(arguments.seconds if arguments.seconds is not None else 10**8)
    except (LabError, Unavailable) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
