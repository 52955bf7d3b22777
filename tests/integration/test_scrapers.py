# SPDX-License-Identifier: Apache-2.0
"""Many, silent, slow scrapers: /metrics answers at once, HAProxy does not notice, nothing stays."""

import concurrent.futures
import contextlib
import os
import resource
import select
import socket
import threading
import time

from lab.agent import TEXT, target
from lab.process import wait_until

from integration.support import (
    QUICK,
    WELL,
    Watch,
    WithSite,
    duration,
    fds_at_rest,
    relaxed,
    silent_connections,
    wait_fds,
)

CONNECTIONS = "lagwatch_target_connections_opened_total"
SILENT = 900
LIMIT = 512  # connections that lagwatch keeps open
DRIPPING = 200
REQUEST_LIMIT = 5.0  # s that a connection may take to say what it wants


def room_for_files(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count)), hard))


def closed_by_peer(connections):
    """How many of these connections the server has ended."""
    poll = select.poll()
    for one in connections:
        poll.register(one, select.POLLIN | select.POLLRDHUP)
    return len(poll.poll(0))


class Scrapers(WithSite):
    def setUp(self):
        room_for_files(3000)

    def start(self, interval=duration(0.2)):
        agent = self.agent(
            [target(WELL, self.lb.user_socket)], interval=interval, timeout=duration(1.0)
        )
        agent.wait_metric(lambda m: m.value("haproxy_up", target=WELL) == 1, "up")
        return agent, fds_at_rest(agent)

    def test_scrapes_at_once_ask_haproxy_once(self):
        agent, base = self.start(interval="60s")
        before = agent.metrics().value(CONNECTIONS)
        time.sleep(1.1)  # samples of up to 1 s are fresh enough for any scraper
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: agent.fetch("/metrics", TEXT), range(20)))
        self.assertEqual({one.status for one in answers}, {200})
        self.assertLess(max(one.seconds for one in answers), relaxed(QUICK))
        after = agent.metrics()
        self.assertEqual(after.value(CONNECTIONS), before + 1)
        self.assertLess(after.value("lagwatch_target_age_seconds"), relaxed(1.0))
        wait_fds(agent, base)

    def test_900_clients_that_say_nothing_cost_nobody_anything_and_are_dropped(self):
        agent, base = self.start()
        with silent_connections((agent.address, agent.port), SILENT) as held:
            began = time.monotonic()
            with Watch(agent) as watch:
                time.sleep(2)
                self.assertLess(agent.fds(), base + 700, "there is no limit")
                wait_until(
                    lambda: closed_by_peer(held) == SILENT,
                    REQUEST_LIMIT + relaxed(5),
                    "all are dropped",
                )
            self.assertGreater(time.monotonic() - began, REQUEST_LIMIT - 2.5)
        watch.check(self)
        samples = agent.metrics()
        dropped = samples.total("lagwatch_http_connections_dropped_total")
        self.assertEqual(dropped, SILENT)
        wait_fds(agent, base)

    def test_900_clients_that_say_half_a_request_are_dropped_too(self):
        agent, base = self.start()
        address = (agent.address, agent.port)
        with silent_connections(address, SILENT, b"GET /metrics HTTP/1.1\r\nHost:") as held:
            with Watch(agent) as watch:
                wait_until(
                    lambda: closed_by_peer(held) == SILENT,
                    REQUEST_LIMIT + relaxed(5),
                    "all are dropped",
                )
        watch.check(self)
        wait_fds(agent, base)

    def on_one_cpu(self, agent):
        """All threads of the agent take turns, and none interrupts another."""
        for thread in os.listdir(f"/proc/{agent.pid}/task"):
            os.sched_setaffinity(int(thread), {min(os.sched_getaffinity(0))})
            os.sched_setscheduler(int(thread), os.SCHED_BATCH, os.sched_param(0))

    def test_connections_that_are_all_dropped_at_once_stop_nothing(self):
        """libmicrohttpd's threads take 128 events at a time, and wait for more when there were
        exactly so many: all their connections ended at once are twice that. Only where its
        threads do not run meanwhile, hence one CPU; and not each time, hence three rounds."""
        agent, base = self.start()
        self.on_one_cpu(agent)
        address = (agent.address, agent.port)
        for _ in range(3):
            with silent_connections(address, LIMIT, b"GET /metrics HTTP/1.1\r\nHost:") as held:
                time.sleep(REQUEST_LIMIT - 1)
                with Watch(agent, pause=0.2) as watch:
                    wait_until(
                        lambda held=held: closed_by_peer(held) == LIMIT, 1 + relaxed(5), "dropped"
                    )
                    time.sleep(0.5)
            watch.check(self)
        wait_fds(agent, base)

    def drip(self, connections, stop):
        """A byte from each connection every quarter of a second."""
        text = b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 1000
        for byte in text:
            for one in connections:
                with contextlib.suppress(OSError):
                    one.send(bytes([byte]))
            if stop.wait(0.25):
                return

    def test_200_dripping_clients_starve_nobody_and_are_dropped(self):
        agent, base = self.start()
        stop = threading.Event()
        with silent_connections((agent.address, agent.port), DRIPPING) as held:
            dripper = threading.Thread(target=self.drip, args=(held, stop))
            dripper.start()
            try:
                with Watch(agent) as watch:
                    wait_until(
                        lambda: closed_by_peer(held) == DRIPPING,
                        2 * REQUEST_LIMIT + relaxed(5),
                        "all are dropped",
                    )
            finally:
                stop.set()
                dripper.join()
        watch.check(self)
        wait_fds(agent, base)


class SlowReader(WithSite):
    balancing = {"inter": "200ms", "web_servers": 1500, "checks": False}

    def open_slowly(self, agent):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(10)
        connection.connect((agent.address, agent.port))
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: identity\r\n\r\n")
        return connection

    def test_a_scraper_that_reads_slowly_holds_up_nobody_and_gets_a_whole_answer(self):
        agent = self.agent([target("lb1", self.lb.user_socket)], interval="1s", timeout="3s")
        agent.wait_metric(lambda m: m.value("haproxy_up") == 1, "up")
        whole = agent.fetch("/metrics", timeout=20)
        self.assertGreater(len(whole.body), 6_000_000, "too small to be slow")
        base = fds_at_rest(agent)
        with contextlib.ExitStack() as stack:
            slow = [stack.enter_context(self.open_slowly(agent)) for _ in range(20)]
            first = [one.recv(1024) for one in slow]
            self.assertEqual({one[:15] for one in first}, {b"HTTP/1.1 200 OK"})
            rss = agent.memory().rss
            for _ in range(5):
                for one in slow:
                    one.recv(2048)
                self.assertEqual(agent.fetch("/-/healthy").status, 200)
                answer = agent.fetch("/metrics", timeout=20)
                self.assertLess(answer.seconds, relaxed(2.0))
                self.assertGreater(len(answer.body), 0.9 * len(whole.body))
            # Twenty answers under way are not twenty answers in memory.
            self.assertLess(agent.memory().rss, rss + 40_000_000 * relaxed(1))
            self.read_to_the_end(slow[0])
        wait_fds(agent, base)

    def read_to_the_end(self, connection):
        tail = b""
        while not tail.endswith(b"0\r\n\r\n"):
            part = connection.recv(1 << 20)
            self.assertNotEqual(part, b"", "the answer broke off")
            tail = (tail + part)[-16:]
