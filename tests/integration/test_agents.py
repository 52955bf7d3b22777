# SPDX-License-Identifier: Apache-2.0
"""One lagwatch reads another: `agents:`. What passes and what does not, what joins make of both,
and what the reader says when the other one is gone or stopped."""

import signal

from lab.agent import target
from lab.process import free_ports

from integration.support import (
    PERIOD,
    QUICK,
    TIMEOUT,
    WELL,
    Watch,
    WithSite,
    duration,
    failing,
    relaxed,
)

# Families of the other agent's that are not taken over: those of its process, and those joins make.
PROCESS = ("process_", "lagwatch_http_", "lagwatch_loop_", "lagwatch_build_", "lagwatch_stuck_")
JOINED = ("haproxy_backend_views", "haproxy_backend_views_down")
# Two of the longest waits after failures, and the timeout: so long the last good samples stay.
LAST_SEEN = 2 * 15 + TIMEOUT + 2


def reading(agent, name, **settings):
    """An entry of `agents:`."""
    return {"name": name, "url": f"{agent.url}/metrics", **settings}


def from_agent(samples, name):
    """{series without its label `agent`: value} of what came from agent `name`."""
    return {
        (family, labels - {("agent", name)}): value
        for (family, labels), value in samples.items()
        if ("agent", name) in labels
    }


def about_targets(samples):
    """{series: value} of what an agent says that another one may take over."""
    return {
        (family, labels): value
        for (family, labels), value in samples.items()
        if not family.startswith(PROCESS) and family not in JOINED
    }


def agents_in(samples):
    return {dict(labels)["agent"] for _, labels in samples if "agent" in dict(labels)}


