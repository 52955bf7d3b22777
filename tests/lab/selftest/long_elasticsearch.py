# SPDX-License-Identifier: Apache-2.0
"""Real Elasticsearch servers: every version, a cluster, and what can be done to them."""

import unittest
from unittest import mock

from .. import es_binaries
from ..elasticsearch import Elasticsearch, ElasticsearchCluster
from ..es_binaries import VERSIONS
from ..fetch import fetch
from ..haproxy import process_state
from ..process import Lab, Unavailable, unprivileged_user, wait_until
from .support import in_lab, or_skip

DOCUMENTS = 5_000
PROBE = "/products/_search?size=0&request_cache=false&timeout=1s"


class EveryVersion(unittest.TestCase):
    """test_5_6 and so on: starts, answers, takes documents, finds them."""

    def check(self, version):
        server = or_skip(lambda: Elasticsearch(in_lab(self), version).start())
        root = server.ask("GET", "/")
        self.assertEqual(root["version"]["number"], server.binaries.full_version)
        self.assertEqual((root["name"], root["cluster_name"]), ("search", "lab"))
        self.assertEqual(server.fill(1000), 1000)
        self.assertEqual(server.health()["status"], "green")
        pool = server.search_pool()["search"]
        self.assertLessEqual(pool["threads"], 2)
        self.assertEqual((pool["queue"], pool["rejected"]), (0, 0))
        self.assertGreater(server.one_search(5), 0)
        self.assertLess(server.write().status, 300)


for one in VERSIONS:
    setattr(
        EveryVersion,
        f"test_{one.replace('.', '_')}",
        lambda self, version=one: self.check(version),
    )


class OneNode(unittest.TestCase):
    """One server for all of them: each test leaves it as it was."""

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab()
        cls.addClassCleanup(cls.lab.close)
        cls.server = or_skip(lambda: Elasticsearch(cls.lab).start())
        cls.server.fill(DOCUMENTS)

    def test_is_unprivileged_and_one_process_group(self):
        user = unprivileged_user()
        pids = self.server.pids()
        self.assertEqual(len(pids), 2)  # launcher and server
        self.assertGreater(self.server.rss(), 200 << 20)
        if user:
            owners = {(self.lab.dir / "search" / "data").owner()}
            self.assertEqual(owners, {user})

    def test_more_clauses_cost_more(self):
        self.server.one_search(50)
        few = min(self.server.one_search(10) for _ in range(3))
        many = min(self.server.one_search(200) for _ in range(3))
        self.assertGreater(many, 3 * few)

    def test_searches_wait_and_are_rejected(self):
        server = self.server
        with server.saturated(waiting=6, each=1.0) as searches:
            pool = server.search_pool()["search"]
            self.assertEqual(pool["active"], 2)
            probe = server.get(PROBE, timeout=60)
            self.assertEqual(probe.status, 200)
            self.assertGreater(probe.seconds, 0.3)  # it waited its turn
            self.assertLess(server.get("/").seconds, probe.seconds)
        self.assertNotIn(429, searches.stop())
        clauses = searches.clauses
        with server.slow_searches(40, clauses=clauses, seconds=30) as searches:
            server.wait_search_pool(active=2, queue=10, rejected=1)
            wait_until(lambda: 429 in searches.statuses, what="a client is rejected")
        wait_until(lambda: server.search_pool()["search"]["active"] == 0, 60, "all have ended")

    def test_hung(self):
        server = self.server
        server.sigstop()
        self.assertEqual({process_state(pid) for pid in server.pids()}, {"T"})
        with self.assertRaises(TimeoutError):
            server.get("/", timeout=0.5)
        server.sigcont()
        wait_until(lambda: server.get("/", timeout=1).status == 200, what="it goes on")

    def test_read_only(self):
        with self.server.read_only():
            reply = self.server.write()
            self.assertIn(reply.status, (403, 429))
            self.assertIn("cluster_block_exception", reply.text)
            self.assertEqual(self.server.get(PROBE).status, 200)
        self.assertLess(self.server.write().status, 300)

    def test_red_and_yellow(self):
        index = self.server.make_red()
        self.assertEqual(self.server.health()["unassigned_shards"], 1)
        self.server.ask("DELETE", f"/{index}")
        self.server.make_yellow()
        self.server.ask("PUT", "/products/_settings", {"index.number_of_replicas": 0})
        self.server.wait_health(lambda health: health["status"] == "green", "it is green")


class Restarted(unittest.TestCase):
    def test_killed_and_started_again(self):
        server = or_skip(lambda: Elasticsearch(in_lab(self)).start())
        server.fill(100)
        server.kill9()
        self.assertEqual(server.pids(), [])
        with self.assertRaises(ConnectionRefusedError):
            server.get("/")
        server.start()
        server.wait_health(lambda health: health["active_shards"] == 1, "its index is back")
        self.assertEqual(server.ask("GET", "/products/_count")["count"], 100)
        self.assertIn(server.stop(), (0, 143))


class Secured(unittest.TestCase):
    def test_tls_passwords_and_api_key(self):
        server = or_skip(lambda: Elasticsearch(in_lab(self), security=True).start())
        server.fill(10)
        security = server.security
        me = (security.user, security.password)
        self.assertEqual(server.get("/", user=me).status, 200)
        self.assertEqual(server.get("/", user=(security.user, "wrong")).status, 401)
        headers = {"Authorization": f"ApiKey {security.api_key()}"}
        for who in (headers, {"Authorization": security.authorization(me)}):
            for path, status in (
                ("/_cluster/health", 200),
                ("/_nodes/stats/jvm", 200),
                ("/_tasks?actions=*search*", 200),
                (PROBE, 200),
                ("/_security/user", 403),
                ("/other/_search", 403),
            ):
                reply = fetch(server.url + path, headers=who, tls=security.context)
                self.assertEqual((path, reply.status), (path, status), reply.text)


class Cluster(unittest.TestCase):
    def test_lost_node_and_no_master(self):
        cluster = or_skip(lambda: ElasticsearchCluster(in_lab(self)).start())
        server = cluster.master()
        server.fill(100, replicas=1)
        server.wait_health(lambda health: health["status"] == "green", "a replica is made")
        hung, other = cluster.others()
        hung.sigstop()
        stats = server.ask("GET", "/_nodes/stats/jvm?timeout=1s")
        self.assertEqual(stats["_nodes"]["failed"], 1)
        hung.kill9()
        server.wait_health(lambda health: health["number_of_nodes"] == 2, "a node is lost")
        other.kill9()
        path = "/_cluster/health?master_timeout=1s&timeout=1s"
        wait_until(lambda: server.get(path).status == 503, 30, "it has no master")
        self.assertIn("master_not_discovered_exception", server.get(path).text)
        self.assertEqual(server.get("/").status, 200)


class Fetching(unittest.TestCase):
    def test_no_java(self):
        with mock.patch.object(es_binaries, "JAVA_HOMES", in_lab(self).dir):
            with self.assertRaisesRegex(Unavailable, "^elasticsearch 9.1: no JDK from 21 to 25"):
                es_binaries.java_home("elasticsearch 9.1", 21, 25)

    def test_unknown_version(self):
        with self.assertRaisesRegex(Unavailable, "^elasticsearch 4.2: the lab has only 2.4,"):
            es_binaries.binaries("4.2")
