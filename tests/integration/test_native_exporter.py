# SPDX-License-Identifier: Apache-2.0
"""HAProxy's own exporter and lagwatch in one run: every native metric with a source in `show stat`
or `show info` under the same name, labels and value, whatever state the servers are in. What is
left out, and why, stands in native.py."""

from lab.agent import target
from lab.process import wait_until

from integration.native import NotQuiet, compare_when_quiet
from integration.support import WithSite, relaxed

NAME = "lb1"
LEAST_SERIES = 1300  # 13 servers of some 60 metrics, some with many states


class NativeExporter(WithSite):
    """Health checks are slow here (their duration changes with each), the agent is quick."""

    balancing = {"inter": "1s", "queue_timeout": "60s"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.watcher = cls.site.start_agent(
            name="watcher",
            config={
                "site": "shop",
                "interval": "100ms",
                "timeout": "3s",
                "haproxy": [target(NAME, cls.lb.user_socket)],
                "host": {"enabled": True},
            },
        )

    def setUp(self):
        self.site.web.set(everything="ok", latency=0.0, listening=True)
        self.site.web.dependency("ok")
        for command in ("enable server web/app1", "set server web/app2 state ready"):
            self.lb.command(command)
        self.site.wait_up()

    def check(self):
        try:
            found, count = compare_when_quiet(self.watcher, self.lb, NAME, relaxed(15))
        except NotQuiet as error:
            self.fail(f"no quiet moment: {error}")
        for exposition, wrong in found.items():
            self.assertEqual(wrong[:20], [], f"{exposition}: {len(wrong)} of {count} differ")
        self.assertGreater(count, LEAST_SERIES)

    def test_all_up_is_told_alike(self):
        self.site.traffic(rate=200, count=100).wait()
        self.check()

    def test_one_server_down_is_told_alike(self):
        self.site.web.set("app3", healthcheck=503)
        self.lb.wait_states("web", {"app3": "DOWN"})
        self.check()

    def test_maintenance_and_drain_are_told_alike(self):
        self.lb.command("disable server web/app1")
        self.lb.command("set server web/app2 state drain")
        wait_until(lambda: self.lb.states()["app1"] == "MAINT", 5, "app1 in maintenance")
        wait_until(lambda: self.lb.states()["app2"].startswith("DRAIN"), 5, "app2 drained")
        self.check()

    def test_a_queue_is_told_alike(self):
        self.site.web.set(latency=60.0)
        traffic = self.site.traffic(rate=200, count=50, timeout=60, paths=["/"])
        self.addCleanup(traffic.stop)
        wait_until(lambda: self.lb.row("web", "BACKEND")["qcur"] == "18", 10, "a queue of 18")
        self.check()

    def test_all_down_is_told_alike(self):
        self.site.web.dependency("dead")
        self.lb.wait_states("web", "DOWN")
        self.site.traffic(rate=100, count=20).wait()
        self.check()

    def test_the_first_moments_after_a_reload_are_told_alike(self):
        self.lb.reload()
        self.check()
