# SPDX-License-Identifier: Apache-2.0
"""Three nodes: one freezes, dies, and then another, so that the last one has no master."""

from lab.elasticsearch import ElasticsearchCluster
from lab.process import wait_until

from integration.es_support import NAME, WithElasticsearch, entry, healthy, pool
from integration.support import failing, relaxed


class ThreeNodes(WithElasticsearch):
    """The agent asks the master, which stays. The tests go on from each other."""

    @staticmethod
    def make(lab):
        cluster = ElasticsearchCluster(lab, "8.19", name="node").start()
        for one in cluster.nodes:  # it may answer before its state is recovered
            master = "/_cat/master?format=json"
            wait_until(lambda one=one: one.get(master).status == 200, 30, f"{one.name} knows it")
        server = cluster.master()
        server.fill(1000, replicas=2)
        server.wait_health(lambda health: health["status"] == "green", "the cluster is green")
        return cluster

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.master = cls.server.master()
        cls.lost, cls.other = cls.server.others()

    def setUp(self):
        self.watcher = self.watch(entry(self.master.url))

    def test_1_three_nodes_then_one_frozen_then_gone(self):
        samples = self.watcher.wait_metric(
            lambda m: healthy(m)
            and m.value("elasticsearch_cluster_health_number_of_nodes", target=NAME) == 3,
            "three nodes",
            relaxed(15),
        )
        for one in (self.master, self.lost, self.other):
            self.assertIsNotNone(pool(samples, "queue", one.name), one.name)
        self.assertEqual(samples.value("elasticsearch_nodes_stats_failed_nodes", target=NAME), 0)

        self.lost.sigstop()
        samples = self.watcher.wait_metric(
            lambda m: m.value("elasticsearch_nodes_stats_failed_nodes", target=NAME) == 1,
            "a frozen node gives no statistics",
            relaxed(10),
        )
        self.assertEqual(samples.value("elasticsearch_up", target=NAME), 1)
        self.assertIsNone(failing(samples, NAME))
        self.assertIsNone(pool(samples, "queue", self.lost.name), "of it nothing is shown")
        self.assertIsNotNone(pool(samples, "queue", self.other.name), "the others are")

        self.lost.kill9()
        samples = self.watcher.wait_metric(
            lambda m: m.value("elasticsearch_cluster_health_number_of_nodes", target=NAME) == 2,
            "a node is gone",
            relaxed(30),
        )
        self.assertEqual(samples.value("elasticsearch_nodes_expected", target=NAME), 3)
        self.watcher.wait_metric(
            lambda m: m.value("elasticsearch_cluster_health_status", color="yellow") == 1,
            "it is yellow",
            relaxed(20),
        )

        self.other.kill9()
        samples = self.watcher.wait_metric(
            lambda m: m.value("elasticsearch_no_master", target=NAME) == 1,
            "it has no master",
            relaxed(40),
        )
        self.assertEqual(samples.value("elasticsearch_nodes_expected", target=NAME), 3)
        samples = self.watcher.wait_metric(
            lambda m: m.value("elasticsearch_refused", target=NAME, reason="no_master") == 1
            and pool(m, "queue", self.master.name) is not None
            and m.value("elasticsearch_cluster_health_up", target=NAME) == 0
            and m.value("elasticsearch_up", target=NAME) == 1,
            "what does not need a master is still shown",
            relaxed(20),
        )
        self.assertIsNone(samples.value("elasticsearch_cluster_health_number_of_nodes"))
        self.watcher.wait_metric(
            lambda m: (m.value("elasticsearch_cluster_blocks", target=NAME) or 0) > 0,
            "the block is seen",
            relaxed(10),
        )
