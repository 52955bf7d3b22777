# SPDX-License-Identifier: Apache-2.0
"""The lab with real servers: states, traffic, reload, hang, what is left behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import unittest

from ..agent import to_yaml
from ..fetch import fetch
from ..haproxy import process_state
from ..process import TESTS_DIRECTORY, Lab, LabError, Unavailable, free_ports, wait_until
from ..site import Site
from ..web import WebServers


class LocalSite(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = Site("local", inter="200ms").__enter__()
        cls.addClassCleanup(cls.site.__exit__)
        cls.lb = cls.site.lb

    def setUp(self):
        self.site.web.set(everything="ok", latency=0.0, check_latency=0.0, listening=True)
        self.site.web.dependency("ok")
        self.site.wait_up()
        wait_until(lambda: self.lb.row("web", "BACKEND")["scur"] == "0", what="no visitors left")

    def test_traffic_is_counted_alike_by_visitors_haproxy_and_servers(self):
        def by_servers():
            return sum(
                count
                for routes in self.site.web.counts().values()
                for name, route in routes.items()
                if name != "healthcheck"
                for count in route.values()
            )

        before = int(self.lb.row("www", "FRONTEND")["req_tot"]), by_servers()
        counts = self.site.traffic(rate=200, count=100).wait()
        self.assertEqual(counts.statuses, {"200": 100})
        self.assertEqual(int(self.lb.row("www", "FRONTEND")["req_tot"]) - before[0], 100)
        self.assertEqual(by_servers() - before[1], 100)
        self.assertGreaterEqual(
            self.lb.promex().value("haproxy_frontend_http_requests_total", proxy="www"), 100
        )

    def test_dead_dependency_takes_all_servers_out_while_pages_are_fine(self):
        self.site.web.dependency("dead")
        self.assertEqual(fetch(self.lb.www_url).status, 200)
        self.lb.wait_states("web", "DOWN")
        row = self.lb.row("web", "app1")
        self.assertEqual(row["check_status"].removeprefix("* "), "L7STS")
        self.assertEqual(fetch(self.lb.www_url).status, 503)

    def test_hung_dependency(self):
        self.site.web.dependency("hung")
        self.lb.wait_states("web", "DOWN")
        self.assertEqual(self.lb.row("web", "app1")["check_status"].removeprefix("* "), "L7TOUT")

    def test_single_servers(self):
        self.site.web.set("app2", healthcheck=503)
        self.site.web.set(["app3"], listening=False)
        self.lb.wait_states("web", {"app2": "DOWN", "app3": "DOWN", "app1": "UP"})
        self.assertEqual(self.lb.row("web", "app3")["check_status"].removeprefix("* "), "L4CON")

    def test_queue_fills_when_pages_are_slow(self):
        self.site.web.set(latency=5.0)
        traffic = self.site.traffic(rate=100, seconds=10, paths=["/"])
        wait_until(lambda: int(self.lb.row("web", "BACKEND")["qcur"]) > 20, 5, "a queue")
        rows = [row for row in self.lb.stat() if row["pxname"] == "web" and row["type"] == "2"]
        self.assertEqual([row["scur"] for row in rows], ["4"] * 8)  # maxconn of each
        traffic.stop()

    def test_reload_gives_a_new_worker(self):
        before = self.lb.worker_pid
        after = self.lb.reload()
        self.assertNotEqual(before, after)
        self.assertIn((after, "new"), self.lb.workers())
        self.assertEqual(int(self.lb.info()["Uptime_sec"]), 0)

    def test_sigstop_hangs_and_sigcont_heals(self):
        self.lb.sigstop()
        with self.assertRaises(OSError):
            self.lb.info(timeout=0.3)
        self.assertEqual(process_state(self.lb.workers()[0][0]), "T")
        self.lb.sigcont()
        self.assertTrue(self.lb.info())

    def test_kill9_and_start(self):
        self.assertEqual(self.lb.kill9(), -signal.SIGKILL)
        with self.assertRaises(ConnectionRefusedError):
            self.lb.info()
        self.assertTrue(self.lb.user_socket.exists())
        self.lb.start()
        self.assertEqual(len(self.lb.states("web")), 8)

    def test_sockets_can_be_reached_by_anybody_but_admin(self):
        self.assertEqual(self.lb.user_socket.stat().st_mode & 0o777, 0o666)
        self.assertEqual(self.lb.admin_socket.stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.site.lab.dir.stat().st_mode & 0o777, 0o755)
        self.assertTrue(fetch(self.lb.stats_url).text.startswith("# pxname,"))


class ManyServers(unittest.TestCase):
    def test_thousand(self):
        with Site("local", web_servers=1000) as site:
            states = site.lb.states("web")
            self.assertEqual((len(states), set(states.values())), (1000, {"no check"}))
            self.assertGreater(len(site.lb.promex()), 50_000)


class NetworkNamespaces(unittest.TestCase):
    def test_hosts_are_apart_and_joined(self):
        with contextlib.ExitStack() as stack:
            try:
                site = stack.enter_context(Site("netns", inter="200ms"))
            except Unavailable as error:
                self.skipTest(str(error))
            site.wait_up()
            self.assertEqual(
                site.traffic(rate=100, count=50, lb="lb2").wait().statuses, {"200": 50}
            )
            with self.assertRaises(ConnectionRefusedError):
                site.hosts["db1"].connect(
                    ("127.0.0.1", 8081), timeout=1
                )  # loopback is each host's own
            site.hosts["web1"].connect((site.hosts["web1"].address, 8081), timeout=1).close()
            site.network.unplug("web1")
            site.lb.wait_states("web", {"app1": "DOWN", "app2": "DOWN", "app3": "UP"})
            site.network.plug("web1")
            site.wait_up()
        self.assertNotIn(
            f"lw{os.getpid()}n",
            subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout,
        )


class NothingIsLeft(unittest.TestCase):
    def pids(self, directory):
        """Processes whose command line names the directory, zombies aside."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
                    if directory in file.read():
                        found.append(int(pid))
            except OSError:
                continue
        return found

    def start(self, layout):
        child = subprocess.Popen(
            [sys.executable, "-B", "-m", "lab.site", "--layout", layout, "--rate", "5"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(TESTS_DIRECTORY)},
            cwd="/",
        )
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.stderr.close)
        self.addCleanup(child.wait, 15)
        self.addCleanup(child.terminate)  # of a test that failed first; nothing to one that ended
        line = child.stdout.readline()
        if not line:
            child.wait()
            raise unittest.SkipTest(child.stderr.read().strip())
        return child, line.split()[1]

    def check(self, layout, number):
        child, directory = self.start(layout)
        # The last of them may not be the program yet that it becomes.
        wait_until(lambda: len(self.pids(directory)) >= 3, 10, "its processes run")
        child.send_signal(number)
        child.wait(15)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and (os.path.exists(directory) or self.pids(directory)):
            time.sleep(0.05)
        self.assertEqual(self.pids(directory), [])
        self.assertFalse(os.path.exists(directory))
        if layout == "netns":
            names = subprocess.run(
                ["ip", "netns"], capture_output=True, text=True, check=True
            ).stdout
            self.assertNotIn(f"lw{child.pid}n", names)

    def test_after_sigterm(self):
        self.check("local", signal.SIGTERM)

    def test_after_sigint(self):
        self.check("local", signal.SIGINT)

    def test_after_sigkill(self):
        self.check("local", signal.SIGKILL)

    def test_namespaces_after_sigkill(self):
        self.check("netns", signal.SIGKILL)

    def test_after_an_exception(self):
        with self.assertRaises(ZeroDivisionError), Lab() as lab:
            WebServers(lab, {"app1": 0})
            raise ZeroDivisionError
        self.assertFalse(lab.dir.exists())


