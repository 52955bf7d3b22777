# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus that finds lagwatch's targets by /sd and scrapes each through /probe."""

import shutil
import urllib.parse

from lab.agent import target
from lab.fetch import fetch
from lab.process import free_ports, unprivileged_user, wait_until

from integration.support import WithSite, relaxed

CONFIG = """global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: lagwatch
    http_sd_configs: [{{url: "{url}/sd", refresh_interval: 1s}}]
  - job_name: agent
    static_configs: [{{targets: ["{address}"]}}]
"""


class RealPrometheus(WithSite):
    def start(self, agent):
        port = free_ports(1)[0]
        user = unprivileged_user()
        home = self.lab.directory("prometheus", user)
        config = home / "prometheus.yml"
        address = f"{agent.address}:{agent.port}"
        config.write_text(CONFIG.format(url=agent.url, address=address))
        self.url = f"http://127.0.0.1:{port}"
        arguments = {
            "config.file": config,
            "storage.tsdb.path": home / "data",
            "web.listen-address": f"127.0.0.1:{port}",
        }
        self.prometheus = self.lab.spawn(
            "prometheus",
            ["prometheus", *[f"--{name}={value}" for name, value in arguments.items()]],
            user=user,
        )

    def query(self, expression):
        """{labels: value} of an instant query."""
        self.prometheus.require_alive()
        path = "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        reply = fetch(self.url + path).json()
        return [(one["metric"], float(one["value"][1])) for one in reply["data"]["result"]]

    def wait_query(self, expression, wanted, timeout=15.0):
        return wait_until(
            lambda: wanted(self.query(expression)), relaxed(timeout), expression, interval=0.2
        )

    def test_prometheus_finds_and_scrapes_every_target(self):
        if not shutil.which("prometheus"):
            self.skipTest("no prometheus (apt-get install prometheus)")
        agent = self.agent(
            [target("lb1", self.lb.user_socket), target("page", self.lb.stats_url)],
            host=True,
            interval="500ms",
        )
        self.start(agent)
        self.wait_query('up{job="lagwatch"} == 1', lambda found: len(found) == 3, 30)
        self.wait_query('up{job="agent"} == 1', lambda found: len(found) == 1)
        self.wait_query('haproxy_up{job="lagwatch"} == 1', lambda found: len(found) == 2)
        instances = {labels["instance"] for labels, _ in self.query('up{job="lagwatch"}')}
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
        self.assertNotIn("Error on ingesting", self.prometheus.log_text())
