# SPDX-License-Identifier: Apache-2.0
"""The night of the incident on a real site: a shop behind HAProxy whose health check asks
Elasticsearch, and what a lagwatch that nobody favours shows of it while it happens. How it is told
in one page is the suite `incident`."""

import threading
import time
import unittest

from lab.agent import target
from lab.elasticsearch import Elasticsearch
from lab.fetch import fetch
from lab.process import Unavailable
from lab.shop import ShopSite

from integration.support import WithLab, duration, relaxed

INTERVAL = 1.0
TIMEOUT = 1.0
SEARCHES = 30
ROUTES = [{"name": "search", "match": "^/search", "query_param": "q", "short_below": 3}]


class TheNight(WithLab):
    """One shop of two web servers, its health check coupled to Elasticsearch."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.search = Elasticsearch(cls.lab).start()
            cls.search.fill()
            cls.shop = ShopSite(cls.lab, "coupled", cls.search)
        except Unavailable as error:
            raise unittest.SkipTest(str(error)) from None

    def watch(self):
        return self.agent(
            [target(self.shop.lb.name, self.shop.lb.user_socket)],
            interval=duration(INTERVAL),
            timeout=duration(TIMEOUT),
            routes=ROUTES,
            passenger=[web.entry() for web in self.shop.webs],
            elasticsearch=[
                {"name": "search", "url": self.search.url, "probe": {"index": "products"}}
            ],
            probes=[
                {"name": web.name + "-health", "url": web.url() + "/healthcheck"}
                for web in self.shop.webs
            ],
        )

    def send_searches(self):
        """One-letter searches, which end by themselves."""

        def visit(number):
            try:
                fetch(f"{self.shop.url}/search?q={'aeinrst'[number % 7]}&token=SECRET", timeout=60)
            except OSError:
                pass  # the queue is full, or the site is ended

        for number in range(SEARCHES):
            threading.Thread(target=visit, args=(number,), daemon=True).start()

    def test_1_slow_searches_are_seen_by_route_with_counts_and_age(self):
        agent = self.watch()

        def piled_up(samples):
            inflight = samples.total("passenger_requests_in_flight", route="search") or 0
            short = samples.total("passenger_short_query_requests", route="search") or 0
            ages = samples.select("passenger_oldest_request_age_seconds", route="search")
            return inflight >= SEARCHES / 2 and short >= SEARCHES / 2 and max(
                (value for _, value in ages), default=0
            ) > 0.5

        self.send_searches()
        started = time.monotonic()
        agent.wait_metric(piled_up, "searches in flight by route", relaxed(4 * INTERVAL + TIMEOUT))
        self.assertLess(time.monotonic() - started, relaxed(2 * INTERVAL + TIMEOUT + 1))
        reply = agent.fetch("/api/v1/inflight").text
        self.assertIn('"route":"search"', reply)
        for text in (reply, agent.fetch("/metrics").text, agent.child.log_text()):
            self.assertNotIn("SECRET", text)
        agent.wait_metric(
            lambda samples: samples.total("passenger_requests_in_flight", route="search") == 0,
            "the searches end",
            relaxed(60),
        )

    def test_2_frozen_search_is_hung_and_takes_every_server_with_it(self):
        agent = self.watch()
        agent.wait_metric(
            lambda samples: samples.value("elasticsearch_probe_success", target="search") == 1,
            "a search succeeds",
            relaxed(20),
        )
        self.shop.wait_up()
        self.search.sigstop()
        self.addCleanup(self.search.sigcont)
        agent.wait_metric(
            lambda samples: samples.value(
                "lagwatch_target_failing", kind="elasticsearch", target="search", reason="hung"
            )
            == 1,
            "Elasticsearch is hung",
            relaxed(INTERVAL + TIMEOUT + 1),
        )

        def all_lost(samples):
            own = {"target": self.shop.lb.name, "proxy": "web"}
            lost = samples.value("haproxy_backend_servers_lost", **own)
            shared = samples.select("haproxy_backend_servers_lost_reason", **own)
            return lost == 2 and any(value == 2 for _, value in shared)

        samples = agent.wait_metric(all_lost, "both servers are lost for one reason", relaxed(30))
        for web in self.shop.webs:
            self.assertEqual(samples.value("probe_success", target=f"{web.name}-health"), 0)
        self.assertEqual(samples.value("passenger_up", target="web1"), 1)
