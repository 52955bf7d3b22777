# SPDX-License-Identifier: Apache-2.0
"""A real Apache's status, and probes of real URLs, beside apache_exporter and blackbox_exporter."""

import shutil
import unittest

from lab.exposition import parse
from lab.fetch import fetch
from lab.passenger import Limits, PassengerApache
from lab.process import Unavailable, free_ports, wait_until
from lab.web_record import send

from integration.support import WithLab, cli, duration, failing, relaxed

# Of blackbox_exporter: a hash that nobody can use, and what only HTTPS has.
NOT_OURS = {"probe_ip_addr_hash", "probe_ssl_last_chain_info", "probe_tls_version_info"}


class WithApache(WithLab):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.web = PassengerApache(
                cls.lab, "web", limits=Limits(pool=1, queue=50, workers=10)
            ).start()
        except Unavailable as error:
            raise unittest.SkipTest(str(error)) from None

    def exporter(self, program, arguments, path):
        """A peer's samples of one scrape, whatever its own process says left out."""
        binary = shutil.which(program)
        if not binary:
            self.skipTest(f"no {program}")
        (port,) = free_ports(1)
        child = self.lab.spawn(program, [binary, *[one.format(port=port) for one in arguments]])
        self.addCleanup(child.kill)

        def answer():
            child.require_alive()
            try:
                return fetch(f"http://127.0.0.1:{port}{path}")
            except OSError:
                return None

        return parse(wait_until(answer, what=f"{program} answers").body)


class Apache(WithApache):
    def test_names_labels_and_standing_values_are_apache_exporters(self):
        agent = self.agent(apache=[{"name": "a", "url": self.web.status_url}], interval="200ms")
        agent.wait_metric(lambda one: one.value("apache_up", target="a") == 1, "Apache is up")
        theirs = self.exporter(
            "prometheus-apache-exporter",
            [f"--scrape_uri={self.web.status_url}", "--telemetry.address=127.0.0.1:{port}"],
            "/metrics",
        )
        ours = agent.metrics()
        for name in sorted(one for one in theirs.names() if one.startswith("apache_")):
            if name.startswith("apache_exporter_"):
                continue
            for labels, value in theirs.select(name):
                mine = ours.value(name, target="a", **labels)
                self.assertIsNotNone(mine, f"{name}{labels}")
                if name in ("apache_info", "apache_version", "apache_generation", "apache_up"):
                    self.assertEqual(mine, value, f"{name}{labels}")

    def test_workers_run_out_and_the_status_hangs_with_them(self):
        agent = self.agent(
            apache=[{"name": "a", "url": self.web.status_url}], interval="200ms", timeout="500ms"
        )
        agent.wait_metric(lambda one: one.value("apache_up", target="a") == 1, "Apache is up")
        visitors = send(self.lab, self.web, 30, ("/slow?seconds=60",))
        self.addCleanup(visitors.stop)
        agent.wait_metric(lambda one: failing(one, "a") == "hung", "Apache is hung", relaxed(20))
        self.assertIn("all its workers are busy", agent.child.log_text())

    def test_it_is_discovered(self):
        done = cli(self.lab, "discover")
        self.assertIn(f'url: "{self.web.status_url}"', done.out)


class Probes(WithApache):
    def test_names_are_blackbox_exporters(self):
        url = self.web.url() + "/healthcheck"
        agent = self.agent(probes=[{"name": "p", "url": url, "expect_body": "healthy"}])
        ours = agent.wait_metric(
            lambda one: one.value("probe_success", target="p") == 1, "the probe succeeds"
        )
        config = self.lab.dir / "blackbox.yml"
        config.write_text("modules: { it: { prober: http } }\n", encoding="ascii")
        theirs = self.exporter(
            "prometheus-blackbox-exporter",
            [f"--config.file={config}", "--web.listen-address=127.0.0.1:{port}"],
            f"/probe?module=it&target={url}",
        )
        names = {one for one in theirs.names() if one.startswith("probe_")} - NOT_OURS
        self.assertEqual(names - ours.names(), set())
        for name in ("probe_http_status_code", "probe_http_version", "probe_ip_protocol"):
            self.assertEqual(ours.value(name, target="p"), theirs.value(name), name)

    def test_failures_are_answers_with_a_reason(self):
        (nobody,) = free_ports(1)
        slow = self.web.url() + "/slow?seconds=30"
        agent = self.agent(
            probes=[
                {"name": "missing", "url": self.web.url() + "/nothing"},
                {"name": "other", "url": self.web.url() + "/", "expect_body": "no such words"},
                {"name": "slow", "url": slow},
                {"name": "refused", "url": f"http://127.0.0.1:{nobody}/"},
            ],
            interval="200ms",
            timeout=duration(relaxed(0.5)),
        )
        expected = {
            "missing": "unexpected_status",
            "other": "unexpected_body",
            "slow": "hung",
            "refused": "refused",
        }

        def all_counted(samples):
            return all(
                (samples.value("probe_failures_total", target=name, reason=reason) or 0) >= 1
                for name, reason in expected.items()
            )

        samples = agent.wait_metric(all_counted, "each fails for its reason", relaxed(10))
        for name in expected:
            self.assertEqual(samples.value("lagwatch_target_up", target=name), 1, name)
        self.assertGreaterEqual(samples.value("probe_latency_seconds_sum", target="slow"), 0.4)
        self.assertEqual(samples.value("probe_latency_seconds_count", target="refused"), 0)
