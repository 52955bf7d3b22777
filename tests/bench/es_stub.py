# SPDX-License-Identifier: Apache-2.0
"""An Elasticsearch of any number of nodes that only answers: what the lab recorded of real nodes of
7.17, each as often as it takes, under other ids, names and addresses.

Applies filter_path as the server does, and compresses for who asks for it. Runs in threads of the
bench. Sizes in bytes."""

import base64
import gzip
import hashlib
import json
import threading
from collections import Counter
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

DATA = Path(__file__).resolve().parent.parent / "data" / "elasticsearch" / "7.17"
CASES = ("three", "idle", "readonly")  # no search waits: what is asked of those that wait is apart
FULL_METRICS = "indices,os,process,jvm,thread_pool,fs,transport,http,breaker"
GZIP_LEVEL = 3  # the server's own default


def recorded(case, file):
    return json.loads((DATA / case / file).read_text(encoding="utf-8"))


def joined(first, second):
    """Two answers about the same thing as one: `second` adds what `first` lacks."""
    if not isinstance(first, dict) or not isinstance(second, dict):
        return first
    out = dict(first)
    for key, part in second.items():
        out[key] = joined(first[key], part) if key in first else part
    return out


def filtered(value, paths):
    """What of `value` the patterns of a filter_path (lists of words) select; None: nothing."""
    if any(not path for path in paths):
        return value
    if isinstance(value, list):
        return [one for part in value if (one := filtered(part, paths)) is not None] or None
    if not isinstance(value, dict):
        return None
    out = {}
    for key, part in value.items():
        deeper = [path[1:] for path in paths if fnmatchcase(key, path[0])]
        if deeper and (found := filtered(part, deeper)) is not None:
            out[key] = found
    return out or None


def node_stats(count):
    """The whole answer to /_nodes/stats of so many nodes."""
    known = []
    for case in CASES:
        whole = recorded(case, "nodes_full.json")["nodes"]
        more = recorded(case, "nodes.json")["nodes"]
        known += [joined(whole[one], more[one]) for one in whole]
    nodes = {}
    for number in range(count):
        digest = hashlib.sha256(str(number).encode()).digest()
        host = f"10.0.{number // 250}.{number % 250 + 1}"
        nodes[base64.urlsafe_b64encode(digest).decode()[:22]] = {
            **known[number % len(known)],
            "name": f"node{number + 1}",
            "host": host,
            "ip": f"{host}:9300",
            "transport_address": f"{host}:9300",
        }
    counts = {"total": count, "successful": count, "failed": 0}
    return {"_nodes": counts, "cluster_name": "lab", "nodes": nodes}


class Stub:
    """Listens when the constructor returns, until close()."""

    def __init__(self, nodes):
        health = recorded("three", "health.json")
        self._stats = node_stats(nodes)
        self._answers = {
            "/": recorded("three", "root.json"),
            "/_cluster/health": {
                **health,
                "number_of_nodes": nodes,
                "number_of_data_nodes": nodes,
            },
            "/_cluster/state/blocks": {"cluster_name": "lab", "blocks": {}},
            "/_tasks": {},
        }
        self._bodies = {}  # {(path, gzip): bytes}
        self._lock = threading.Lock()
        self._asked = Counter()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def asked(self):
        """How often so far: Counter of kind_of()."""
        with self._lock:
            return self._asked.copy()

    def size(self, kind):
        """Of the largest body that was sent for that kind of question, before compression."""
        sizes = [
            len(body)
            for (path, packed), body in self._bodies.items()
            if not packed and kind_of(path) == kind
        ]
        return max(sizes, default=0)

    def body(self, path, packed):
        """The answer to GET `path`; None: there is no such thing."""
        with self._lock:
            self._asked[kind_of(path)] += 1
            if (path, False) not in self._bodies:
                value = self._value(path)
                if value is None:
                    return None
                text = json.dumps(value, separators=(",", ":")).encode()
                self._bodies[path, False] = text
                self._bodies[path, True] = gzip.compress(text, GZIP_LEVEL)
            return self._bodies[path, packed]

    def _value(self, path):
        parts = urlsplit(path)
        if parts.path.startswith("/_nodes/stats"):
            value = self._stats
        else:
            value = self._answers.get(parts.path)
        wanted = parse_qs(parts.query).get("filter_path")
        if value is None or not wanted:
            return value
        paths = [one.split(".") for one in wanted[0].split(",") if one]
        return filtered(value, paths) or {}

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def kind_of(path):
    """Whether a question is of lagwatch's main lane (health, main), of everything about nodes
    (full), or another."""
    if path.startswith("/_cluster/health"):
        return "health"
    if not path.startswith("/_nodes/stats"):
        return "other"
    if "filter_path=" not in path:
        return "full"
    return "main" if "/search," in path else "detail"


def handler(stub):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_GET(self):
            packed = "gzip" in self.headers.get("Accept-Encoding", "")
            body = stub.body(self.path, packed)
            self.send_response(404 if body is None else 200)
            body = body if body is not None else b"{}"
            self.send_header("X-elastic-product", "Elasticsearch")
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            if packed and body != b"{}":
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler
