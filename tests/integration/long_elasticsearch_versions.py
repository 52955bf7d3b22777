# SPDX-License-Identifier: Apache-2.0
"""lagwatch on a real Elasticsearch of every version that the lab can have."""

import unittest

from lab.elasticsearch import Elasticsearch
from lab.es_binaries import VERSIONS
from lab.process import Unavailable

from integration.es_support import NAME, entry, healthy, pool
from integration.support import WithLab, failing, relaxed

# Said by every version since 2.4.
EVERYWHERE = (
    "elasticsearch_cluster_health_number_of_nodes",
    "elasticsearch_indices_search_query_total",
    "elasticsearch_search_active_queries",
    "elasticsearch_http_current_open",
    "elasticsearch_jvm_memory_used_bytes",
    "elasticsearch_breakers_tripped",
    "elasticsearch_process_open_files_count",
)


class EveryVersion(WithLab):
    """test_2_4 and so on."""

    def check(self, version):
        try:
            server = Elasticsearch(self.lab, version, name=f"es{version}").start()
        except Unavailable as error:
            raise unittest.SkipTest(str(error)) from None
        self.addCleanup(server.stop)
        server.fill(1000)
        agent = self.agent(elasticsearch=[entry(server.url)], interval="500ms", name=version)
        samples = agent.wait_metric(healthy, "all of it is well", relaxed(15))
        self.assertEqual(failing(samples, NAME), None)
        self.assertEqual(samples.select("lagwatch_target_limited", target=NAME), [])
        self.assertGreaterEqual(pool(samples, "threads"), 0)
        for name in EVERYWHERE:
            self.assertTrue(samples.select(name, target=NAME), name)


for one in VERSIONS:
    setattr(
        EveryVersion,
        f"test_{one.replace('.', '_')}",
        lambda self, version=one: self.check(version),
    )
