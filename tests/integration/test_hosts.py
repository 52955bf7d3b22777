# SPDX-License-Identifier: Apache-2.0
"""The normal layout: a network namespace per host, lagwatch on each as an unprivileged user, each
asking its own sockets; and what two load balancers see when the network between them breaks. Host
metrics."""

import os
from pathlib import Path

from lab.agent import configuration, target
from lab.fetch import fetch

from integration.support import Watch, WithSite, duration, failing, relaxed, series_of

HOST_METRICS = {
    "node_load1",
    "node_load15",
    "node_boot_time_seconds",
    "node_procs_running",
    "node_cpu_seconds_total",
    "node_filesystem_size_bytes",
    "node_filesystem_avail_bytes",
    "node_filesystem_files_free",
    "node_filesystem_readonly",
    "node_vmstat_pswpin",
    "node_vmstat_oom_kill",
    "node_memory_MemAvailable_bytes",
    "node_memory_SwapFree_bytes",
}


def meminfo():
    """{name: bytes} of /proc/meminfo."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}


class HostMetrics(WithSite):
    def test_host_metrics_are_those_of_the_kernel(self):
        agent = self.agent([target("lb1", self.lb.user_socket)], host=True)
        samples, kernel = agent.metrics(), meminfo()
        self.assertLessEqual(HOST_METRICS, samples.names())
        for name in ("MemTotal", "SwapTotal"):
            self.assertEqual(samples.value(f"node_memory_{name}_bytes"), kernel[name])
        available = samples.value("node_memory_MemAvailable_bytes")
        self.assertLess(abs(available - kernel["MemAvailable"]), kernel["MemTotal"] / 4)
        cpus = {labels["cpu"] for labels, _ in samples.select("node_cpu_seconds_total")}
        self.assertEqual(len(cpus), os.cpu_count())
        root = os.statvfs("/")
        sizes = {
            labels["mountpoint"]: value
            for labels, value in samples.select("node_filesystem_size_bytes")
        }
        self.assertEqual(sizes["/"], root.f_blocks * root.f_frsize)

    def test_host_metrics_can_be_turned_off(self):
        agent = self.agent([target("lb1", self.lb.user_socket)], host=False)
        self.assertFalse({name for name in agent.metrics().names() if name.startswith("node_")})


class Hosts(WithSite):
    layout = "netns"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.site.start_agents()
        # Another agent on lb2 asks lb1 over the network, beside its own socket.
        lb1, lb2 = cls.site.lbs["lb1"], cls.site.lbs["lb2"]
        cls.pair = cls.site.start_agent(
            "lb2",
            configuration(
                [target("lb2", lb2.user_socket), target("lb1", lb1.cli_url)],
                interval=duration(0.5),
                timeout=duration(relaxed(1.0)),
            ),
            name="pair",
            port=10094,
        )

    def agent_of(self, host):
        return self.site.agents[f"agent-{host}"]

    def test_each_host_has_an_unprivileged_agent_that_sees_its_own_targets(self):
        for host in self.site.hosts:
            agent = self.agent_of(host)
            self.assertNotEqual(agent.uid(), 0)
            samples = agent.metrics()
            own = {labels["target"] for labels, _ in samples.select("haproxy_up")}
            self.assertEqual(own, {host} & set(self.site.lbs))
            for name in own:
                self.assertEqual(samples.value("haproxy_up", target=name), 1)
            self.assertIsNotNone(samples.value("node_load1"))

    def test_off_loopback_the_landing_page_is_forbidden_and_metrics_are_not(self):
        agent = self.agent_of("lb1")
        for host in (self.site.outside, self.site.hosts["db1"]):
            page = fetch(agent.url + "/", host)
            self.assertEqual(page.status, 403)
            self.assertNotIn("lb1", page.text)
            for path in ("/metrics", "/probe?target=lb1", "/sd", "/-/healthy", "/-/ready"):
                self.assertEqual(fetch(agent.url + path, host).status, 200, path)

    def test_sd_names_the_address_it_was_asked_at(self):
        agent = self.agent_of("lb1")
        groups = fetch(agent.url + "/sd", self.site.outside).json()
        self.assertEqual({one["targets"][0] for one in groups}, {f"{agent.address}:{agent.port}"})

    def test_when_one_balancer_is_cut_off_the_other_is_seen_to_be_fine(self):
        lb1, lb2, pair = self.agent_of("lb1"), self.agent_of("lb2"), self.pair
        before = pair.wait_metric(
            lambda m: m.value("haproxy_backend_views", target="lb2", proxy="web") == 2,
            "both balancers are seen",
        )
        known = series_of(before, "lb1")
        self.site.network.unplug("lb1")
        self.addCleanup(self.site.wait_up)
        self.addCleanup(self.site.network.plug, "lb1")
        with Watch(pair) as watch:
            samples = lb1.wait_metric(
                lambda m: m.value("haproxy_backend_servers_lost", proxy="web") == 8,
                "lb1 has lost all its servers",
                relaxed(10),
            )
            samples = pair.wait_metric(
                lambda m: failing(m, "lb1") == "connect_timeout", "lb1 is cut off", relaxed(8)
            )
        watch.check(self, well="lb2", period=0.5)
        self.assertEqual(samples.value("haproxy_up", target="lb1"), 0)
        self.assertLessEqual(series_of(samples, "lb1"), known)
        state = {"proxy": "web", "state": "UP", "target": "lb2"}
        for agent in (lb2, pair):
            self.assertEqual(
                agent.metrics().value("haproxy_backend_agg_server_status", **state), 8
            )
        reasons = lb1.metrics().select("haproxy_backend_servers_lost_reason", proxy="web")
        self.assertIn(reasons[0][0]["check_status"], ("L4TOUT", "L4CON"))
        self.site.network.plug("lb1")
        pair.wait_metric(
            lambda m: m.value("haproxy_up", target="lb1") == 1, "lb1 is back", relaxed(20)
        )