class Parts(unittest.TestCase):
    def test_a_child_that_dies_at_once_is_told_with_its_log(self):
        with Lab() as lab:
            child = lab.spawn("dies", ["sh", "-c", "echo because >&2; exit 3"])
            child.wait()
            with self.assertRaisesRegex(LabError, "dies ended with 3:\nbecause"):
                child.require_alive()

    def test_user(self):
        if os.geteuid() != 0:
            self.skipTest("not root")
        with Lab() as lab:
            child = lab.spawn("id", ["id", "-u"], user="nobody")
            self.assertEqual(child.wait(), 0)
            self.assertNotEqual(child.out.read_text().strip(), "0")

    def test_free_ports(self):
        self.assertEqual(len(set(free_ports(50))), 50)

    def test_yaml(self):
        text = to_yaml(
            {
                "site": "a",
                "haproxy": [{"name": "x", "sockets": ["/a b", "tcp://h:1"]}],
                "none": [],
                "host": {"enabled": True},
                "n": 1.5,
            }
        )
        self.assertEqual(
            text,
            'site: "a"\nhaproxy:\n  - name: "x"\n    sockets:\n      - "/a b"\n'
            '      - "tcp://h:1"\n'
            "none: []\nhost:\n  enabled: true\nn: 1.5",
        )
