# SPDX-License-Identifier: Apache-2.0
"""Every way to ask HAProxy: TCP socket, HTTP page with and without a password, host names; what
goes wrong on each; TCP backends; several processes as one target."""

import os
import socket

from lab import fakes
from lab.agent import Agent, configuration, target
from lab.fakes import Fake
from lab.haproxy import HAProxy
from lab.netns import Network
from lab.process import Unavailable, free_ports, unprivileged_user, wait_until

from integration.support import (
    WELL,
    Watch,
    WithLab,
    WithSite,
    cli,
    config_file,
    duration,
    failing,
    failures,
    relaxed,
)

PASSWORD = "correct horse"


class Addresses(WithSite):
    def both(self, *targets, **config):
        agent = self.agent(
            [*targets, target(WELL, self.lb.user_socket)],
            interval=duration(0.2),
            timeout=duration(relaxed(0.5)),
            **config,
        )
        agent.wait_metric(lambda m: m.value("haproxy_up", target=WELL) == 1, "well is up")
        return agent

    def test_tcp_and_page_tell_the_same_of_the_servers(self):
        agent = self.both(
            target("tcp", self.lb.cli_url),
            target("name", f"tcp://localhost:{self.lb.cli[1]}"),
            target("page", self.lb.stats_url),
            target("page-name", self.lb.stats_url.replace("127.0.0.1", "localhost")),
        )
        samples = agent.metrics()
        expected = {
            (labels["proxy"], labels["server"], labels["state"]): value
            for labels, value in samples.select("haproxy_server_status", target=WELL)
        }
        self.assertEqual(len(expected), 13 * 5)
        for name in ("tcp", "name", "page", "page-name"):
            self.assertEqual(samples.value("haproxy_up", target=name), 1, agent.log())
            own = {
                (labels["proxy"], labels["server"], labels["state"]): value
                for labels, value in samples.select("haproxy_server_status", target=name)
            }
            self.assertEqual(own, expected, name)
        for name in ("tcp", WELL):
            self.assertEqual(samples.value("haproxy_process_nbthread", target=name), 1)
        self.assertEqual(
            samples.select("haproxy_process_build_info", target="page")[0][0]["version"], "unknown"
        )

    def test_what_listens_on_ipv6_alone_is_reached_by_name(self):
        try:
            listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
        except OSError as error:
            self.skipTest(f"no IPv6 here: {error}")
        with listener, Fake(fakes.canned()) as fake:
            # A fake's own listener is IPv4; put the IPv6 one in its place.
            listener.settimeout(0.1)
            fake._listener.close()
            fake._listener = listener
            port = listener.getsockname()[1]
            fake._start(fake._accept)
            agent = self.both(
                target("name", f"tcp://localhost:{port}"), target("six", f"tcp://[::1]:{port}")
            )
            for name in ("name", "six"):
                agent.wait_metric(
                    lambda m, name=name: m.value("haproxy_up", target=name) == 1, name, relaxed(5)
                )

    def test_a_closed_port_is_refused_over_tcp_and_http(self):
        port = free_ports(1)[0]
        agent = self.both(
            target("tcp", f"tcp://127.0.0.1:{port}"),
            target("page", f"http://127.0.0.1:{port}/stats;csv"),
        )
        with Watch(agent) as watch:
            agent.wait_metric(
                lambda m: failing(m, "tcp") == failing(m, "page") == "refused", "both refused"
            )
        watch.check(self)

    def test_a_name_that_is_not_known_is_resolve(self):
        agent = self.both(
            target("tcp", "tcp://no-such-host.invalid:9999"),
            target("page", "http://no-such-host.invalid/stats;csv"),
        )
        with Watch(agent) as watch:
            agent.wait_metric(
                lambda m: failing(m, "tcp") == failing(m, "page") == "resolve",
                "both unresolved",
                relaxed(8),
            )
        watch.check(self)

    def test_faults_over_tcp_and_http_have_their_reasons(self):
        cases = {
            "hung": (fakes.hung(), "hung", "hung"),
            "closed": (fakes.closes(), "reset", "reset"),
            "reset": (fakes.reset_mid_reply(), "reset", None),
            "garbage": (fakes.garbage(), "protocol", None),
            "error": (fakes.raw(b"HTTP/1.0 503 No\r\n\r\nno"), None, "http_status"),
            "moved": (fakes.raw(b"HTTP/1.0 302 No\r\nLocation: /\r\n\r\n"), None, "http_status"),
            "half": (
                fakes.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n# pxname"),
                None,
                "reset",
            ),
            "page": (
                fakes.raw(b"HTTP/1.0 200 OK\r\n\r\n<html>statistics</html>\n"),
                None,
                "protocol",
            ),
        }
        targets, wanted = [], {}
        for name, (behaviour, tcp, page) in cases.items():
            fake = self.enterContext(Fake(behaviour))
            for kind, address, reason in (
                ("tcp", fake.address, tcp),
                ("page", fake.address.replace("tcp", "http", 1) + "/;csv", page),
            ):
                if reason:
                    wanted[f"{kind}-{name}"] = reason
                    targets.append(target(f"{kind}-{name}", address))
        agent = self.both(*targets)
        with Watch(agent) as watch:
            agent.wait_metric(lambda m: all(failing(m, one) for one in wanted), "all fail")
            samples = agent.metrics()
        watch.check(self)
        self.assertEqual({one: failing(samples, one) for one in wanted}, wanted)

    def test_tcp_backends_have_rows_and_no_http_codes(self):
        samples = self.both().metrics()
        own = {"target": WELL, "proxy": "rabbit"}
        modes = {
            labels["proxy"]: labels["mode"]
            for labels, _ in samples.select("haproxy_backend_info", target=WELL)
        }
        self.assertEqual((modes["rabbit"], modes["web"]), ("tcp", "http"))
        self.assertEqual(samples.value("haproxy_backend_status", state="UP", **own), 1)
        self.assertEqual(samples.value("haproxy_backend_active_servers", **own), 2)
        self.assertEqual(
            samples.value("haproxy_server_check_status", server="rabbit1", state="L4OK", **own), 1
        )
        for name in ("haproxy_backend_http_responses_total", "haproxy_backend_own_5xx_total"):
            self.assertEqual(samples.select(name, **own), [])

    def test_a_tcp_server_that_is_gone_is_lost_by_l4con(self):
        agent = self.both()
        self.site.web.set("rabbit1", listening=False)
        self.addCleanup(self.site.wait_up)
        self.addCleanup(self.site.web.set, "rabbit1", listening=True)
        samples = agent.wait_metric(
            lambda m: m.value("haproxy_backend_servers_lost", target=WELL, proxy="rabbit") == 1,
            "one is lost",
        )
        reason = samples.select("haproxy_backend_servers_lost_reason", proxy="rabbit")
        self.assertEqual([one["check_status"] for one, _ in reason], ["L4CON"])


