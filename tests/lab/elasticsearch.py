# SPDX-License-Identifier: Apache-2.0
"""A real Elasticsearch of any version of es_binaries.VERSIONS, and several as one cluster.

Each node owns directory `name` of the lab: `config`, `data`, `logs`, `tmp`. It listens on its
host's address, runs as the unprivileged user when we are root, looks at no disk watermark, and has
a search pool of a few threads and a short queue, so that a few searches saturate it. From 8 on a
node is two processes, launcher and server, in one process group. Times in seconds."""

import json
import os
import shutil
import signal
from pathlib import Path

from . import es_config
from .es_binaries import binaries
from .es_faults import Faults
from .es_security import Security
from .fetch import fetch
from .haproxy import process_state
from .host import LOCAL
from .process import LabError, free_ports, group_of, living_members, unprivileged_user, wait_until

START_SECONDS = 120.0


class Elasticsearch(Faults):
    """One node on `host`; alone, unless a Cluster makes it.

    version: one of es_binaries.VERSIONS. heap: as -Xmx takes it. collector: serial or g1. security:
    TLS, users and an API key (7.17 and later), see es_security. settings: {name: value} over those
    of es_config. ports: of HTTP and transport, by default free ones."""

    def __init__(
        self,
        lab,
        version="8.19",
        name="search",
        host=LOCAL,
        search_threads=2,
        search_queue=20,
        heap="256m",
        collector="serial",
        security=False,
        settings=None,
        ports=None,
    ):
        self.binaries = binaries(version)
        self.version = version
        self.number = self.binaries.number
        self.name = name
        self.host = host
        self.lab = lab
        self.user = unprivileged_user()
        self.search = (search_threads, search_queue)
        self.heap = heap
        self.collector = collector
        self.settings = dict(settings or {})
        self.directory = lab.directory(name, self.user)
        self.config = lab.directory(f"{name}/config", self.user)
        self.ports = list(ports or free_ports(2, host.address))
        self.cluster = "lab"
        self.seeds = []
        self.masters = []
        self.child = None
        self.security = None
        for one in ("data", "logs", "tmp"):
            lab.directory(f"{name}/{one}", self.user)
        if security:
            self.security = Security(self)

    # where it is

    @property
    def url(self):
        scheme = "https" if self.security else "http"
        return f"{scheme}://{self.host.address}:{self.ports[0]}"

    @property
    def transport(self):
        return f"{self.host.address}:{self.ports[1]}"

    # its files

    def write_config(self):
        """All files of `config`. Read at start()."""
        shutil.copytree(self.binaries.home / "config", self.config, dirs_exist_ok=True)
        values = es_config.settings(
            self.number,
            self.name,
            self.cluster,
            self.host.address,
            self.ports,
            self.search,
            self.seeds,
            self.masters,
        )
        values.update({f"path.{one}": str(self.directory / one) for one in ("data", "logs")})
        if self.security:
            values.update(self.security.write())
        values.update(self.settings)
        (self.config / "elasticsearch.yml").write_text(es_config.conf(values), encoding="utf-8")
        options = es_config.jvm_options(self.number, self.heap, self.collector, self.directory)
        (self.config / "jvm.options").write_text(options, encoding="utf-8")
        for path in (self.config, *self.config.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
            if self.user:
                shutil.chown(path, self.user, group_of(self.user))

    # its processes

    def start(self, ready=True, timeout=START_SECONDS):
        """Starts it; with `ready`, waits until it answers. Also after stop() and kill9()."""
        self.write_config()
        env = {**self.binaries.env(self.config), "ES_TMPDIR": str(self.directory / "tmp")}
        argv = self.binaries.argv(self.config)
        self.child = self.lab.spawn(self.name, argv, host=self.host, user=self.user, env=env)
        self.lab.on_close(self._close)
        return self.wait_ready(timeout) if ready else self

    def wait_ready(self, timeout=START_SECONDS):
        """Waits until it has a master, and so recovers its indices and takes requests."""
        try:
            wait_until(self.answers, timeout, f"{self.name} answers", interval=0.1)
        except LabError as error:
            raise LabError(f"{error}\n{self.child.tail()}") from None
        return self

    def answers(self):
        self.child.require_alive()
        return self.get("/_cluster/health?master_timeout=1s&timeout=1s", timeout=3).status == 200

    @property
    def running(self):
        return self.child is not None and self.child.alive

    def pids(self):
        """Its living processes: the server, from 8 on its launcher too."""
        return living_members(self.child.pid)

    def rss(self):
        """Resident bytes of its processes together."""
        kilobytes = 0
        for pid in self.pids():
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
            kilobytes += int(status.partition("VmRSS:")[2].split()[0])
        return kilobytes * 1024

    def sigstop(self):
        """Hangs it: the kernel still accepts connections, nobody answers."""
        os.killpg(self.child.pid, signal.SIGSTOP)
        wait_until(
            lambda: all(process_state(pid) == "T" for pid in self.pids()),
            what=f"{self.name} stopped",
        )

    def sigcont(self):
        if self.running:
            os.killpg(self.child.pid, signal.SIGCONT)

    def stop(self, timeout=30.0):
        """SIGTERM; it leaves its cluster. Exit code."""
        return self.child.stop(timeout)

    def kill9(self):
        """SIGKILL to all its processes; start() starts it again. Exit code."""
        code = self.child.kill()
        # A zombie's last threads may hold its sockets for a moment.
        wait_until(self._refuses, what=f"{self.name} refuses connections")
        return code

    def _refuses(self):
        try:
            self.connect(1).close()
        except ConnectionRefusedError:
            return True
        return False

    def _close(self):  # before the child's own end, which would wait for it
        self.child.kill()

    # requests

    def request(self, method, path, body=None, timeout=10.0, user=None):
        """The Response (status, text, json()) to a request from its host. body: text, or what JSON
        is made of. user: (name, password), by default the lab's own when it asks for one."""
        headers = self.headers(user)
        if body is not None and not isinstance(body, str):
            body = json.dumps(body)
        if body is not None and path.partition("?")[0].endswith("_bulk"):
            headers["Content-Type"] = "application/x-ndjson"
        tls = self.security.context if self.security else None
        data = body.encode() if body is not None else None
        return fetch(self.url + path, self.host, headers, timeout, method, data, tls)

    def headers(self, user=None):
        """Of every request, as request() takes `user`."""
        found = {"Content-Type": "application/json"}
        if self.security:
            found["Authorization"] = self.security.authorization(user)
        return found

    def connect(self, timeout=10.0):
        """A connection to its HTTP port, with TLS when it wants that."""
        made = self.host.connect((self.host.address, self.ports[0]), timeout)
        if self.security:
            made = self.security.context.wrap_socket(made, server_hostname=self.host.address)
        return made

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.request("POST", path, body, **more)

    def put(self, path, body=None, **more):
        return self.request("PUT", path, body, **more)

    def ask(self, method, path, body=None, **more):
        """The JSON of a request that must succeed; LabError."""
        response = self.request(method, path, body, **more)
        if response.status >= 300:
            raise LabError(f"{self.name}: {response.status} from {path}: {response.text[:500]}")
        return response.json()

    def health(self, **more):
        return self.ask("GET", "/_cluster/health?master_timeout=1s&timeout=1s", **more)

    def wait_health(self, predicate, what, timeout=30.0):
        """Polls the cluster's health until predicate(health); the health."""

        def asked():
            response = self.get("/_cluster/health?master_timeout=1s&timeout=1s", timeout=3)
            health = response.json()
            return health if response.status == 200 and predicate(health) else None

        return wait_until(asked, timeout, f"{self.name}: {what}", interval=0.1)

    def search_pool(self):
        """{node name: {threads, queue, active, rejected, ...}} of the search pools."""
        stats = self.ask("GET", "/_nodes/stats/thread_pool?timeout=2s")
        return {one["name"]: one["thread_pool"]["search"] for one in stats["nodes"].values()}

    def log(self):
        """What it has logged since its last start."""
        return self.child.out.read_text(encoding="utf-8", errors="replace")


class ElasticsearchCluster:
    """`nodes` nodes that may each be master and hold data: name1, name2, ... `more` is
    Elasticsearch's. Makes nothing run before start()."""

    def __init__(self, lab, version="8.19", nodes=3, name="search", hosts=None, **more):
        self.nodes = [
            Elasticsearch(lab, version, f"{name}{number}", host, **more)
            for number, host in enumerate(hosts or [LOCAL] * nodes, 1)
        ]
        for one in self.nodes:
            one.seeds = [other.transport for other in self.nodes]
            one.masters = [other.name for other in self.nodes]

    def start(self, timeout=START_SECONDS):
        """Starts all at once and waits until they are one cluster."""
        for one in self.nodes:
            one.start(ready=False)
        for one in self.nodes:
            one.wait_ready(timeout)
        count = len(self.nodes)
        for one in self.nodes:
            one.wait_health(lambda health: health["number_of_nodes"] == count, f"{count} nodes")
        return self

    def master(self):
        """The elected master, as one of its running nodes tells."""
        asked = next(one for one in self.nodes if one.running)
        name = asked.ask("GET", "/_cat/master?format=json")[0]["node"]
        return next(one for one in self.nodes if one.name == name)

    def others(self):
        """Its nodes without the master."""
        master = self.master()
        return [one for one in self.nodes if one is not master]
