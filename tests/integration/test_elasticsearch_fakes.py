# SPDX-License-Identifier: Apache-2.0
"""What a real Elasticsearch cannot be made to answer: a page that says 200, half a body, a body that
stalls, numbers as texts, ten thousand closed clients. Recorded replies, spoilt."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from lab.process import wait_until

from integration.es_support import NAME, entry, probe_count
from integration.support import WithLab, duration, failing, relaxed

DATA = Path(__file__).resolve().parent.parent / "data" / "elasticsearch" / "8.19" / "idle"
PAGE = b"<html><body><h1>503 Service Unavailable</h1></body></html>"


def file_of(path):
    if path == "/":
        return "root.json"
    if path.startswith("/_cluster/health"):
        return "health.json"
    if "/_search" in path:
        return "probe.json"
    return "nodes.json" if "/_nodes/stats/indices,jvm" in path else "nodes_full.json"


class Replay(ThreadingHTTPServer):
    """Answers as recorded. spoil(path, body) gives (status, Content-Length, body) instead."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.spoil = None
        self.released = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def close(self):
        self.released.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        pass  # a client that gave up


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = (DATA / file_of(self.path)).read_bytes()
        status, length = 200, len(body)
        if self.server.spoil:
            status, length, body = self.server.spoil(self.path, body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        if length > len(body):
            self.server.released.wait(30)
            self.close_connection = True

    def log_message(self, *_):
        pass


class Fakes(WithLab):
    def setUp(self):
        self.fake = Replay()
        self.addCleanup(self.fake.close)

    def watch(self, spoil=None, probe=True):
        self.fake.spoil = spoil
        one = entry(self.fake.url)
        if not probe:
            del one["probe"]
        return self.agent(elasticsearch=[one], interval="200ms", timeout=duration(relaxed(0.6)))

    def fails(self, spoil, reason):
        watcher = self.watch(spoil)
        samples = watcher.wait_metric(lambda m: failing(m, NAME), "it fails", relaxed(5))
        self.assertEqual(failing(samples, NAME), reason, watcher.log()[-800:])
        return watcher

    def test_the_recorded_server_is_well(self):
        watcher = self.watch()
        samples = watcher.wait_metric(
            lambda m: m.value("elasticsearch_probe_success", target=NAME) == 1
            and m.value("elasticsearch_node_stats_up", target=NAME) == 1,
            "it is well",
            relaxed(5),
        )
        self.assertEqual(samples.value("elasticsearch_indices_docs", target=NAME), 20_000)

    def test_a_page_of_a_load_balancer(self):
        self.fails(lambda path, body: (503, len(PAGE), PAGE), "http_status")

    def test_a_page_that_says_200(self):
        watcher = self.fails(lambda path, body: (200, len(PAGE), PAGE), "protocol")
        samples = watcher.wait_metric(
            lambda m: m.value("elasticsearch_cluster_health_json_parse_failures", target=NAME),
            "it is counted",
            relaxed(5),
        )
        self.assertEqual(samples.value("elasticsearch_up", target=NAME), 0)

    def test_half_a_body_that_is_said_to_be_whole(self):
        self.fails(lambda path, body: (200, len(body) // 2, body[: len(body) // 2]), "protocol")

    def test_a_body_that_stalls(self):
        watcher = self.fails(lambda path, body: (200, len(body), body[: len(body) // 2]), "stalled")
        samples = watcher.wait_metric(
            lambda m: probe_count(m) > 0
            and m.value("elasticsearch_probe_failures_total", target=NAME, reason="stalled"),
            "the probe stalls too",
            relaxed(5),
        )
        self.assertEqual(
            samples.value("elasticsearch_probe_duration_seconds_bucket", target=NAME, le="0.5"), 0
        )

    def test_only_the_nodes_stall(self):
        def spoil(path, body):
            half = body[: len(body) // 2] if path.startswith("/_nodes") else body
            return 200, len(body), half

        watcher = self.watch(spoil)
        samples = watcher.wait_metric(
            lambda m: m.value("elasticsearch_node_stats_up", target=NAME) == 0
            and m.value("elasticsearch_cluster_health_up", target=NAME) == 1,
            "health stands alone",
            relaxed(8),
        )
        self.assertIsNone(failing(samples, NAME))
        self.assertEqual(samples.value("elasticsearch_up", target=NAME), 1)
        self.assertIn("answers in part", watcher.log())

    def test_numbers_as_texts_and_ten_thousand_clients(self):
        def spoil(path, body):
            if file_of(path) not in ("nodes.json", "nodes_full.json"):
                return 200, len(body), body
            answer = json.loads(body)
            (node,) = answer["nodes"].values()
            node["indices"]["docs"]["count"] = str(node["indices"]["docs"]["count"])
            client = {"id": 1, "agent": "faraday", "last_uri": "/products/_search", "x": [0] * 20}
            node["http"]["clients"] = [client] * 10_000
            spoilt = json.dumps(answer).encode()
            return 200, len(spoilt), spoilt

        watcher = self.watch(spoil, probe=False)
        samples = watcher.wait_metric(
            lambda m: m.value("elasticsearch_node_stats_up", target=NAME) == 1, "read", relaxed(8)
        )
        self.assertIsNone(samples.value("elasticsearch_indices_docs", target=NAME))
        self.assertIsNotNone(samples.value("elasticsearch_http_current_open", target=NAME))
        self.assertIsNone(samples.value("elasticsearch_probe_success", target=NAME))
        before = watcher.cpu_seconds()
        asked = samples.value("elasticsearch_node_stats_total_scrapes", target=NAME)
        samples = watcher.wait_metric(
            lambda m: m.value("elasticsearch_node_stats_total_scrapes", target=NAME) >= asked + 5,
            "five more",
            relaxed(15),
        )
        each = (watcher.cpu_seconds() - before) / 5
        self.assertLess(each, relaxed(0.3), "CPU of an answer of more than a megabyte")
        wait_until(lambda: watcher.memory().rss < 64 << 20 or relaxed(1) > 1, 10, "it stays small")