class Password(WithSite):
    balancing = {"inter": "200ms", "stats_auth": f"lagwatch:{PASSWORD.replace(' ', '-')}"}

    def secret(self, name, text):
        path = self.lab.dir / name
        path.write_text(text)
        path.chmod(0o644)
        return str(path)

    def test_the_page_takes_the_password_from_its_file_and_says_when_it_is_wrong(self):
        url = self.lb.stats_url.replace("http://", "http://lagwatch@")
        right = self.secret("right", PASSWORD.replace(" ", "-") + "\n")
        wrong = self.secret("wrong", "guess\n")
        missing = str(self.lab.dir / "missing")
        targets = [
            target("right", url, password_file=right),
            target("wrong", url, password_file=wrong),
            target("missing", url, password_file=missing),
            target("anonymous", self.lb.stats_url),
        ]
        path = config_file(self.lab, configuration(targets, host=False), "auth.yml")
        done = cli(self.lab, "check", "--live", f"--config.file={path}")
        self.assertEqual(done.code, 1)
        self.assertIn("haproxy right: ok\n", done.out)
        self.assertRegex(done.out, r"haproxy wrong: auth: .*401\n  fix: .*password_file")
        self.assertRegex(done.out, rf"haproxy missing: auth: .*{missing}.*\n  fix: .*chmod")
        self.assertRegex(done.out, r"haproxy anonymous: auth: .*401\n  fix: .*password_file")
        self.assertNotIn("guess", done.out)
        agent = self.agent(targets, interval=duration(0.2), timeout=duration(relaxed(0.5)))
        agent.wait_metric(lambda m: m.value("haproxy_up", target="right") == 1, "right is up")
        asked = int(self.lb.row("stats", "FRONTEND")["req_tot"])
        wait_until(
            lambda: int(self.lb.row("stats", "FRONTEND")["req_tot"]) >= asked + 5,
            relaxed(5),
            "the page was asked some times more",
        )
        # A wrong password is tried once a minute: no account is locked by it.
        samples = agent.metrics()
        for name in ("wrong", "missing", "anonymous"):
            self.assertEqual(failing(samples, name), "auth")
            self.assertEqual(failures(samples, name), 1)

    def test_a_password_file_of_root_alone_is_named_with_the_fix(self):
        if unprivileged_user() is None:
            self.skipTest("not root: no other user to run it as")
        closed = self.secret("closed", "x\n")
        os.chmod(closed, 0o600)
        url = self.lb.stats_url.replace("http://", "http://lagwatch@")
        path = config_file(
            self.lab, configuration([target("closed", url, password_file=closed)]), "closed.yml"
        )
        done = cli(self.lab, "check", "--live", f"--config.file={path}")
        self.assertRegex(done.out, rf"haproxy closed: auth: .*{closed}.*\n  fix: .*chmod")


