# SPDX-License-Identifier: Apache-2.0
"""What lagwatch answers over HTTP, to right and to wrong requests."""

import http.client
import shutil
import socket
import subprocess
import time
import unittest

from lab import exposition, fakes
from lab.agent import OPENMETRICS, TEXT, Agent, configuration, target
from lab.fakes import Fake
from lab.process import free_ports, wait_until

from integration.support import WithLab, WithSite, duration, relaxed

# As sent by Prometheus 2.42, by 3.x with UTF-8 names, and by VictoriaMetrics' vmagent.
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;"
    "escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROMETHEUS_PLAIN = "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
VMAGENT = "text/plain;version=0.0.4;q=1,*/*;q=0.1"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


class Answers(WithSite):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.watcher = cls.site.start_agent(name="watcher")

    def check_plain(self, response, status, word):
        self.assertEqual(response.status, status)
        self.assertTrue(response.headers["Content-Type"].startswith("text/plain"))
        self.assertIn(word, response.text)
        self.assertEqual(response.text.count("\n"), 1, "one sentence")

    def test_unknown_paths_are_404_and_name_what_there_is(self):
        for path in ("/nothing", "/metrics/", "/%6detrics2", "//metrics", "/-/quit"):
            self.check_plain(self.watcher.fetch(path), 404, "/metrics")

    def test_other_methods_are_405_and_name_the_right_ones(self):
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            response = self.watcher.fetch("/metrics", method=method)
            self.check_plain(response, 405, "GET")
            self.assertEqual(response.headers["Allow"], "GET, HEAD")

    def test_head_is_get_without_the_body(self):
        for path, status in (("/metrics", 200), ("/probe?target=lb1", 200), ("/no", 404)):
            get, head = self.watcher.fetch(path), self.watcher.fetch(path, method="HEAD")
            self.assertEqual((head.status, head.body), (status, b""))
            self.assertEqual(head.headers["Content-Type"], get.headers["Content-Type"])

    def test_a_connection_stays_open_for_the_next_request(self):
        connection = http.client.HTTPConnection(self.watcher.address, self.watcher.port, timeout=5)
        self.addCleanup(connection.close)
        sockets = set()
        for path in ("/metrics", "/-/healthy", "/nothing", "/metrics", "/probe?target=lb1"):
            connection.request("GET", path)
            connection.getresponse().read()
            sockets.add(connection.sock)
        self.assertEqual(len(sockets), 1)

    def test_probe_wants_a_target_that_there_is(self):
        self.check_plain(self.watcher.fetch("/probe"), 400, "?target=")
        self.check_plain(self.watcher.fetch("/probe?target="), 400, "?target=")
        self.check_plain(self.watcher.fetch("/probe?target=lb9"), 404, "lb9")
        self.check_plain(self.watcher.fetch("/probe?target=%00%0a%ff"), 404, "/sd")

    def test_probe_is_its_target_alone(self):
        samples = self.watcher.metrics("/probe?target=lb1")
        targets = {dict(labels).get("target") for _, labels in samples}
        self.assertEqual(targets, {"lb1"})
        self.assertEqual(samples.value("haproxy_up"), 1)

    def test_sd_wants_a_host(self):
        with socket.create_connection((self.watcher.address, self.watcher.port), 5) as connection:
            connection.sendall(b"GET /sd HTTP/1.0\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        self.assertRegex(answer, rb"^HTTP/1\.[01] 400 ")
        self.assertIn(b"Host header", answer)
        wrong = self.watcher.fetch("/sd", headers={"Host": 'a"b'})
        self.assertEqual(wrong.status, 400)

    def test_sd_has_each_target_with_an_instance_of_its_own(self):
        groups = self.watcher.fetch("/sd", headers={"Host": "web1:10093"}).json()
        self.assertEqual({one["labels"]["__param_target"] for one in groups}, {"lb1", "host"})
        for one in groups:
            self.assertEqual(one["targets"], ["web1:10093"])
            self.assertEqual(one["labels"]["__metrics_path__"], "/probe")
        self.assertEqual(len({one["labels"]["instance"] for one in groups}), 2)

    def test_gzip_is_the_same_exposition(self):
        for path in ("/metrics", "/probe?target=lb1"):
            for openmetrics in (False, True):
                plain = self.watcher.metrics(path, openmetrics)
                zipped = self.watcher.metrics(path, openmetrics, encoding="gzip")
                self.assertEqual(plain.names(), zipped.names())
        response = self.watcher.fetch("/metrics", encoding="gzip, deflate;q=0.5")
        self.assertEqual(response.headers["Content-Encoding"], "gzip")
        self.assertLess(response.wire_bytes, len(response.body) / 5)
        refused = self.watcher.fetch("/metrics", encoding="gzip;q=0")
        self.assertIsNone(refused.headers["Content-Encoding"])

    def test_each_client_gets_the_format_it_asks_for(self):
        wanted = {
            PROMETHEUS_2: OPENMETRICS,
            PROMETHEUS_3: OPENMETRICS,
            PROMETHEUS_PLAIN: TEXT,
            VMAGENT: TEXT,
            BROWSER: TEXT,
            None: TEXT,
        }
        for accept, kind in wanted.items():
            response = self.watcher.fetch("/metrics", accept)
            self.assertTrue(response.headers["Content-Type"].startswith(kind), accept)
            exposition.parse(response.body, kind == OPENMETRICS)

    def test_both_formats_have_the_same_series(self):
        text, openmetrics = (self.watcher.metrics(openmetrics=one) for one in (False, True))
        self.assertEqual(
            {name for name, _ in text if "http_requests" not in name},
            {name for name, _ in openmetrics if "http_requests" not in name},
        )

    def test_promtool_accepts_the_text(self):
        if not shutil.which("promtool"):
            self.skipTest("no promtool (apt-get install prometheus)")
        done = subprocess.run(
            ["promtool", "check", "metrics"],
            input=self.watcher.fetch("/metrics", TEXT).body,
            capture_output=True,
            check=False,
        )
        # 3: its style, which HAProxy's own names break (counters without _total and so on).
        self.assertIn(done.returncode, (0, 3), done.stderr[-1000:])
        problems = done.stdout.decode() + done.stderr.decode()
        self.assertNotIn("error while linting", problems)
        own = [line for line in problems.splitlines() if line.startswith("lagwatch_")]
        self.assertEqual(own, [])

    def test_the_landing_page_shows_the_targets(self):
        page = self.watcher.fetch("/")
        self.assertEqual(page.status, 200)
        self.assertTrue(page.headers["Content-Type"].startswith("text/html"))
        for word in ("lb1", "/metrics", "/sd"):
            self.assertIn(word, page.text)


class Listening(WithLab):
    def ready(self, url_host, family, port):
        with socket.socket(family) as one:
            one.settimeout(5)
            one.connect((url_host, port))
            one.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return b"".join(iter(lambda: one.recv(65536), b"")).startswith(b"HTTP/1.1 200")

    def listen(self, address, port):
        agent = Agent(self.lab, configuration(), address="127.0.0.1", port=port)
        argv = [one for one in agent.argv() if "listen-address" not in str(one)]
        child = self.lab.spawn("listener", [*argv, f"--web.listen-address={address}:{port}"])
        self.addCleanup(child.kill)
        return child

    def need_ipv6(self):
        try:
            with socket.socket(socket.AF_INET6) as one:
                one.bind(("::1", 0))
        except OSError as error:
            raise unittest.SkipTest(f"no IPv6 here: {error}") from None

    def test_an_empty_address_is_ipv4_and_ipv6(self):
        self.need_ipv6()
        port = free_ports(1)[0]
        self.listen("", port)
        for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
            wait_until(lambda h=host, f=family: self.ready(h, f, port), relaxed(5), host)

    def test_an_ipv6_address_in_brackets_is_that_alone(self):
        self.need_ipv6()
        port = free_ports(1)[0]
        self.listen("[::1]", port)
        wait_until(lambda: self.ready("::1", socket.AF_INET6, port), relaxed(5), "::1")
        with self.assertRaises(ConnectionRefusedError):
            self.ready("127.0.0.1", socket.AF_INET, port)

    def test_ready_waits_for_the_first_round_and_healthy_does_not(self):
        with Fake(fakes.hung(), self.lab.directory("hung") / "stats.sock") as fake:
            slow = relaxed(2.0)
            agent = Agent(
                self.lab, configuration([target("slow", fake.path, timeout=duration(slow))])
            )
            agent.start(ready=False)
            self.addCleanup(agent.child.kill)
            began = time.monotonic()
            wait_until(lambda: agent.fetch("/-/healthy").status == 200, relaxed(5), "healthy")
            early = agent.fetch("/-/ready")
            self.assertEqual(early.status, 503)
            self.assertIn("slow", early.text)
            self.assertLess(time.monotonic() - began, slow, "too late to tell")
            agent.wait_ready(slow + relaxed(3))
            self.assertEqual(agent.metrics().value("haproxy_up", target="slow"), 0)
