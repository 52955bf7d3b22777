# SPDX-License-Identifier: Apache-2.0
"""Misbehaving stats sockets, for faults that a real HAProxy cannot be told to have.

Each Fake is a tiny real server on a unix or TCP socket, in threads of the test's own process; it
counts the connections it has seen and notes when the peer closed. What it does with a connection
is a behaviour: a function that gets the Session. Made by the functions below, e.g.
Fake(hung_mid_reply(), directory / "lb1.sock"). Sizes in bytes, times in seconds."""

import random
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from .canned import INFO, reply_to, stat, stat_row
from .process import wait_until


@dataclass
class Connection:
    """What happened to one connection. Instants are time.monotonic()."""

    opened: float
    received: bytes = b""
    sent: int = 0
    peer_closed: float | None = None
    closed: float | None = None


class Stopped(Exception):
    """The fake is being closed."""


class Session:
    """A connection as the behaviour sees it."""

    def __init__(self, fake, connection, record):
        self.fake = fake
        self.connection = connection
        self.record = record
        connection.setblocking(False)

    def _wait(self, seconds=None, write=False):
        """Waits for the socket (or just for `seconds`); True when it is ready. Raises Stopped."""
        until = None if seconds is None else time.monotonic() + seconds
        while not self.fake.stopping.is_set():
            left = 0.1 if until is None else min(0.1, until - time.monotonic())
            if left <= 0:
                return False
            ready = select.select(
                [] if write else [self.connection], [self.connection] if write else [], [], left
            )
            if ready[0] or ready[1]:
                return True
        raise Stopped

    def command(self, peek=False):
        """The command line as sent (without its line feed); "" when the peer closed first."""
        while True:
            self._wait()
            try:
                got = self.connection.recv(65536, socket.MSG_PEEK if peek else 0)
            except OSError:
                got = b""
            self.record.received = got if peek else self.record.received + got
            if not got:
                self.left()
            if not got or b"\n" in self.record.received:
                return self.record.received.split(b"\n")[0].decode("latin-1")
            if peek:
                time.sleep(0.001)

    def send(self, data):
        """Sends all of `data`, as fast as the peer reads. BrokenPipeError when it has left."""
        view = memoryview(data)
        while view:
            self._wait(write=True)
            try:
                count = self.connection.send(view)
            except BlockingIOError:
                continue
            except OSError:
                self.left()
                raise
            self.record.sent += count
            view = view[count:]

    def hang(self, seconds=None):
        """Does nothing until the peer leaves (True), or until `seconds` have passed (False)."""
        until = None if seconds is None else time.monotonic() + seconds
        while until is None or time.monotonic() < until:
            if not self._wait(None if until is None else until - time.monotonic()):
                return False
            try:
                if self.connection.recv(65536):
                    continue
            except BlockingIOError:
                continue
            except OSError:
                pass
            self.left()
            return True
        return False

    def left(self):
        if self.record.peer_closed is None:
            self.record.peer_closed = time.monotonic()

    def reset(self):
        """Closes so that the peer gets ECONNRESET. On a unix socket that needs unread input: peek
        at the command."""
        if self.connection.family != socket.AF_UNIX:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


