# SPDX-License-Identifier: Apache-2.0
"""A real HAProxy in master-worker mode, configured like a site's load balancer, and what tests
ask of it.

`Balancing` is what the configuration is about (pure text, see render()); `HAProxy` owns the
process on one host, its sockets and its directory. Times in HAProxy's own notation in the
configuration, seconds in Python."""

import csv
import io
import os
import signal
import socket
from dataclasses import dataclass, field

from . import exposition
from .fetch import fetch
from .host import LOCAL
from .process import LabError, free_ports, wait_until

PORT_NAMES = ("www", "stats", "promex", "cli", "amqp")
MOST_CHECKED = 100  # servers in the web backend above which health checks are off unless asked for


@dataclass
class Balancing:
    """What is balanced and how. Servers are {name: (ip, port)}. Without search servers the web
    servers search."""

    web: dict
    search: dict = field(default_factory=dict)
    rabbit: dict = field(default_factory=dict)
    web_servers: int | None = None  # more than len(web): names go on, addresses are used in turn
    checks: bool | None = None  # None: on up to MOST_CHECKED web servers
    inter: str = "1s"
    fall: int = 3
    rise: int = 2
    maxconn: int | None = 4  # per web server; None: no limit
    queue_timeout: str = "5s"
    nbthread: int = 1
    stats_auth: str | None = None  # user:password of the stats page
    extra_global: tuple = ()  # further lines of these sections, and further sections
    extra_web: tuple = ()
    extra: tuple = ()

    def all_web(self):
        """The web servers as configured: [(name, (ip, port))]."""
        known = list(self.web.items())
        wanted = len(known) if self.web_servers is None else self.web_servers
        return [
            known[i] if i < len(known) else (f"app{i + 1}", known[i % len(known)][1])
            for i in range(wanted)
        ]

    @property
    def web_checked(self):
        return len(self.all_web()) <= MOST_CHECKED if self.checks is None else self.checks


def server_lines(servers, check):
    return [
        f"    server {name} {ip}:{port}{' check' if check else ''}" for name, (ip, port) in servers
    ]


def http_check(balancing):
    return (
        ["    option httpchk GET /healthcheck", "    http-check expect status 200"]
        if balancing.web_checked
        else []
    )


def default_server(balancing, maxconn=None):
    line = f"    default-server inter {balancing.inter} fall {balancing.fall} rise {balancing.rise}"
    return [line + (f" maxconn {maxconn}" if maxconn else "")]


def global_section(balancing, directory, address, ports):
    return [
        "global",
        "    log stderr format raw local0 notice",
        f"    nbthread {balancing.nbthread}",
        "    maxconn 2000",
        "    hard-stop-after 10s",
        f"    stats socket {directory}/admin.sock mode 600 level admin expose-fd listeners",
        f"    stats socket {directory}/lagwatch.sock mode 666 level user",
        f"    stats socket ipv4@{address}:{ports['cli']} level user",
        "    stats timeout 10s",
        *balancing.extra_global,
        "",
        "defaults",
        "    mode http",
        "    log global",
        "    timeout connect 1s",
        "    timeout client 30s",
        "    timeout server 30s",
        f"    timeout queue {balancing.queue_timeout}",
        "    timeout check 1s",
    ]


def backends(balancing):
    """web, search (its last server without a check), rabbit (TCP) and one without servers."""
    search = list(balancing.search.items())
    return [
        "",
        "backend web",
        *http_check(balancing),
        *default_server(balancing, balancing.maxconn),
        *balancing.extra_web,
        *server_lines(balancing.all_web(), balancing.web_checked),
        "",
        "backend search",
        *http_check(balancing),
        *default_server(balancing, 8),
        *server_lines(search[:-1], balancing.web_checked),
        *server_lines(search[-1:], False),
        "",
        "backend rabbit",
        "    mode tcp",
        *default_server(balancing),
        *server_lines(balancing.rabbit.items(), balancing.web_checked),
        "",
        "backend empty",
    ]


