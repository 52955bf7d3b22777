# SPDX-License-Identifier: Apache-2.0
"""The site of the incident. That its parts are joined is tested with a stand-in for
Elasticsearch; what happened that night, with a real one."""

import http.server
import threading
import unittest

from ..process import Lab, wait_until
from ..shop import QUEUE, VARIANTS, ShopSite
from ..web_record import queued
from .test_postgres import in_lab, or_skip

try:
    from ..elasticsearch import Elasticsearch
except ImportError:
    Elasticsearch = None


class StandInSearch(http.server.BaseHTTPRequestHandler):
    """Not Elasticsearch: finds nothing at once, and keeps what it was asked."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, body))
        reply = b'{"hits":{"hits":[]}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_):
        pass


def stand_in(test):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), StandInSearch)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    test.addCleanup(server.server_close)
    test.addCleanup(server.shutdown)
    return server


class Joined(unittest.TestCase):
    def test_every_variant(self):
        for variant in VARIANTS:
            with self.subTest(variant):
                self.check(variant)

    def check(self, variant):
        search = stand_in(self)
        url = f"http://127.0.0.1:{search.server_port}"
        site = or_skip(lambda: ShopSite(in_lab(self), variant, url))
        checked = any(b"match_all" in body for _, body in search.asked)
        self.assertEqual(checked, variant == "coupled")
        for path in ("/", "/healthcheck", "/search?q=a", "/search?q=amber", "/save?title=red"):
            self.assertEqual(site.get(path).status, 200, path)
        dear = [body.count(b"wildcard") for path, body in search.asked if "_search" in path]
        self.assertEqual(max(dear), 300)
        searched = sum("shop-search" in one.ask("/pool.xml").text for one in site.webs)
        self.assertEqual(searched > 0, variant == "remediated")

    def test_rolling_deploy(self):
        url = f"http://127.0.0.1:{stand_in(self).server_port}"
        site = or_skip(lambda: ShopSite(in_lab(self), "decoupled", url))
        before = [one.instance_dir() for one in site.webs]
        visitors = site.visitors(rate=20, seconds=60)
        wait_until(lambda: visitors.counts().answered > 0, what="visitors come")
        for state in ("drain", "maint"):
            site.deploy(state)
        counts = visitors.stop()
        self.assertEqual((set(counts.statuses), counts.errors), ({"200"}, {}))
        for one, directory in zip(site.webs, before):
            self.assertNotEqual(one.instance_dir(), directory)


class ThatNight(unittest.TestCase):
    """About a minute: a flood of searches for one letter."""

    @classmethod
    def setUpClass(cls):
        if Elasticsearch is None:
            raise unittest.SkipTest("elasticsearch 8.19: the lab has none")
        lab = Lab()
        cls.addClassCleanup(lab.close)
        cls.search = or_skip(lambda: Elasticsearch(lab).start())
        cls.search.fill(20_000)
        cls.clauses = cls.search.clauses_for(4)

    def site(self, variant):
        lab = in_lab(self)
        return or_skip(lambda: ShopSite(lab, variant, self.search, clauses=self.clauses))

    def test_coupled_site_goes_down(self):
        site = self.site("coupled")
        site.flood(rate=10, seconds=30)
        site.lb.wait_states("web", "DOWN", 60)
        self.assertEqual(site.get("/").status, 503)
        self.assertGreaterEqual(max(queued(one) for one in site.webs), QUEUE - 5)
        # As many searches as there are Passenger processes: too few to be rejected.
        self.assertEqual(self.search.search_pool()[self.search.name]["rejected"], 0)

    def test_remediated_site_stays(self):
        site = self.site("remediated")
        flood = site.flood(rate=10, seconds=15)
        wait_until(lambda: queued(site.webs[0]) > 0, 30, "searches wait")
        while flood.running:
            self.assertEqual(site.get("/").status, 200)
        self.assertEqual(set(site.lb.states().values()), {"UP"})
