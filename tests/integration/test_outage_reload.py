# SPDX-License-Identifier: Apache-2.0
"""Reloads during an outage. The new worker takes all servers for UP until their first check: they
are unverified, not recovered; and when they are DOWN again they are not lost anew."""

import time

from lab.agent import target

from integration.support import Watch, WithSite, relaxed

LOST = "haproxy_backend_servers_lost"
UNVERIFIED = "haproxy_backend_servers_unverified"
REMEMBERED = 60  # s: how long a loss counts as new


def web(samples, name, **labels):
    return samples.value(name, target="lb1", proxy="web", **labels)


class OutageReload(WithSite):
    balancing = {"inter": "1s"}

    def outage(self):
        agent = self.agent([target("lb1", self.lb.user_socket)], interval="100ms", timeout="3s")
        samples = agent.metrics()
        self.assertEqual((web(samples, LOST), web(samples, UNVERIFIED)), (0, 0))
        self.site.web.dependency("dead")
        self.addCleanup(self.site.wait_up)
        self.addCleanup(self.site.web.dependency, "ok")
        self.lb.wait_states("web", "DOWN")
        agent.wait_metric(lambda m: web(m, LOST) == 8, "all eight are lost")
        return agent, time.monotonic()

    def reload(self, agent):
        """One reload until all servers are DOWN again. The Watch over it."""
        with Watch(agent, pause=0.05) as watch:
            self.lb.reload()
            agent.wait_metric(
                lambda m: (web(m, UNVERIFIED) or 0) > 0, "servers are unverified", relaxed(3), 0.05
            )
            agent.wait_metric(
                lambda m: web(m, "haproxy_backend_status", state="DOWN") == 1
                and web(m, "haproxy_backend_agg_server_status", state="DOWN") == 8,
                "all are DOWN again",
                relaxed(10),
            )
        return watch

    def check_never_silently_recovered(self, watch):
        unverified = 0
        for _, samples in watch.all():
            up = web(samples, "haproxy_backend_agg_server_status", state="UP")
            unverified = max(unverified, web(samples, UNVERIFIED))
            self.assertEqual(web(samples, UNVERIFIED), up, "a server is UP without a check")
        self.assertGreater(unverified, 0)

    def test_an_outage_is_not_forgotten_nor_counted_anew_by_reloads(self):
        agent, began = self.outage()
        watch = self.reload(agent)
        self.check_never_silently_recovered(watch)
        self.assertEqual(web(agent.metrics(), LOST), 8)
        reason = agent.metrics().select("haproxy_backend_servers_lost_reason", proxy="web")
        self.assertEqual([value for _, value in reason], [8])
        self.assertEqual(
            (reason[0][0]["check_status"], reason[0][0]["check_code"]), ("L7STS", "500")
        )
        # HAProxy's own ages began anew with the reload; that of the outage did not.
        agent.wait_metric(
            lambda m: web(m, LOST) == 0,
            "the loss is no longer new",
            REMEMBERED - (time.monotonic() - began) + relaxed(3),
        )
        watch = self.reload(agent)
        self.check_never_silently_recovered(watch)
        self.assertEqual({web(one, LOST) for _, one in watch.all()}, {0}, "lost anew")
        time.sleep(2)
        self.assertEqual(web(agent.metrics(), LOST), 0)
        self.assertEqual(agent.metrics().value("haproxy_reloads_total"), 2)
