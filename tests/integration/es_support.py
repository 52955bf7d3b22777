# SPDX-License-Identifier: Apache-2.0
"""What the tests on real Elasticsearch servers share: a class with a server, an agent that watches
it, and questions about what the agent shows."""

import unittest

from lab.process import Unavailable

from integration.support import WithLab, duration, relaxed

NAME = "search"
INTERVAL = 0.5
TIMEOUT = 1.0


def entry(url, **settings):
    """An entry of `elasticsearch:`, with a search probe of the products."""
    return {"name": NAME, "url": url, "probe": {"index": "products"}, **settings}


def only(*entries):
    """A configuration of these entries and nothing else."""
    off = {kind: [] for kind in ("haproxy", "postgres", "apache", "passenger")}
    return {**off, "host": {"enabled": False}, "elasticsearch": list(entries)}


def private_file(lab, name, text):
    """A file that lagwatch may read. Its path."""
    path = lab.dir / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)
    return str(path)


class WithElasticsearch(WithLab):
    """A lab whose servers `make(lab)` starts; left out by name where they cannot be had."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.server = cls.make(cls.lab)
        except Unavailable as error:
            raise unittest.SkipTest(str(error)) from None

    def watch(self, *entries, name="agent", **more):
        """A lagwatch on these entries."""
        more = {"interval": duration(INTERVAL), "timeout": duration(relaxed(TIMEOUT)), **more}
        return self.agent(name=name, elasticsearch=list(entries), **more)


def probe_count(samples):
    return samples.value("elasticsearch_probe_duration_seconds_count", target=NAME) or 0


def probe_slower(samples, bound):
    """Probes that took longer than `bound`, a bucket's `le`."""
    below = samples.value("elasticsearch_probe_duration_seconds_bucket", target=NAME, le=bound) or 0
    return probe_count(samples) - below


def pool(samples, what, node=None):
    """elasticsearch_thread_pool_WHAT_count of the search pool."""
    found = samples.select(f"elasticsearch_thread_pool_{what}_count", target=NAME, type="search")
    return next((value for labels, value in found if node in (None, labels["name"])), None)


def healthy(samples):
    """The server is up and the probe succeeds."""
    return (
        samples.value("elasticsearch_up", target=NAME) == 1
        and samples.value("elasticsearch_probe_success", target=NAME) == 1
        and samples.value("elasticsearch_node_stats_up", target=NAME) == 1
    )
