# SPDX-License-Identifier: Apache-2.0
"""A real Apache with Passenger, watched by an unprivileged lagwatch through a read-only account:
queues that are full, cores that hang, die, drain and are two at a time."""

import itertools
import json
import os
import signal

from lab.agent import configuration
from lab.passenger import ACCOUNT, App, Limits, PassengerApache
from lab.process import Unavailable, wait_until
from lab.traffic import Traffic
from lab.web_record import hold, pool_value, queued, send, silence

from integration.support import (
    SANITIZED,
    WithLab,
    cli,
    config_file,
    duration,
    failing,
    fds_at_rest,
    relaxed,
    wait_fds,
)

NAME = "web1"
COUNT = itertools.count(1)
PERIOD = 0.5  # s
TIMEOUT = 0.5
SLOW = ("/slow?seconds=60&token=SECRET",)
ROUTES = [{"name": "search", "match": "^/search", "query_param": "q", "short_below": 3}]


class WithPassenger(WithLab):
    """Each test has an Apache and a registry of its own, gone behind it."""

    def server(self, name=NAME, account=True, **more):
        name = f"{name}-{next(COUNT)}"  # short: sockets are below it
        try:
            server = PassengerApache(self.lab, name, account=account, **more).start()
        except Unavailable as error:
            self.skipTest(str(error))
        self.addCleanup(server.stop, 1.0)
        return server

    def watch(self, server, timeout=TIMEOUT):
        return self.agent(
            passenger=[server.entry(NAME)],
            routes=ROUTES,
            interval=duration(PERIOD),
            timeout=duration(timeout),
        )

    def wait(self, agent, predicate, what, timeout=10.0):
        return agent.wait_metric(predicate, what, timeout=relaxed(timeout))

    def group(self, server, app="shop"):
        return f"{server.app_root(app)} (production)"


def inflight(samples, **labels):
    return samples.total("passenger_requests_in_flight", target=NAME, **labels) or 0


def instances(samples):
    return {
        labels["state"]: value for labels, value in samples.select("passenger_instances") if value
    }


