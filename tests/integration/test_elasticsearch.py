# SPDX-License-Identifier: Apache-2.0
"""A real Elasticsearch through everything that one node can suffer: searches that pile up and are
rejected, a read-only index, red, yellow, a frozen process, a killed one."""

import time

from lab.elasticsearch import Elasticsearch
from lab.process import free_ports

from integration.es_support import (
    INTERVAL,
    NAME,
    TIMEOUT,
    WithElasticsearch,
    entry,
    healthy,
    only,
    pool,
    probe_count,
    probe_slower,
)
from integration.support import Watch, cli, config_file, failing, failures, relaxed

DOCUMENTS = 20_000

BALANCER = """
defaults
  mode http
  timeout connect 1s
  timeout client 10s
  timeout server 10s
frontend search
  bind 127.0.0.1:{port}
  default_backend nodes
backend nodes
  option httpchk GET /
  server one {server} check inter 200ms fall 2 rise 1
"""


def balancer(lab, server):
    """An HAProxy before the server. Its URL."""
    port = free_ports(1)[0]
    path = lab.dir / "balancer.cfg"
    address = server.url.removeprefix("http://")
    path.write_text(BALANCER.format(port=port, server=address), encoding="utf-8")
    lab.spawn("balancer", ["haproxy", "-db", "-f", path])
    return f"http://127.0.0.1:{port}"


