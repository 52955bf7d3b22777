# SPDX-License-Identifier: Apache-2.0
"""Each fake does what its name says, over a unix and a TCP socket, and notices when the peer
leaves."""

import csv
import io
import socket
import tempfile
import time
import unittest
from pathlib import Path

from .. import canned, fakes
from ..fakes import Fake
from ..process import wait_until


class Fakes(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="lagwatch-fakes-")
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name, "stats.sock")

    def connect(self, fake, timeout):
        if fake.path:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(timeout)
            try:
                connection.connect(str(fake.path))
            except OSError:
                connection.close()
                raise
            return connection
        host, port = fake.address.removeprefix("tcp://").split(":")
        return socket.create_connection((host, int(port)), timeout)

    def exchange(self, fake, command=b"show info;show stat\n", timeout=0.5, most=None):
        """(bytes, how it ended: closed, reset or timeout)."""
        got = bytearray()
        with self.connect(fake, timeout) as connection:
            connection.sendall(command)
            try:
                while part := connection.recv(65536):
                    got += part
                    if most and len(got) > most:
                        return bytes(got), "enough"
            except TimeoutError:
                return bytes(got), "timeout"
            except ConnectionResetError:
                return bytes(got), "reset"
        return bytes(got), "closed"

    def both(self, behaviour):
        for path in (self.path, None):
            with self.subTest(path), Fake(behaviour, path) as fake:
                yield fake

    def whole(self):
        return canned.reply_to("show info;show stat")

    def test_canned(self):
        for fake in self.both(fakes.canned()):
            self.assertEqual(self.exchange(fake), (self.whole(), "closed"))
            info, _ = self.exchange(fake, b"show info\n")
            self.assertTrue(info.startswith(b"Name: HAProxy\n") and info.endswith(b"\n\n"))
            self.assertEqual(fake.seen, 2)
            self.assertEqual(fake.connections[1].received, b"show info\n")

    def test_hung(self):
        for fake in self.both(fakes.hung()):
            self.assertEqual(self.exchange(fake, timeout=0.2), (b"", "timeout"))
            wait_until(lambda: fake.peer_closed == 1 and fake.open == 0, 2, "peer's close noticed")

    def test_hung_mid_reply(self):
        for fake in self.both(fakes.hung_mid_reply(100)):
            self.assertEqual(self.exchange(fake, timeout=0.2), (self.whole()[:100], "timeout"))
            wait_until(lambda: fake.peer_closed == 1, 2, "peer's close noticed")

    def test_drip(self):
        for fake in self.both(fakes.drip(0.05)):
            started = time.monotonic()
            got, _ = self.exchange(fake, most=5)
            self.assertEqual(got, self.whole()[:6])
            self.assertGreater(time.monotonic() - started, 0.2)
            wait_until(lambda: fake.peer_closed == 1, 2, "peer's close noticed")

    def test_reset_mid_reply(self):
        for fake in self.both(fakes.reset_mid_reply(300)):
            self.assertEqual(self.exchange(fake), (self.whole()[:300], "reset"))

    def test_endless(self):
        for fake in self.both(fakes.endless()):
            got, end = self.exchange(fake, most=3_000_000)
            self.assertEqual(end, "enough")
            self.assertTrue(got.startswith(self.whole()[:-1]))
            wait_until(lambda: fake.peer_closed == 1, 2, "peer's close noticed")

    def test_big(self):
        for fake in self.both(fakes.big(2_000_000)):
            got, end = self.exchange(fake, b"show stat\n", timeout=5)
            self.assertEqual(end, "closed")
            self.assertGreater(len(got), 2_000_000)
            rows = list(csv.reader(io.StringIO(got[2:].decode())))
            self.assertEqual({len(row) for row in rows[:-1]}, {len(rows[0])})

    def test_garbage(self):
        for fake in self.both(fakes.garbage(5000)):
            got, end = self.exchange(fake)
            self.assertEqual((len(got), end), (5000, "closed"))

    def test_truncated(self):
        for fake in self.both(fakes.truncated(0.5)):
            got, end = self.exchange(fake, b"show stat\n")
            whole = canned.reply_to("show stat")
            self.assertEqual((got, end), (whole[: len(whole) // 2], "closed"))
            self.assertFalse(got.endswith(b"\n"))

    def test_odd_columns(self):
        for fake in self.both(fakes.odd_columns()):
            got, _ = self.exchange(fake, b"show stat\n")
            rows = list(csv.reader(io.StringIO(got[2:].decode())))[:-1]
            self.assertIn("(null)", rows[0])
            self.assertEqual(rows[0].count("quic_streams"), 2)
            self.assertEqual({len(row) for row in rows}, {len(rows[0])})

    def test_error_text_and_closes(self):
        for fake in self.both(fakes.error_text()):
            self.assertEqual(self.exchange(fake), (b"Permission denied\n\n", "closed"))
        for fake in self.both(fakes.closes()):
            self.assertEqual(self.exchange(fake), (b"", "closed"))
        with Fake(fakes.closes_at_once()) as fake:
            with self.connect(fake, 1) as connection:
                self.assertEqual(connection.recv(1), b"")

    def test_unaccepted(self):
        with Fake(fakes.hung(), self.path, accepts=False) as fake:
            first = self.connect(fake, 0.2)  # the backlog's
            with self.assertRaises(BlockingIOError):  # a socket without a timeout would wait
                self.connect(fake, 0.2)
            first.close()
            self.assertEqual(fake.seen, 0)