class Requests(WithPassenger):
    def test_a_full_queue_names_the_route_that_fills_it(self):
        with silence() as es_url:
            apps = {"shop": App({"ES_URL": es_url, "HEALTHCHECK": "coupled"})}
            server = self.server(apps=apps, limits=Limits(pool=2, queue=10))
            agent = self.watch(server)
            hold(self.lab, server, 2, ("/search?q=a&token=SECRET",))
            send(self.lab, server, 20, ("/search?q=a&token=SECRET", "/healthcheck"))
            wait_until(lambda: queued(server) == 10, what="the queue is full")
            group = {"target": NAME, "group": self.group(server)}
            samples = self.wait(
                agent,
                lambda m: m.value("passenger_app_group_queue", default="true", **group) == 10
                and inflight(m, state="queued") == 10
                and m.value("passenger_app_group_queue_limit", **group) == 10
                and m.value("passenger_app_group_busy_processes", **group) == 2,
                "10 wait, 10 may",
                timeout=20,
            )
            search = {"target": NAME, "route": "search"}
            self.assertEqual(samples.value("passenger_route_pool_share", **search), 1)
            self.assertEqual(inflight(samples, route="search", state="running"), 2)
            self.assertGreaterEqual(
                samples.value("passenger_short_query_requests", state="running", **search), 2
            )
            self.assertGreater(inflight(samples, route="/healthcheck", state="queued"), 0)
            self.assertGreater(
                samples.value("passenger_app_group_oldest_queued_seconds", **group), 0
            )
            self.assertGreater(
                samples.value("passenger_app_group_oldest_running_seconds", **group), 0
            )
            self.assertEqual(failing(samples, NAME), None)
            # Nothing that a person searched for leaves lagwatch.
            said = agent.fetch("/api/v1/inflight").text
            rows = json.loads(said)["data"]["targets"][0]["requests"]
            self.assertEqual(len(rows), 12)
            self.assertEqual(rows[0]["state"], "running")
            self.assertEqual(rows[0]["path"], "/search")
            for text in (said, agent.fetch("/metrics").text, agent.log()):
                self.assertNotIn("SECRET", text)

    def test_a_thousand_requests_are_all_seen_and_cost_little(self):
        count = 300 if SANITIZED else 1000
        server = self.server(limits=Limits(pool=1, queue=0, workers=count + 50))
        agent = self.watch(server, timeout=20)
        Traffic(
            self.lab, server.address(), 500, 60, count, timeout=60, paths=SLOW, most_open=count
        )
        wait_until(lambda: queued(server) >= count - 1, relaxed(40), "all are there")
        # The queue is known at once; the requests themselves are asked for less often the more
        # there are, three intervals at most.
        samples = self.wait(
            agent, lambda m: inflight(m) >= count, "all of them are counted", timeout=40
        )
        self.assertEqual(inflight(samples, route="/slow"), count)
        targets = json.loads(agent.fetch("/api/v1/inflight").text)["data"]["targets"]
        self.assertLessEqual(len(targets[0]["requests"]), 1000)

    def test_requests_whose_clients_have_gone_are_still_there(self):
        server = self.server(limits=Limits(pool=1))
        agent = self.watch(server)
        traffic = send(self.lab, server, 5, SLOW)
        wait_until(
            lambda: queued(server) == 4 and pool_value(server, "sessions") == 1,
            what="one runs, the others wait",
        )
        traffic.stop()
        # Apache does not tell Passenger: all are run, for nobody.
        samples = self.wait(
            agent,
            lambda m: inflight(m, state="queued") == 4
            and m.value("passenger_requests_older_than", state="queued", threshold="1") == 4,
            "they wait on",
        )
        self.assertEqual(samples.value("passenger_requests_abandoned", target=NAME), 0)


    def test_the_command_prints_them_the_oldest_first(self):
        server = self.server(limits=Limits(pool=1, queue=10))
        hold(self.lab, server, 3, SLOW)
        config = config_file(
            self.lab,
            configuration(passenger=[server.entry(NAME)], routes=ROUTES, host=False),
        )
        done = cli(self.lab, "inflight", f"--config.file={config}")
        self.assertEqual(done.code, 0, done.err)
        rows = [line.split() for line in done.out.splitlines()[1:]]
        self.assertEqual(sorted(row[1] for row in rows), ["queued", "queued", "running"])
        ages = [float(row[0]) for row in rows]
        self.assertEqual(ages, sorted(ages, reverse=True))
        self.assertEqual({row[-1] for row in rows}, {"/slow"})
        self.assertNotIn("SECRET", done.out + done.err)
        told = json.loads(cli(self.lab, "inflight", "--format=json", f"--config.file={config}").out)
        self.assertEqual(len(told["data"]["targets"][0]["requests"]), 3)

    def test_the_command_says_why_it_cannot(self):
        config = config_file(self.lab, configuration(host=False))
        done = cli(self.lab, "inflight", f"--config.file={config}")
        self.assertEqual((done.code, done.out), (1, ""))
        self.assertIn("no Passenger is configured", done.err)