class Agents(WithSite):
    def setUp(self):
        self.first = self.agent([target("lb1", self.lb.user_socket)], name="first", host=True)

    def reader(self, *, name="second", of=None, haproxy=(), **config):
        """An agent that reads the first one, or `of`, as `web1`, once it has its samples."""
        config.setdefault("interval", duration(PERIOD))
        entry = reading(of or self.first, "web1")
        one = self.agent(haproxy, name=name, agents=[entry], **config)
        one.wait_metric(lambda m: "web1" in agents_in(m), "samples of web1", relaxed(10))
        return one

    def test_series_and_values_are_those_of_the_other_agent_with_agent_added(self):
        second = self.reader()
        before = about_targets(self.first.metrics())
        second.wait_metric(
            lambda m: m.value("lagwatch_target_age_seconds", target="web1", collector="agent") < 0.1,
            "fresh samples",
        )
        got = from_agent(second.metrics(), "web1")
        after = about_targets(self.first.metrics())
        self.assertEqual(set(got), set(before) | set(after))
        steady = {key for key in before if before[key] == after[key]}
        self.assertGreater(len(steady), 500)
        self.assertIn("haproxy_backend_status", {family for family, _ in steady})
        self.assertIn("haproxy_up", {family for family, _ in steady})
        changing = {"lagwatch_target_age_seconds", "lagwatch_target_scrape_duration_seconds"}
        for family, labels in sorted(steady, key=str):
            if family not in changing and not family.startswith("node_"):
                self.assertEqual(got[family, labels], before[family, labels], (family, labels))

    def test_both_formats_have_each_series_once(self):
        second = self.reader(haproxy=[target("lb1", self.lb.user_socket)], host=True)
        text = second.metrics()
        openmetrics = second.metrics(openmetrics=True)
        self.assertEqual(set(text.names()), set(openmetrics.names()))
        for samples in (text, openmetrics):
            self.assertEqual(len(samples.select("haproxy_up", target="lb1")), 2)
        self.assertEqual(text.value("lagwatch_agent_samples_rejected_total", target="web1"), 0)
        taken = [family for family, _ in from_agent(text, "web1") if family not in JOINED]
        self.assertEqual(text.value("lagwatch_agent_series", target="web1"), len(taken))

    def test_probe_of_the_agent_has_its_samples(self):
        second = self.reader(haproxy=[target(WELL, self.lb.user_socket)])
        samples = second.metrics("/probe?target=web1")
        self.assertEqual(samples.value("haproxy_up", target="lb1", agent="web1"), 1)
        self.assertEqual(samples.value("lagwatch_target_up", target="web1", kind="agents"), 1)
        self.assertFalse(samples.select("haproxy_up", target=WELL))
        self.assertEqual(
            {labels["agent"] for labels, _ in samples.select("haproxy_backend_views")}, {"web1"}
        )
        self.assertFalse(from_agent(second.metrics(f"/probe?target={WELL}"), "web1"))

    def test_nothing_received_is_passed_on(self):
        second = self.reader()
        third = self.reader(name="third", of=second)
        samples = third.wait_metric(
            lambda m: m.value("lagwatch_target_up", target="web1", agent="web1") == 1,
            "the second agent's view of its target",
            relaxed(10),
        )
        got = from_agent(samples, "web1")
        targets = {dict(labels)["target"] for _, labels in got}
        self.assertEqual(targets, {"web1"}, "the second has no other target")
        self.assertFalse(samples.select("haproxy_up"))

    def test_agents_that_read_each_other_neither_wait_nor_double(self):
        ports = free_ports(2)
        pair = []
        for own, other in ((0, 1), (1, 0)):
            url = f"http://127.0.0.1:{ports[other]}"
            one = self.site.start_agent(
                name=f"pair{own}",
                port=ports[own],
                config={
                    "interval": duration(PERIOD),
                    "haproxy": [target(f"lb-{own}", self.lb.user_socket)],
                    "postgres": [],
                    "host": {"enabled": False},
                    "agents": [{"name": "peer", "url": url}],
                },
            )
            self.addCleanup(one.child.stop)
            pair.append(one)
        for own, one in enumerate(pair):
            samples = one.wait_metric(
                lambda m: m.value("lagwatch_target_up", target="peer", agent="peer") == 1,
                "the peer has our samples, and we have the peer's",
                relaxed(10),
            )
            self.assertEqual(samples.value("haproxy_up", target=f"lb-{1 - own}", agent="peer"), 1)
            self.assertEqual(len(samples.select("haproxy_up", target=f"lb-{own}")), 1)
        with Watch(pair[0], pause=0.05) as watch:
            self.first.wait_metric(lambda m: m.value("haproxy_up") == 1, "some time")
            pair[1].wait_metric(lambda m: "peer" in agents_in(m), "some more", interval=1)
        self.assertLess(watch.slowest, relaxed(QUICK))

    def test_backends_are_compared_over_local_and_remote_balancers(self):
        second = self.reader(haproxy=[target("lb2", self.lb.user_socket)])
        samples = second.wait_metric(
            lambda m: len(m.select("haproxy_backend_views", proxy="web")) == 2, "two views"
        )
        local = {"target": "lb2", "proxy": "web"}
        remote = {"target": "lb1", "proxy": "web", "agent": "web1", "site": "lab"}
        for labels in (local, remote):
            self.assertEqual(samples.value("haproxy_backend_views", **labels), 2)
            self.assertEqual(samples.value("haproxy_backend_views_down", **labels), 0)
        self.assertFalse(self.first.metrics().select("haproxy_backend_views"))

    def faulty(self):
        """A reader of the first agent beside a healthy HAProxy, with short periods."""
        return self.reader(
            haproxy=[target(WELL, self.lb.user_socket)],
            timeout=duration(relaxed(TIMEOUT)),
        )

    def check_fault(self, second, reason):
        """The agent target fails for `reason`, its samples go, nobody else is delayed."""
        with Watch(second) as watch:
            samples = second.wait_metric(
                lambda m: failing(m, "web1") == reason, f"web1 fails: {reason}", relaxed(5)
            )
            self.assertEqual(samples.value("lagwatch_target_up", target="web1"), 0)
            samples = second.wait_metric(
                lambda m: "web1" not in agents_in(m), "its samples are gone", relaxed(LAST_SEEN)
            )
        self.assertEqual(samples.value("haproxy_up", target=WELL), 1)
        self.assertFalse(samples.select("haproxy_backend_views"))
        watch.check(self)

    def test_killed_is_refused_and_its_samples_go(self):
        second = self.faulty()
        self.first.kill9()
        self.check_fault(second, "refused")

    def test_stopped_is_hung_and_delays_nobody(self):
        second = self.faulty()
        self.first.child.signal(signal.SIGSTOP)
        self.addCleanup(self.first.child.signal, signal.SIGCONT)
        self.check_fault(second, "hung")
        self.first.child.signal(signal.SIGCONT)
        second.wait_metric(lambda m: "web1" in agents_in(m), "web1 is back", relaxed(20))

    def test_what_is_no_lagwatch_is_said(self):
        other = {"name": "web1", "url": self.lb.promex_url}
        second = self.agent(name="second", agents=[other], ready=True)
        samples = second.wait_metric(lambda m: failing(m, "web1") is not None, "it fails")
        self.assertEqual(failing(samples, "web1"), "protocol")
        self.assertFalse(agents_in(samples))