def frontends(balancing, address, ports):
    own_search = ["    use_backend search if { path_beg /search }"] if balancing.search else []
    auth = [f"    stats auth {balancing.stats_auth}"] if balancing.stats_auth else []
    return [
        "",
        "frontend www",
        f"    bind {address}:{ports['www']}",
        *own_search,
        "    default_backend web",
        "",
        "frontend amqp",
        "    mode tcp",
        f"    bind {address}:{ports['amqp']}",
        "    default_backend rabbit",
        "",
        "listen stats",
        f"    bind {address}:{ports['stats']}",
        "    stats enable",
        "    stats uri /stats",
        *auth,
        "",
        "frontend promex",
        f"    bind {address}:{ports['promex']}",
        "    http-request use-service prometheus-exporter if { path /metrics }",
    ]


def render(balancing, directory, address, ports):
    """The whole haproxy.cfg."""
    lines = global_section(balancing, directory, address, ports) + frontends(
        balancing, address, ports
    )
    return "\n".join([*lines, *backends(balancing), "", *balancing.extra, ""])


class HAProxy:
    """One HAProxy (a master and its worker) on `host`, in directory `name` of the lab.

    admin_socket (mode 600), user_socket (mode 666, level user), cli (ip, port; level user),
    master_socket. Without `ports` ({"www", "stats", "promex", "cli", "amqp"}) free ones are
    taken, anew when one was snatched away."""

    def __init__(self, lab, name, balancing, host=LOCAL, ports=None):
        self.name = name
        self.host = host
        self.balancing = balancing
        self.directory = lab.directory(name)
        self.admin_socket = self.directory / "admin.sock"
        self.user_socket = self.directory / "lagwatch.sock"
        self.master_socket = self.directory / "master.sock"
        self.config = self.directory / "haproxy.cfg"
        self.ports = ports
        self.child = None
        self._lab = lab
        self._choose_ports = ports is None

    @property
    def www(self):
        return (self.host.address, self.ports["www"])

    @property
    def cli(self):
        return (self.host.address, self.ports["cli"])

    @property
    def cli_url(self):
        return f"tcp://{self.cli[0]}:{self.cli[1]}"

    @property
    def www_url(self):
        return f"http://{self.host.address}:{self.ports['www']}/"

    @property
    def stats_url(self):
        return f"http://{self.host.address}:{self.ports['stats']}/stats;csv"

    @property
    def promex_url(self):
        return f"http://{self.host.address}:{self.ports['promex']}/metrics"

    def write_config(self):
        self.config.write_text(
            render(self.balancing, self.directory, self.host.address, self.ports)
        )

    def start(self):
        """Starts it and waits for an answer on the admin socket. Also after kill9() or stop()."""
        for attempt in range(5):
            if self._choose_ports and (self.ports is None or attempt):
                self.ports = dict(zip(PORT_NAMES, free_ports(len(PORT_NAMES), self.host.address)))
            self.write_config()
            self.child = self._lab.spawn(
                self.name,
                ["haproxy", "-W", "-db", "-f", self.config, "-S", f"{self.master_socket},mode,600"],
                host=self.host,
            )
            try:
                wait_until(self._answers, what=f"{self.name} answers on its admin socket")
                return self
            except LabError as error:
                snatched = "cannot bind socket" in self.child.log_text()
                self.child.stop()
                if not (self._choose_ports and snatched):
                    raise LabError(f"{error}\n{self.child.tail()}") from None
        raise LabError(f"{self.name}: its ports were taken five times in a row")

    def _answers(self):
        return self.child.require_alive() and self.info(timeout=1.0)

    def stop(self):
        """SIGTERM to the master, which ends its workers. Exit code."""
        return self.child.stop()

    def kill9(self):
        """SIGKILL to master and workers at once; the socket files stay behind. start() starts it
        again."""
        return self.child.kill()

    def sigstop(self):
        """Hangs the workers: connections are accepted by the kernel and never answered. The
        master lives on."""
        stopped = [pid for pid, _ in self.workers()]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        wait_until(
            lambda: all(process_state(pid) == "T" for pid in stopped), what="workers stopped"
        )

    def sigcont(self):
        if self.child.alive:
            os.killpg(self.child.pid, signal.SIGCONT)

    def reload(self, balancing=None, timeout=10.0):
        """SIGUSR2, after rewriting the configuration; returns when a new worker answers. Its
        pid."""
        self.balancing = balancing or self.balancing
        self.write_config()
        before = self.worker_pid
        self.child.signal(signal.SIGUSR2)

        def renewed():  # the master, which runs itself anew, refuses questions for a moment
            pid = self.child.require_alive() and self.worker_pid
            return pid if pid != before and (pid, "new") in self.workers() else None

        return wait_until(renewed, timeout, f"{self.name} has a new worker (old: {before})")

    @property
    def master_pid(self):
        return self.child.pid

    @property
    def worker_pid(self):
        """The worker that answers on the admin socket."""
        return int(self.info()["Pid"])

    def workers(self):
        """[(pid, "new" or "old")] as the master knows them; answered also while workers hang."""
        found, age = [], None
        for line in self.master_command("show proc").splitlines():
            if line.startswith("# "):
                age = {"# workers": "new", "# old workers": "old"}.get(line.strip())
            elif age and line.split():
                found.append((int(line.split()[0]), age))
        return found

    def command(self, text, timeout=5.0):
        """The reply to a command (or several, joined by ;) on the admin socket."""
        return ask(str(self.admin_socket), text, timeout)

    def master_command(self, text, timeout=5.0):
        # The master's command line stays open until the peer says that it has no more to ask.
        return ask(str(self.master_socket), text, timeout, half_close=True)

    def info(self, timeout=5.0):
        """`show info` as {key: text}."""
        lines = self.command("show info", timeout).splitlines()
        return dict(line.split(": ", 1) for line in lines if ": " in line)

    def stat(self):
        """`show stat` as a list of {column: text}; "" where a column does not apply."""
        return parse_stat(self.command("show stat"))

    def row(self, proxy, server):
        """The row of a server, FRONTEND or BACKEND."""
        for row in self.stat():
            if (row["pxname"], row["svname"]) == (proxy, server):
                return row
        raise LabError(f"{self.name} has no row {proxy}/{server}")

    def states(self, proxy="web"):
        """{server: status text} of a backend."""
        return {
            row["svname"]: row["status"]
            for row in self.stat()
            if row["pxname"] == proxy and row["type"] == "2"
        }

    def wait_states(self, proxy, wanted, timeout=20.0):
        """Waits until servers of `proxy` are as wanted: {server: status} or one status for all
        that are checked.

        A status that no check has confirmed yet (INI, as after a reload) does not count."""

        def as_wanted():
            rows = {
                row["svname"]: row
                for row in self.stat()
                if row["pxname"] == proxy and row["type"] == "2"
            }
            status = wanted
            if isinstance(wanted, str):
                status = {name: wanted for name, row in rows.items() if row["check_status"]}
            return all(
                rows[name]["status"] == one and rows[name]["check_status"] not in ("INI", "UNK")
                for name, one in status.items()
            )

        wait_until(as_wanted, timeout, f"{self.name}: servers of {proxy} {wanted}")

    def promex(self):
        """HAProxy's own exporter, parsed."""
        response = fetch(self.promex_url, self.host, timeout=10)
        if response.status != 200:
            raise LabError(f"promex of {self.name}: status {response.status}")
        return exposition.parse(response.body)


def ask(path, text, timeout, half_close=False):
    """One exchange on a unix stats socket: the whole reply, until HAProxy closes."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(path)
        connection.sendall(text.encode() + b"\n")
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts).decode()


def parse_stat(text):
    if not text.startswith("# pxname,"):
        raise LabError(f"not a show stat reply: {text[:80]!r}")
    rows = csv.DictReader(io.StringIO(text[2:]))
    return [row for row in rows if row["svname"]]


def process_state(pid):
    """The state letter of a process: R, S, T, Z...; "" when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return ""
