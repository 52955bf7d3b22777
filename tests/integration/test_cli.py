# SPDX-License-Identifier: Apache-2.0
"""The command line as the unprivileged user: exit codes, messages, signals."""

import contextlib
import json
import re
import time

from lab import fakes
from lab.agent import configuration, target
from lab.fakes import Fake
from lab.process import LabError, free_ports, unprivileged_user

from integration.support import (
    TIMEOUT,
    WithSite,
    cli,
    config_file,
    duration,
    relaxed,
    silent_connections,
)

BAD = """sit: shop
interval: 5 s
haproxy:
  - name: lb1
    sockets: [run/haproxy.sock, "http://me:secret@host/stats;csv"]
    timeout: 0s
  - name: lb1
    sockets: /run/haproxy/lagwatch.sock
    sockets: /run/haproxy/other.sock
host: {enabled: yes}
"""
BAD_PLACES = {1: "sit", 2: "interval", 5: "sockets", 6: "timeout", 7: "lb1", 9: "sockets", 10: ""}


class CommandLine(WithSite):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.good = config_file(
            cls.lab, configuration([target("lb1", cls.lb.user_socket)]), "good.yml"
        )
        cls.gone = cls.lab.dir / "gone.sock"
        cls.broken = config_file(
            cls.lab,
            configuration([target("lb1", cls.lb.user_socket), target("lb2", cls.gone)]),
            "broken.yml",
        )

    def run_cli(self, *arguments):
        return cli(self.lab, *arguments)

    # ---- discover

    def discovered(self):
        """The entry of the lab's HAProxy in what discover prints: (sockets, whole text). Other
        HAProxies may run on this machine."""
        done = self.run_cli("discover")
        self.assertEqual((done.code, done.err), (0, ""))
        entries = re.findall(r'^    sockets: (\[.*\])$', done.out, re.MULTILINE)
        own = [json.loads(one) for one in entries if str(self.lb.directory) + "/" in one]
        self.assertEqual(len(own), 1, done.out)
        return own[0], done.out

    def test_discover_finds_haproxy_and_takes_the_socket_of_level_user(self):
        sockets, _ = self.discovered()
        self.assertEqual(sockets, [str(self.lb.user_socket)])

    def test_check_accepts_what_discover_prints(self):
        _, text = self.discovered()
        found = config_file(self.lab, text, "found.yml")
        done = self.run_cli("check", f"--config.file={found}")
        self.assertEqual((done.code, done.err), (0, ""), done)

    def test_a_scrape_of_what_discover_prints_sees_the_servers(self):
        sockets, _ = self.discovered()
        own = config_file(self.lab, configuration([target("own", *sockets)], host=False), "own.yml")
        done = self.run_cli("scrape", f"--config.file={own}", "own")
        self.assertEqual(done.code, 0)
        self.assertIn('haproxy_up{target="own",site="lab"} 1', done.out)

    # ---- check

    def test_check_prints_every_mistake_with_its_place_and_exits_2(self):
        path = config_file(self.lab, BAD, "bad.yml")
        for command in (["check"], ["check", "--live"], ["run"], ["scrape"], []):
            done = self.run_cli(*command, f"--config.file={path}")
            self.assertEqual(done.code, 2, done)
            lines = done.err.splitlines()
            places = [re.match(rf"{re.escape(str(path))}:(\d+):(\d+): .+", one) for one in lines]
            self.assertNotIn(None, places, done.err)
            self.assertEqual({int(one[1]) for one in places}, set(BAD_PLACES), done.err)
            for place, line in zip(places, lines):
                self.assertIn(BAD_PLACES[int(place[1])], line)
            self.assertNotIn("secret", done.err + done.out)

    def test_check_of_a_file_that_is_not_there_exits_2_and_names_it(self):
        done = self.run_cli("check", "--config.file=/nowhere/lagwatch.yml")
        self.assertEqual(done.code, 2)
        self.assertIn("/nowhere/lagwatch.yml", done.err)

    def test_check_of_a_good_file_lists_its_targets(self):
        done = self.run_cli("check", f"--config.file={self.broken}")
        self.assertEqual((done.code, done.err), (0, ""))
        for line in ("haproxy lb1", "haproxy lb2", "host host"):
            self.assertIn(line + "\n", done.out)

    def test_check_live_says_which_target_fails_and_what_to_do(self):
        done = self.run_cli("check", "--live", f"--config.file={self.good}")
        self.assertEqual((done.code, done.err), (0, ""), done)
        done = self.run_cli("check", "--live", f"--config.file={self.broken}")
        self.assertEqual(done.code, 1)
        self.assertIn("haproxy lb1: ok\n", done.out)
        self.assertRegex(done.out, r"haproxy lb2: refused: .*gone\.sock.*\n  fix: start")
        self.assertIn("host host: ok\n", done.out)

    # ---- scrape

    def test_scrape_exits_0_1_and_2(self):
        self.assertEqual(self.run_cli("scrape", f"--config.file={self.good}").code, 0)
        done = self.run_cli("scrape", f"--config.file={self.broken}")
        self.assertEqual(done.code, 1)
        self.assertIn('haproxy_up{target="lb1",site="lab"} 1', done.out)
        self.assertIn('haproxy_up{target="lb2",site="lab"} 0', done.out)
        one = self.run_cli("scrape", f"--config.file={self.broken}", "lb1")
        self.assertEqual(one.code, 0)
        self.assertNotIn("lb2", one.out)
        unknown = self.run_cli("scrape", f"--config.file={self.broken}", "lb3")
        self.assertEqual(unknown.code, 2)
        self.assertRegex(unknown.err, r'"lb3".*lb1.*lb2')

    def test_scrape_of_a_hung_target_ends_in_time(self):
        with Fake(fakes.hung(), self.lab.directory("hung") / "stats.sock") as fake:
            path = config_file(
                self.lab, configuration([target("hung", fake.path)], timeout="500ms"), "hung.yml"
            )
            done = self.run_cli("scrape", f"--config.file={path}")
        self.assertEqual(done.code, 1)
        self.assertIn('reason="hung"} 1', done.out)
        self.assertLess(done.seconds, 0.5 + relaxed(2))

    # ---- metrics

    def test_metrics_lists_every_family_of_the_exposition(self):
        targets = [target("lb1", self.lb.user_socket), target("gone", self.gone)]
        agent = self.agent(targets, host=True)
        families = agent.metrics().families
        listed = {
            one["name"]: one for one in json.loads(self.run_cli("metrics", "--format=json").out)
        }
        self.assertEqual(set(families) - set(listed), set())
        for name, family in families.items():
            if name in listed:
                self.assertEqual(listed[name]["type"], family.type, name)
                self.assertEqual(set(listed[name]) >= {"source", "help", "labels"}, True)
        table = self.run_cli("metrics", "--format", "md").out
        self.assertEqual(
            set(re.findall(r"^\| `(\w+)` \| \w+ \|", table, re.MULTILINE)), set(listed)
        )
        self.assertEqual(self.run_cli("metrics", "--format=xml").code, 2)

    # ---- flags

    def test_one_dash_and_two_dashes_mean_the_same(self):
        for flag in (
            [f"--config.file={self.good}"],
            [f"-config.file={self.good}"],
            ["--config.file", self.good],
            ["-config.file", self.good],
        ):
            done = self.run_cli("check", *flag, "-log.level=warn", "--log.format", "json")
            self.assertEqual((done.code, done.err), (0, ""), flag)

    def test_what_is_not_known_exits_2_with_a_word(self):
        for arguments in (
            ["--no.such.flag"],
            ["run", "--no.such.flag=1"],
            ["check", "-no.such.flag"],
            ["nonsense"],
            ["check", "--log.level=loud"],
            ["metrics", "surplus"],
        ):
            done = self.run_cli(*arguments)
            self.assertEqual((done.code, done.out), (2, ""), arguments)
            self.assertNotEqual(done.err, "", arguments)

    def test_help_and_version_exit_0(self):
        for arguments in (["--help"], ["help"], ["run", "--help"], ["check", "-help"], ["version"]):
            done = self.run_cli(*arguments)
            self.assertEqual((done.code, done.err), (0, ""), arguments)
            self.assertIn("lagwatch", done.out)

    # ---- start and stop

    def test_a_port_in_use_is_told_with_exit_code_1(self):
        port = free_ports(1)[0]
        first = self.agent([target("lb1", self.lb.user_socket)], flags=())
        address = f"{first.address}:{first.port}"
        done = self.run_cli(f"--config.file={self.good}", f"--web.listen-address={address}")
        self.assertEqual(done.code, 1, done)
        self.assertIn(str(first.port), done.err)
        self.assertRegex(done.err, r"in use|taken")
        wrong = self.run_cli(f"--config.file={self.good}", f"--web.listen-address=nohost:x{port}")
        self.assertIn(wrong.code, (1, 2), wrong)
        self.assertIn(f"x{port}", wrong.err)

    def test_sigterm_stops_within_two_seconds_whatever_is_under_way(self):
        directory = self.lab.directory("stop")
        with contextlib.ExitStack() as stack:
            hung = stack.enter_context(Fake(fakes.hung(), directory / "hung.sock"))
            drip = stack.enter_context(Fake(fakes.drip(0.5), directory / "drip.sock"))
            tcp = stack.enter_context(Fake(fakes.hung()))
            url = tcp.address.replace("tcp://", "http://") + "/stats;csv"
            agent = self.agent(
                [
                    target("lb1", self.lb.user_socket),
                    target("hung", hung.path),
                    target("drip", drip.path),
                    target("tcp", tcp.address),
                    target("page", url),
                ],
                timeout="60s",
                ready=False,
            )
            agent.wait_metric(lambda m: m.value("haproxy_up", target="lb1") == 1, "lb1 is up")
            address = (agent.address, agent.port)
            stack.enter_context(silent_connections(address, 50))
            stack.enter_context(silent_connections(address, 50, b"GET /metrics HTTP/1.1\r\n"))
            began = time.monotonic()
            end = agent.stop(timeout=relaxed(10))
            self.assertLess(time.monotonic() - began, relaxed(2.0))
        self.assertEqual(end.code, 0, end.log)
        self.assertIn("msg=stopped", end.log)

    def test_sigterm_while_scrapers_wait_answers_or_ends_them(self):
        agent = self.agent(
            [target("lb1", self.lb.user_socket)], interval="30s", timeout=duration(TIMEOUT)
        )
        time.sleep(1.1)
        request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
        with silent_connections((agent.address, agent.port), 50, request):
            self.assertEqual(agent.stop(timeout=relaxed(2.0)).code, 0)

    def test_it_runs_as_the_unprivileged_user(self):
        if unprivileged_user() is None:
            self.skipTest("not root: no other user to run it as")
        agent = self.agent([target("lb1", self.lb.user_socket)])
        self.assertNotEqual(agent.uid(), 0)
        try:
            samples = agent.metrics()
        except LabError as error:
            self.fail(str(error))
        self.assertEqual(samples.value("haproxy_up", target="lb1"), 1)