class Processes(WithSite):
    """Two HAProxies given as the sockets of one, as nbproc was."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.second = HAProxy(cls.lab, "second", cls.lb.balancing).start()
        cls.second.wait_states("web", "UP")

    def test_sockets_of_one_target_are_summed_and_only_when_all_answer(self):
        one = target("both", self.lb.user_socket, self.second.user_socket)
        agent = self.agent(
            [one, target(WELL, self.lb.user_socket)], interval=duration(0.2), timeout="1s"
        )
        for path in ["/"] * 30:
            fetch_ok(self, self.lb, path)
        for path in ["/"] * 12:
            fetch_ok(self, self.second, path)
        name = "haproxy_frontend_http_requests_total"
        agent.wait_metric(
            lambda m: m.value(name, target="both", proxy="www") == 42
            and m.value(name, target=WELL, proxy="www") == 30,
            "30 and 12 requests are 42",
        )
        samples = agent.metrics()
        self.assertEqual(
            samples.total("haproxy_server_http_responses_total", target="both", code="2xx"), 42
        )
        # A server is a server, however many processes talk to it.
        self.assertEqual(
            samples.value("haproxy_backend_active_servers", target="both", proxy="web"), 8
        )
        with Watch(agent) as watch:
            self.second.kill9()
            agent.wait_metric(lambda m: failing(m, "both") == "refused", "one is down", relaxed(3))
        watch.check(self)
        for _, samples in watch.all():
            self.assertIn(samples.value(name, target="both", proxy="www"), (42, None))
        self.second.start()
        agent.wait_metric(
            lambda m: m.value(name, target="both", proxy="www") == 30, "summed again", relaxed(8)
        )
        self.assertEqual(agent.metrics().value("haproxy_reloads_total", target="both"), 1)


def fetch_ok(test, balancer, path):
    with balancer.host.connect(balancer.www) as connection:
        request = f"GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    test.assertTrue(answer.startswith(b"HTTP/1.1 200"), answer[:100])


class BlackHole(WithLab):
    def test_an_address_that_swallows_everything_is_connect_timeout(self):
        try:
            network = Network(self.lab, ["near", "far"])
        except Unavailable as error:
            self.skipTest(str(error))
        near, far = network.hosts["near"], network.hosts["far"]
        network.unplug("far")
        with Fake(fakes.canned(), self.lab.directory("near") / "well.sock") as fake:
            targets = [
                target("tcp", f"tcp://{far.address}:9999"),
                target("page", f"http://{far.address}:80/stats;csv"),
                target(WELL, fake.path),
            ]
            config = configuration(
                targets, interval=duration(0.2), timeout=duration(0.5), host=False
            )
            agent = Agent(self.lab, config, host=near).start(timeout=relaxed(10))
            with Watch(agent) as watch:
                agent.wait_metric(
                    lambda m: failures(m, "tcp") >= 2 and failures(m, "page") >= 2, "two attempts"
                )
            watch.check(self)
            for _, samples in watch.all():
                self.assertEqual(failing(samples, "tcp"), "connect_timeout")
                self.assertEqual(failing(samples, "page"), "connect_timeout")
