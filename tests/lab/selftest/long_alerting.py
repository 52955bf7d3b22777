# SPDX-License-Identifier: Apache-2.0
"""The way from a scraped sample to a page, by a real Prometheus and Alertmanager."""

import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ..agent import SOURCE_DIRECTORY
from ..alertmanager import Alertmanager, Receiver
from ..process import Lab, Unavailable, wait_until
from ..prometheus import Prometheus

RULES = SOURCE_DIRECTORY / "rules"
CHECK = 'haproxy_server_check_status{target="lb1",proxy="web",server="%s",state="%s"}'
WELL = {
    'haproxy_up{target="lb1"}': 1,
    'haproxy_backend_info{target="lb1",proxy="web",mode="http"}': 1,
    'haproxy_backend_status{target="lb1",proxy="web",state="DOWN"}': 0,
    'haproxy_server_status{target="lb1",proxy="web",server="app1",state="DOWN"}': 0,
    CHECK % ("app1", "L7OK"): 1,
    CHECK % ("app1", "L7STS"): 0,
    'passenger_up{target="web1"}': 1,
    'passenger_app_group_queue{target="web1",group="shop"}': 0,
    'passenger_app_group_queue_limit{target="web1",group="shop"}': 20,
    'lagwatch_target_up{target="search",kind="elasticsearch"}': 1,
}
ALL_DOWN = {
    'haproxy_backend_status{target="lb1",proxy="web",state="DOWN"}': 1,
    'haproxy_server_status{target="lb1",proxy="web",server="app1",state="DOWN"}': 1,
    CHECK % ("app1", "L7OK"): 0,
    CHECK % ("app1", "L7STS"): 1,
}
NO_ELASTICSEARCH = {'lagwatch_target_up{target="search",kind="elasticsearch"}': 0}


class Samples:
    """Tells a scraper the samples it holds, as lagwatch would: {series: value}."""

    def __init__(self, lab, samples):
        self.samples = dict(samples)
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                lines = [
                    f'{series[:-1]},site="lab"}} {value}\n'
                    for series, value in owner.samples.items()
                ]
                body = "".join(lines).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        lab.on_close(self.close)

    @property
    def address(self):
        return f"127.0.0.1:{self._server.server_address[1]}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class Paging(unittest.TestCase):
    """Each test: other samples, the same chain."""

    def setUp(self):
        lab = self.enterContext(Lab())
        self.samples = Samples(lab, WELL)
        self.pager = Receiver(lab)
        try:
            self.alertmanager = Alertmanager(lab, RULES / "alertmanager.yml", self.pager)
            self.prometheus = Prometheus(
                lab,
                {"lagwatch": self.samples.address},
                [RULES / "incident.rules.yml"],
                self.alertmanager,
                scrape_interval="1s",
            )
        except Unavailable as error:
            self.skipTest(str(error))
        self.prometheus.wait_query('up{job="lagwatch"} == 1', len)

    def states(self):
        return {labels["alertname"]: state for labels, state in self.alertmanager.alerts()}

    def test_a_cause_is_one_page_and_keeps_its_symptom_quiet(self):
        began = time.monotonic()
        self.samples.samples |= ALL_DOWN | NO_ELASTICSEARCH
        page = self.pager.wait_page(45)
        self.assertEqual(page.firing("alertname"), ["SiteElasticsearchCoupledHealthCheck"])
        self.assertEqual(page.common_labels["site"], "lab")
        self.assertIn("coupled health check", page.summary)
        self.assertIn("no web server left (1)", page.text)
        self.assertLess(page.at - began, 45)
        wait_until(
            lambda: self.states().get("SiteUsersFailing") == "suppressed", 40, "it is inhibited"
        )
        self.assertEqual(len(self.pager.firing()), 1)
        self.assertEqual(self.prometheus.rule_errors(), {})

    def test_a_symptom_without_a_cause_is_a_page(self):
        self.samples.samples |= ALL_DOWN
        page = self.pager.wait_page(60)
        self.assertEqual(page.firing("alertname"), ["SiteUsersFailing"])
        self.assertEqual(page.firing("cause"), ["unknown"])
        self.assertEqual(self.pager.firing("/ticket"), [])