class Fake:
    """A stats socket at `path` (unix, mode 666) or, without one, on a free TCP port of 127.0.0.1.

    accepts=False: the kernel takes connections up to a tiny backlog, nobody ever accepts them."""

    def __init__(self, behaviour, path=None, accepts=True):
        self.behaviour = behaviour
        self.path = None if path is None else Path(path)
        self.stopping = threading.Event()
        self.connections = []
        self._threads = []
        if self.path:
            self.path.unlink(missing_ok=True)
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(self.path))
            self.path.chmod(0o666)
        else:
            self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.listen(128 if accepts else 0)
        if accepts:
            self._listener.settimeout(0.1)
            self._start(self._accept)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _start(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    @property
    def address(self):
        """As lagwatch's configuration names it: a path, or tcp://host:port."""
        if self.path:
            return str(self.path)
        return "tcp://{}:{}".format(*self._listener.getsockname())

    @property
    def seen(self):
        """Connections accepted so far."""
        return len(self.connections)

    @property
    def open(self):
        return sum(1 for one in self.connections if one.closed is None)

    @property
    def peer_closed(self):
        """Connections that the peer closed while we still held them."""
        return sum(1 for one in self.connections if one.peer_closed is not None)

    def wait_seen(self, count, timeout=10.0):
        wait_until(lambda: self.seen >= count, timeout, f"{count} connections on {self.address}")

    def _accept(self):
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            record = Connection(time.monotonic())
            self.connections.append(record)
            self._start(self._serve, connection, record)

    def _serve(self, connection, record):
        with connection:
            try:
                self.behaviour(Session(self, connection, record))
            except (OSError, Stopped):
                pass
        record.closed = time.monotonic()

    def close(self):
        self.stopping.set()
        self._listener.close()
        for thread in self._threads:
            thread.join(5)
        if self.path:
            self.path.unlink(missing_ok=True)


def canned(info=INFO, csv=None):
    """A well-behaved socket with given replies."""
    return lambda session: session.send(reply_to(session.command(), info, csv))


def replay(directory):
    """A well-behaved socket with the replies captured in a directory: show_info.txt and
    show_stat.csv."""
    info, csv = Path(directory, "show_info.txt"), Path(directory, "show_stat.csv")
    return canned(info.read_bytes().decode("latin-1"), csv.read_bytes().decode("latin-1"))


def raw(data):
    """The same bytes whatever is asked, e.g. raw(b"Permission denied\\n\\n") or raw(b"") for none
    at all."""

    def behave(session):
        session.command()
        session.send(data)

    return behave


def error_text(text="Permission denied"):
    return raw(text.encode() + b"\n\n")


def closes():
    """Closes after the command, without a byte."""
    return raw(b"")


def closes_at_once():
    """Closes before anything is asked."""
    return lambda session: None


def hung():
    """Accepts, never answers."""
    return lambda session: session.hang()


def cut(reply, after):
    """The first `after` bytes, at most half of the reply."""
    return reply[: min(after, len(reply) // 2)]


def hung_mid_reply(after=500):
    def behave(session):
        session.send(cut(reply_to(session.command()), after))
        session.hang()

    return behave


def drip(seconds=1.0):
    """The right reply, one byte every `seconds`."""

    def behave(session):
        for byte in reply_to(session.command()):
            session.send(bytes([byte]))
            if session.hang(seconds):
                return

    return behave


def reset_mid_reply(after=500):
    def behave(session):
        session.send(cut(reply_to(session.command(peek=True)), after))
        time.sleep(0.05)  # so that the peer has read what came before the reset
        session.reset()

    return behave


def endless():
    """A reply of right rows that never ends."""

    def behave(session):
        session.send(reply_to(session.command())[:-1])
        row = stat_row(pxname="web", svname="app1", status="UP", type=2).encode() * 500
        while True:
            session.send(row)

    return behave


def big(size=100_000_000):
    """A well-formed reply of about `size` bytes: servers with names of their own."""

    def behave(session):
        command = session.command()
        session.send(reply_to(command)[:-1])
        number, sent = 0, 0
        while "show stat" in command and sent < size:
            rows = "".join(
                stat_row(
                    pxname="big",
                    svname=f"s{number + n}",
                    status="UP",
                    pid=1,
                    iid=9,
                    type=2,
                    sid=number + n + 1,
                )
                for n in range(1000)
            ).encode()
            session.send(rows)
            number, sent = number + 1000, sent + len(rows)
        session.send(b"\n")

    return behave


def garbage(size=65536, seed=1):
    return raw(random.Random(seed).randbytes(size))


def truncated(share=0.5):
    """The reply to `show stat` cut within a row, then a clean close. Other commands are answered
    whole."""

    def behave(session):
        command = session.command()
        reply = reply_to(command)
        session.send(reply[: int(len(reply) * share)] if "show stat" in command else reply)

    return behave


def odd_columns():
    """The CSV of versions with a column called (null), with a name twice, and with the module
    delimiter."""
    lines = stat().splitlines()
    head = lines[0] + "(null),-,quic_streams,quic_streams,"
    return canned(csv="\n".join([head, *(line + ",-,1,2," for line in lines[1:])]) + "\n")
