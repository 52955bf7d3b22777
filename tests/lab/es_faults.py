# SPDX-License-Identifier: Apache-2.0
"""What tests do to an Elasticsearch: documents, searches that are slow because they really cost,
indices that nothing can be written to or that have no shard. Times in seconds."""

import contextlib
import http.client
import json
import socket
import threading
import time

from . import es_config
from .es_config import INDEX
from .process import LabError, wait_until

SEARCH = f"/{INDEX}/_search?request_cache=false"
MOST_CLAUSES = 500  # more need more heap: a pattern takes some 100 kB
MOST_SECONDS = 300.0


class SlowSearches:
    """`count` clients that each ask the same one-character search again and again, for at most
    `seconds`. A context manager. statuses: {HTTP status: answers}; what a client gave up is
    counted under "timeout", a broken connection under "error". bodies: {status: the last one}."""

    def __init__(self, server, count, clauses, seconds, timeout):
        self.statuses = {}
        self.bodies = {}
        self.clauses = clauses
        self.longest = 0.0  # of an answer with 200
        self._server = server
        self._timeout = timeout
        self._body = json.dumps(es_config.one_character("a", clauses))
        self._end = threading.Event()
        self._until = time.monotonic() + min(seconds, MOST_SECONDS)
        self._lock = threading.Lock()
        self._open = set()  # connections
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]
        for one in self._threads:
            one.start()
        server.lab.on_close(self.stop)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _ask(self):
        """Status and body of one search, on a connection that stop() can break."""
        server = self._server
        connection = http.client.HTTPConnection(server.host.address, server.ports[0])
        connection.sock = own = server.connect(self._timeout)
        try:
            with self._lock:
                self._open.add(own)
            connection.request("POST", SEARCH, self._body, server.headers())
            reply = connection.getresponse()
            return reply.status, reply.read().decode()
        finally:
            with self._lock:
                self._open.discard(own)
            connection.close()

    def _run(self):
        while not self._end.is_set() and time.monotonic() < self._until:
            started = time.monotonic()
            try:
                status, body = self._ask()
            except TimeoutError:
                status, body = "timeout", ""
            except (OSError, http.client.HTTPException) as error:
                if self._end.is_set():
                    return
                status, body = "error", repr(error)
            seconds = time.monotonic() - started
            with self._lock:
                self.bodies[status] = body
                self.statuses[status] = self.statuses.get(status, 0) + 1
                if status == 200:
                    self.longest = max(self.longest, seconds)
            if status != 200:
                self._end.wait(0.05)  # a rejected client does not spin

    def stop(self):
        """All clients leave: from 7.4 on the server gives their searches up, before it works on
        for nobody. The statuses."""
        self._end.set()
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        for one in self._threads:
            one.join(self._timeout)
        return dict(self.statuses)


class Faults:
    """What tests do to an Elasticsearch (any node of a cluster does)."""

    def fill(self, documents=50_000, replicas=0, seed=1):
        """Makes the index of products, with so many of them in one shard and one segment; the
        count as the server says."""
        self.ask("PUT", f"/{INDEX}", es_config.index(self.number, replicas), timeout=60)
        path = f"/{INDEX}/_bulk" if self.number >= 700 else f"/{INDEX}/product/_bulk"
        for body in es_config.products(documents, seed):
            if self.ask("POST", path, body, timeout=60)["errors"]:
                raise LabError(f"{self.name}: not all products were taken")
        self.ask("POST", f"/{INDEX}/_forcemerge?max_num_segments=1", timeout=60)
        self.ask("POST", f"/{INDEX}/_refresh", timeout=60)
        return self.ask("GET", f"/{INDEX}/_count", timeout=60)["count"]

    def one_search(self, clauses=1, letter="a", timeout=60.0):
        """Seconds that one such search takes on this server now."""
        body = es_config.one_character(letter, clauses)
        started = time.monotonic()
        self.ask("POST", SEARCH, body, timeout=timeout)
        return time.monotonic() - started

    def clauses_for(self, seconds):
        """How many clauses make a search of about so long while the server has nothing else to
        do, measured with two others."""
        self.one_search(50)  # the code is compiled, the terms are in memory
        few = self.one_search(50)
        each = max((self.one_search(150) - few) / 100, 0.0001)
        return max(1, min(MOST_CLAUSES, round(seconds / each)))

    def slow_searches(self, count, each=2.0, seconds=60.0, clauses=None, timeout=60.0):
        """SlowSearches of `count` clients, each search about `each` long on an idle server (or
        with so many clauses). More clients than threads and queue are rejected."""
        return SlowSearches(self, count, clauses or self.clauses_for(each), seconds, timeout)

    @contextlib.contextmanager
    def saturated(self, waiting=None, each=2.0, seconds=60.0):
        """All threads of the search pool are busy and `waiting` searches (half its queue) wait.
        Gives the SlowSearches."""
        threads, queue = self.search
        waiting = queue // 2 if waiting is None else waiting
        with self.slow_searches(threads + waiting, each, seconds) as searches:
            self.wait_search_pool(active=threads, queue=max(1, waiting - threads))
            yield searches

    def wait_search_pool(self, active=0, queue=0, rejected=0, timeout=20.0):
        """Waits until this node's search pool has at least so many; the pool."""

        def asked():
            pool = self.search_pool()[self.name]
            enough = pool["active"] >= active and pool["queue"] >= queue
            return pool if enough and pool["rejected"] >= rejected else None

        return wait_until(asked, timeout, f"{self.name}: {queue} searches wait")

    @contextlib.contextmanager
    def read_only(self):
        """The index takes no writes, by the block that is set at the flood stage of a disk."""
        block = "index.blocks.read_only" + ("_allow_delete" if self.number >= 600 else "")
        self.ask("PUT", f"/{INDEX}/_settings", {block: True})
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # the server may be gone
                self.put(f"/{INDEX}/_settings", {block: False})

    def write(self, timeout=10.0):
        """The Response to one product that is written."""
        kind = "_doc" if self.number >= 700 else "product"
        return self.put(f"/{INDEX}/{kind}/1", {"name": "one more", "price": 100}, timeout=timeout)

    def make_red(self, index="orphans"):
        """Makes an index whose primary may be on no node, and waits for red. Its name."""
        away = {"index.routing.allocation.require._name": "nowhere"}
        body = es_config.index(self.number, 0, away)
        self.ask("PUT", f"/{index}?wait_for_active_shards=0", body)
        self.wait_health(lambda health: health["status"] == "red", "the cluster is red")
        return index

    def make_yellow(self):
        """Wants a replica of the products, which a node alone cannot have."""
        self.ask("PUT", f"/{INDEX}/_settings", {"index.number_of_replicas": 1})
        self.wait_health(lambda health: health["status"] == "yellow", "the cluster is yellow")
