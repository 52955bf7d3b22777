# SPDX-License-Identifier: Apache-2.0
"""Reloads of a real HAProxy while it is asked quickly and serves errors: no collect fails, each
reload is counted once, no counter goes back without one."""

import time

from lab.agent import target

from integration.support import WELL, Watch, WithSite, failures, relaxed

RELOADS = 8
OWN_5XX = "haproxy_backend_own_5xx_total"


class Reloads(WithSite):
    # Several hundred rows: a collect takes long enough to meet a reload.
    balancing = {"inter": "200ms", "web_servers": 300, "checks": False, "queue_timeout": "100ms"}

    def watcher(self):
        agent = self.agent(
            [target("lb1", self.lb.user_socket), target("tcp", self.lb.cli_url)],
            interval="100ms",
            timeout="3s",
        )
        agent.wait_metric(lambda m: m.value("haproxy_up", target="tcp") == 1, "both are up")
        return agent

    def test_reloads_during_collects_fail_nothing_and_are_each_counted(self):
        agent = self.watcher()
        self.site.web.set(everything="close")  # 5xx that HAProxy makes itself
        self.addCleanup(self.site.web.set, everything="ok")
        traffic = self.site.traffic(rate=100, seconds=60, timeout=2)
        self.addCleanup(traffic.stop)
        with Watch(agent, pause=0.2) as watch:
            for number in range(1, RELOADS + 1):
                self.lb.reload()
                agent.wait_metric(
                    lambda m, number=number: m.value("haproxy_reloads_total", target="lb1")
                    == m.value("haproxy_reloads_total", target="tcp")
                    == number,
                    f"reload {number} is counted, once",
                    relaxed(5),
                    0.05,
                )
            agent.wait_metric(
                lambda m: (m.total(OWN_5XX, target="lb1") or 0) > 0, "own 5xx are counted"
            )
        watch.check(self, well=None)
        samples = watch.all()
        for name in ("lb1", "tcp"):
            self.assertEqual(failures(samples[-1][1], name), 0, agent.log()[-500:])
            self.check_counters([one for _, one in samples], name)

    def check_counters(self, samples, name):
        """Counters only go back where haproxy_reloads_total went up. (That none is negative, the
        reader of the exposition has checked.)"""
        for before, after in zip(samples, samples[1:]):
            self.assertEqual(after.value("haproxy_up", target=name), 1)
            counts = [one.value("haproxy_reloads_total", target=name) for one in (before, after)]
            self.assertGreaterEqual(counts[1], counts[0])
            if counts[0] != counts[1]:
                continue
            for labels, value in before.select(OWN_5XX, target=name):
                self.assertGreaterEqual(after.value(OWN_5XX, **labels), value, labels)

    def test_own_5xx_is_what_visitors_got_and_servers_did_not_send(self):
        agent = self.watcher()
        self.lb.reload()  # counters begin anew
        self.site.web.set(page=503)
        self.site.traffic(rate=100, count=20, paths=["/"]).wait()
        self.site.web.set(page="close")
        counts = self.site.traffic(rate=100, count=15, paths=["/"]).wait()
        self.site.web.set(everything="ok")
        self.assertEqual(counts.statuses, {"502": 15})
        agent.wait_metric(
            lambda m: m.value(OWN_5XX, target="lb1", proxy="web") == 15
            and m.value(OWN_5XX, target="tcp", proxy="web") == 15,
            "15 of 35 errors are HAProxy's own",
            relaxed(5),
        )


class HttpReloads(WithSite):
    def test_reloads_are_seen_over_http_from_counters_and_ages(self):
        """Without `show info` a reload shows when counters or all ages begin anew."""
        agent = self.agent(
            [target("page", self.lb.stats_url), target(WELL, self.lb.user_socket)],
            interval="200ms",
            timeout="1s",
        )
        self.site.traffic(rate=100, count=50).wait()
        time.sleep(1.0)
        for number in (1, 2):
            before = agent.wait_metric(
                lambda m: (m.total("haproxy_frontend_bytes_in_total", target="page") or 0) > 2000,
                "traffic is counted",
            )
            self.assertEqual(before.value("haproxy_reloads_total", target="page"), number - 1)
            self.lb.reload()
            agent.wait_metric(
                lambda m, number=number: m.value("haproxy_reloads_total", target="page") == number,
                f"reload {number} is seen over HTTP",
                relaxed(8),
            )
            self.site.traffic(rate=100, count=50).wait()
        self.assertEqual(failures(agent.metrics(), "page"), 0)