class OneNode(WithElasticsearch):
    """One node for all tests, in the order of their names; the last one kills it."""

    @staticmethod
    def make(lab):
        server = Elasticsearch(lab, "8.19", search_queue=10).start()
        server.fill(DOCUMENTS)
        return server

    def setUp(self):
        self.watcher = self.watch(entry(self.server.url))
        self.known = self.watcher.wait_metric(healthy, "the server is well", relaxed(15))

    def test_1_everything_is_there_and_nothing_is_invented(self):
        samples = self.watcher.wait_metric(
            lambda m: m.value("elasticsearch_indices_store_size_bytes", target=NAME)
            and m.value("elasticsearch_cluster_blocks", target=NAME) is not None
            and m.value("elasticsearch_http_route_duration_seconds_count", target=NAME),
            "the slower lanes have answered",
            relaxed(10),
        )
        self.assertEqual(samples.value("elasticsearch_indices_docs", target=NAME), DOCUMENTS)
        self.assertEqual(samples.value("elasticsearch_cluster_health_status", color="green"), 1)
        self.assertEqual(samples.value("elasticsearch_no_master", target=NAME), 0)
        self.assertEqual(samples.value("elasticsearch_nodes_expected", target=NAME), 1)
        self.assertEqual(samples.value("elasticsearch_nodes_stats_failed_nodes", target=NAME), 0)
        self.assertEqual(pool(samples, "threads"), 2)
        version = samples.select("elasticsearch_version", target=NAME)
        self.assertTrue(version[0][0]["version"].startswith("8.19."), version)
        # Missing in 8.x, where elasticsearch_exporter writes 0.
        self.assertIsNone(samples.value("elasticsearch_indices_store_throttle_time_seconds_total"))
        self.assertIsNone(samples.value("elasticsearch_search_tasks"), "nothing waits")
        self.assertEqual(failures(samples, NAME), 0)
        self.assertEqual(self.server.log().count("unrecognized"), 0)

    def test_2_searches_pile_up_and_each_sign_is_seen(self):
        before = self.known
        with self.server.saturated(waiting=6, each=1.5, seconds=60):
            samples = self.watcher.wait_metric(
                lambda m: (pool(m, "queue") or 0) > 0
                and pool(m, "active") == 2
                and (m.value("elasticsearch_search_tasks", target=NAME) or 0) > 2,
                "the pool is full, searches wait and are listed",
                relaxed(10),
            )
            oldest = samples.value("elasticsearch_search_tasks_oldest_seconds", target=NAME)
            self.watcher.wait_metric(
                lambda m: (m.value("elasticsearch_search_tasks_oldest_seconds", target=NAME) or 0)
                > oldest + 0.5
                and (m.value("elasticsearch_search_tasks_over_seconds", threshold="1") or 0) > 0,
                "the oldest search grows older",
                relaxed(15),
            )
            samples = self.watcher.wait_metric(
                lambda m: probe_slower(m, "1") > probe_slower(before, "1"),
                "probes wait behind them",
                relaxed(15),
            )
            self.assertEqual(samples.value("elasticsearch_up", target=NAME), 1)
            self.assertIsNone(failing(samples, NAME))
        self.watcher.wait_metric(
            lambda m: healthy(m)
            and pool(m, "queue") == 0
            and m.value("elasticsearch_search_tasks", target=NAME) is None,
            "nothing waits any more",
            relaxed(30),
        )

    def test_3_a_full_queue_rejects_the_probe_and_the_target_stays_up(self):
        threads, queue = self.server.search
        labels = {"target": NAME, "probe": "search"}
        with self.server.slow_searches(threads + queue + 20, each=1.0, seconds=40):
            samples = self.watcher.wait_metric(
                lambda m: m.value("elasticsearch_probe_failures_total", reason="rejected", **labels)
                and (pool(m, "rejected") or 0) > 0,
                "the probe is rejected",
                relaxed(30),
            )
        self.assertEqual(samples.value("elasticsearch_up", target=NAME), 1)
        self.assertIsNone(failing(samples, NAME))
        self.watcher.wait_metric(healthy, "it recovers", relaxed(40))

    def test_4_an_index_at_the_flood_stage_is_counted(self):
        with self.server.read_only():
            self.assertEqual(self.server.write().status, 429)
            samples = self.watcher.wait_metric(
                lambda m: m.value("elasticsearch_index_read_only", block="read_only_allow_delete"),
                "the index is seen to be read-only",
                relaxed(10),
            )
        self.assertEqual(samples.value("elasticsearch_cluster_read_only", target=NAME), 0)
        self.assertEqual(samples.value("elasticsearch_up", target=NAME), 1)

    def test_5_yellow_then_red_are_results(self):
        self.server.make_yellow()
        self.watcher.wait_metric(
            lambda m: m.value("elasticsearch_cluster_health_status", color="yellow") == 1,
            "it is yellow",
            relaxed(5),
        )
        index = self.server.make_red()
        samples = self.watcher.wait_metric(
            lambda m: m.value("elasticsearch_cluster_health_status", color="red") == 1,
            "it is red",
            relaxed(5),
        )
        self.assertGreater(samples.value("elasticsearch_cluster_health_unassigned_shards"), 0)
        self.assertTrue(healthy(samples), "searches of other indices go on")
        self.server.ask("DELETE", f"/{index}")

    def test_6_check_and_scrape_say_the_same(self):
        config = config_file(
            self.lab,
            only(
                {"name": "local", "url": self.server.url, "nodes": "local"},
                {"name": "gone", "url": self.server.url, "probe": {"index": "nowhere"}},
            ),
        )
        done = cli(self.lab, "check", "--live", f"--config.file={config}")
        self.assertEqual(done.code, 0, done.out + done.err)
        done = cli(self.lab, "scrape", f"--config.file={config}")
        self.assertEqual(done.code, 0, done.err)
        self.assertRegex(
            done.out, r'elasticsearch_probe_failures_total\{.*reason="index_missing"\} 1'
        )

    def test_7_a_frozen_process_is_hung_and_each_probe_is_observed(self):
        before = self.known
        self.server.sigstop()
        try:
            stopped = time.monotonic()
            with Watch(self.watcher) as watch:
                samples = self.watcher.wait_metric(
                    lambda m: failing(m, NAME), "it fails", relaxed(INTERVAL + TIMEOUT + 1.0), 0.05
                )
                seconds = time.monotonic() - stopped
                self.assertEqual(failing(samples, NAME), "hung")
                self.assertEqual(samples.value("elasticsearch_up", target=NAME), 0)
                samples = self.watcher.wait_metric(
                    lambda m: probe_slower(m, "1") >= probe_slower(before, "1") + 2
                    and m.value("elasticsearch_probe_success", target=NAME) == 0
                    and m.value("elasticsearch_cluster_health_up", target=NAME) == 0
                    and m.value("elasticsearch_node_stats_up", target=NAME) == 0,
                    "probes are observed above the timeout",
                    relaxed(8),
                )
            hung = samples.value("elasticsearch_probe_failures_total", target=NAME, reason="hung")
            self.assertGreaterEqual(hung, 2)
            self.assertGreater(probe_count(samples), probe_count(before))
            self.assertLess(watch.slowest, relaxed(0.75), "no scraper waited for it")
            self.assertLess(seconds, relaxed(INTERVAL + TIMEOUT + 1.0))
        finally:
            self.server.sigcont()
        self.watcher.wait_metric(
            lambda m: healthy(m) and failing(m, NAME) is None, "it is back", relaxed(20)
        )

    def test_8_killed_it_is_refused_and_a_refusal_is_no_fast_search(self):
        self.watcher.wait_metric(healthy, "it is well", relaxed(10))
        behind = self.watch(entry(balancer(self.lab, self.server)), name="behind")
        behind.wait_metric(healthy, "it is well through the load balancer", relaxed(10))
        self.server.kill9()
        samples = self.watcher.wait_metric(
            lambda m: failing(m, NAME) == "refused"
            and m.value("elasticsearch_probe_failures_total", target=NAME, reason="refused"),
            "it is refused",
            relaxed(5),
        )
        self.assertEqual(samples.value("elasticsearch_up", target=NAME), 0)
        after = self.watcher.wait_metric(
            lambda m: (
                m.value("elasticsearch_probe_failures_total", target=NAME, reason="refused") or 0
            )
            >= 4,
            "several probes are refused",
            relaxed(10),
        )
        self.assertEqual(probe_count(after), probe_count(samples))
        samples = behind.wait_metric(
            lambda m: m.value(
                "elasticsearch_probe_failures_total", target=NAME, reason="http_status"
            )
            and failing(m, NAME) == "http_status",
            "the load balancer says 503",
            relaxed(10),
        )
        self.assertEqual(samples.value("elasticsearch_up", target=NAME), 0)