class Faults(WithPassenger):
    def test_a_core_that_hangs_and_one_that_dies(self):
        server = self.server()
        agent = self.watch(server)
        hold(self.lab, server, 1, SLOW)
        self.wait(agent, lambda m: m.value("passenger_up", target=NAME) == 1, "up")
        base = fds_at_rest(agent)
        server.sigstop_core()
        samples = self.wait(
            agent,
            lambda m: failing(m, NAME) == "hung",
            "it is hung",
            timeout=PERIOD + TIMEOUT + 1,
        )
        self.assertEqual(samples.value("passenger_up", target=NAME), 0)
        self.assertIn("accepts connections and does not answer", agent.log())
        server.sigcont_core()
        self.wait(agent, lambda m: m.value("passenger_up", target=NAME) == 1, "up again", 30)
        server.kill9_core()
        self.wait(
            agent,
            lambda m: m.value("passenger_core_restarts_total", target=NAME) == 1
            and m.value("passenger_app_count", target=NAME) == 0,
            "the core was started anew, its pool is empty",
            30,
        )
        wait_fds(agent, base)

    def test_a_reload_drains_and_is_no_fault(self):
        server = self.server()
        agent = self.watch(server)
        hold(self.lab, server, 1, ("/slow?seconds=6",))
        self.wait(agent, lambda m: instances(m) == {"live": 1}, "one lives")
        old = server.instance_dir()
        server.reload()
        samples = self.wait(
            agent, lambda m: instances(m) == {"live": 1, "draining": 1}, "the old one drains", 20
        )
        self.assertEqual(failing(samples, NAME), None)
        wait_until(lambda: not old.exists(), 40, "the old one has ended")
        self.wait(agent, lambda m: instances(m) == {"live": 1}, "one is left")
        self.assertNotIn("reason=hung", agent.log())
        server.kill9()
        self.wait(agent, lambda m: failing(m, NAME) == "refused", "what is left is stale", 20)
        server.start()
        self.wait(agent, lambda m: instances(m) == {"live": 1, "stale": 1}, "back", 30)

    def test_a_stop_with_long_requests_is_a_stop(self):
        server = self.server()
        agent = self.watch(server)
        hold(self.lab, server, 2, SLOW)
        self.wait(agent, lambda m: inflight(m, state="running") == 2, "they run")
        server.child.signal(signal.SIGTERM)  # Apache waits some 10 s for its own
        self.wait(agent, lambda m: failing(m, NAME) == "refused", "it is being stopped", 30)
        self.assertIn("being stopped", agent.log())
        self.assertNotIn("reason=hung", agent.log())

    def test_an_application_that_does_not_spawn(self):
        server = self.server()
        agent = self.watch(server)
        server.break_app()
        send(self.lab, server, 2, ("/",)).wait()
        samples = self.wait(
            agent,
            lambda m: m.value(
                "passenger_app_group_processes",
                target=NAME,
                group=self.group(server),
                state="enabled",
            )
            == 0,
            "a group without a process",
        )
        self.assertEqual(samples.value("passenger_up", target=NAME), 1)

    def test_two_web_servers_of_which_one_lets_nobody_in_and_hangs(self):
        first = self.server(limits=Limits(pool=2))
        second = self.server(
            "web2", account=False, registry=str(first.registry), limits=Limits(pool=3)
        )
        watched = self.watch(first)
        samples = self.wait(
            watched, lambda m: instances(m) == {"live": 1, "denied": 1}, "one lets us in"
        )
        self.assertIsNone(samples.value("passenger_max_processes", target=NAME))
        second.sigstop_core()
        self.wait(watched, lambda m: instances(m) == {"live": 1, "hung": 1}, "the other hangs")
        self.assertEqual(failing(watched.metrics(), NAME), None)


class Permission(WithPassenger):
    def test_without_an_account_it_says_which_and_with_it_it_works(self):
        if os.geteuid() != 0:
            self.skipTest("needs root: a core of root's that does not let others in")
        server = self.server(account=False)
        agent = self.agent(
            passenger=[{"name": NAME, "registry": str(server.registry)}],
            interval=duration(PERIOD),
            timeout=duration(TIMEOUT),
        )
        self.wait(agent, lambda m: failing(m, NAME) == "permission", "it may not ask")
        self.assertIn("core_api_server_authorizations", agent.log())
        found = cli(self.lab, "discover").out
        self.assertIn(f'registry: "{server.registry}"', found)
        self.assertIn("needs an account of its API", found)
        # As the fix says: a password file of root's, the line, a reload, the setting.
        server.account = (ACCOUNT, "0123456789abcdef01234567")
        server.reload()
        again = self.agent(
            passenger=[server.entry(NAME)],
            interval=duration(PERIOD),
            timeout=duration(TIMEOUT),
            name="again",
        )
        self.wait(
            again,
            lambda m: m.value("passenger_up", target=NAME) == 1
            and m.value("passenger_clients_active", target=NAME) is not None,
            "both parts are answered",
        )
        most = again.metrics().value("passenger_max_processes", target=NAME)
        self.assertEqual(pool_value(server, "max"), most)
