# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus that finds lagwatch's targets by /sd and scrapes each through /probe."""

from lab.agent import target
from lab.process import Unavailable
from lab.prometheus import Prometheus

from integration.support import WithSite, relaxed


class RealPrometheus(WithSite):
    def start(self, agent):
        jobs = {"lagwatch": f"{agent.url}/sd", "agent": f"{agent.address}:{agent.port}"}
        try:
            self.prometheus = Prometheus(self.lab, jobs, scrape_interval="1s")
        except Unavailable as error:
            self.skipTest(str(error))

    def wait_query(self, expression, wanted, timeout=15.0):
        return self.prometheus.wait_query(expression, wanted, relaxed(timeout))

    def test_prometheus_finds_and_scrapes_every_target(self):
        agent = self.agent(
            [target("lb1", self.lb.user_socket), target("page", self.lb.stats_url)],
            host=True,
            interval="500ms",
        )
        self.start(agent)
        self.wait_query('up{job="lagwatch"} == 1', lambda found: len(found) == 3, 30)
        self.wait_query('up{job="agent"} == 1', lambda found: len(found) == 1)
        self.wait_query('haproxy_up{job="lagwatch"} == 1', lambda found: len(found) == 2)
        instances = {
            labels["instance"] for labels, _ in self.prometheus.query('up{job="lagwatch"}')
        }
        self.assertEqual(len(instances), 3)
        # As dashboards and rules ask: a backend's servers, by target.
        expression = 'sum by (target) (haproxy_server_status{job="lagwatch",state="UP"})'
        found = self.wait_query(expression, lambda found: len(found) == 2 and found)
        self.assertEqual({value for _, value in found}, {13.0})
        self.site.web.set("app1", healthcheck=503)
        self.addCleanup(self.site.wait_up)
        self.addCleanup(self.site.web.set, "app1", healthcheck="ok")
        self.wait_query(
            'haproxy_server_status{job="lagwatch",server="app1",state="DOWN"} == 1',
            lambda found: len(found) == 2,
        )
        # Nothing was refused while scraping (a duplicate or out of order sample).
        self.assertNotIn("Error on ingesting", self.prometheus.child.log_text())
