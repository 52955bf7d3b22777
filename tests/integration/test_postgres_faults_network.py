# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL behind a network that is cut, and what is no PostgreSQL at all, beside a healthy
one."""

import contextlib
import os
import socket
import threading
import time
from pathlib import Path

from lab.pg_relay import Relay
from lab.process import free_ports

from integration.pg_support import MON
from integration.support import SICK, Watch, duration, failing, relaxed
from integration.test_postgres_faults import PERIOD, WithPair


def connections_to(agent, port):
    """How many TCP sockets the agent has that lead, or try to lead, to a local port."""
    own = set()
    for fd in Path(f"/proc/{agent.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            own.add(os.readlink(fd))
    rows = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    found = [row.split() for row in rows]
    return sum(
        int(row[2].split(":")[1], 16) == port and f"socket:[{row[9]}]" in own for row in found
    )

class Unreachable(WithPair):
    """Over TCP, through a relay that can be cut, and to nowhere."""

    def setUp(self):
        self.relay = Relay(self.lab, self.sick.address)
        self.addCleanup(self.relay.close)

    def target(self):
        ip, port = self.relay.address
        return {"name": SICK, "dsn": f"host={ip} port={port} user={MON} dbname=postgres"}

    def watch_one_connection(self, agent, port, lasts=2.0):
        """Looks for `lasts`: with all its lanes there is at most one connection at a time."""
        end = time.monotonic() + lasts
        most = 0
        while time.monotonic() < end:
            most = max(most, connections_to(agent, port))
            time.sleep(0.005)
        self.assertEqual(most, 1)

    def test_cut_off_without_a_word_is_hung(self):
        agent = self.watching(self.target())
        with self.fault(agent, "hung", lasts=0) as seen:
            self.relay.blackhole()
            seen()
            self.watch_one_connection(agent, self.relay.address[1])
            self.relay.forward()

    def test_cut_off_with_a_reset_is_refused(self):
        agent = self.watching(self.target())
        with self.fault(agent, "refused", "reset", lasts=0):
            self.relay.refuse()
            agent.wait_metric(lambda m: failing(m, SICK) == "refused", "refused", relaxed(4))
            self.assertIn("reason=re", agent.log())
            self.relay.forward()

    def test_a_name_that_does_not_resolve_and_a_host_that_takes_no_connection(self):
        with socket.socket() as full, contextlib.ExitStack() as stack:
            full.bind(("127.0.0.1", free_ports(1)[0]))
            full.listen(0)
            self.fill(full.getsockname(), stack)
            ip, port = full.getsockname()
            agent = self.watching(
                {"name": "full", "dsn": f"host={ip} port={port} user={MON}"},
                {"name": "unnamed", "dsn": f"host=nobody.invalid user={MON}"},
                up=False,
                timeout=duration(relaxed(1.0)),
            )
            with Watch(agent) as watch:
                self.wait_failing(agent, "connect_timeout", "full", relaxed(4))
                self.wait_failing(agent, "resolve", "unnamed", relaxed(4))
                self.watch_one_connection(agent, port)
            watch.check(self, period=PERIOD)
            self.assertIn("check the host and the way to it", agent.log())

    def fill(self, address, stack):
        """Takes all places in the queue of a listener, so that no more SYN is answered."""
        for _ in range(20):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.connect(address)

    def test_one_that_listens_and_is_no_postgres(self):
        with socket.create_server(("127.0.0.1", free_ports(1)[0])) as server:
            threading.Thread(target=self.answer_as_web_server, args=(server,), daemon=True).start()
            ip, port = server.getsockname()
            dsn = f"host={ip} port={port} user={MON} sslmode=disable"
            agent = self.watching({"name": SICK, "dsn": dsn}, up=False)
            with Watch(agent) as watch:
                self.wait_failing(agent, "protocol")
            watch.check(self, period=PERIOD)
            self.assertIn("no PostgreSQL listens there", agent.log())
            agent.stop()

    @staticmethod
    def answer_as_web_server(server):
        with contextlib.suppress(OSError):  # until the server is closed
            while True:
                with server.accept()[0] as one:
                    one.recv(1000)
                    one.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
