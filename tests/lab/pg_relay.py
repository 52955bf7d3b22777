# SPDX-License-Identifier: Apache-2.0
"""A TCP relay in a thread of the test's own process, whose path can be cut.

forward: bytes go both ways. blackhole: connections stay open and new ones are accepted by the
kernel, nothing gets through, as on a network that lost its route. refuse: connections are reset
and new ones refused, as by a host whose server is gone."""

import contextlib
import selectors
import socket
import struct
import threading

from .host import LOCAL
from .process import LabError, free_ports

CHUNK = 65536
PORT = 6432  # on hosts of their own


class Relay:
    """Listens on `host` (free port unless given) and connects from it to `target` (ip, port).
    address is where it listens; `connections` counts those it has relayed."""

    MODES = ("forward", "blackhole", "refuse")

    def __init__(self, lab, target, host=LOCAL, port=None):
        self.target = target
        self.host = host
        if port is None:
            port = PORT if host.namespace else free_ports(1, host.address)[0]
        self.address = (host.address, port)
        self.connections = 0
        self.mode = "forward"
        self._wanted = "forward"
        self._ended = False
        self._changed = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._peers = {}  # {socket: its other side}
        self._wake, self._waker = socket.socketpair()
        self._wake.setblocking(False)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._listener = None
        self._listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        lab.on_close(self.close)

    def set(self, mode):
        """Switches to one of MODES; returns when it is so."""
        if mode not in self.MODES:
            raise LabError(f"no mode {mode!r}; there is: {', '.join(self.MODES)}")
        self._changed.clear()
        self._wanted = mode
        self._waker.send(b".")
        if not self._changed.wait(5):
            raise LabError("the relay's thread does not answer")

    def blackhole(self):
        self.set("blackhole")

    def refuse(self):
        self.set("refuse")

    def forward(self):
        self.set("forward")

    def close(self):
        if not self._ended:
            self._ended = True
            self._waker.send(b".")
            self._thread.join(5)

    # The rest runs in the thread.

    def _listen(self):
        self._listener = self.host.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(self.address)
        self._listener.listen(16)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def _serve(self):
        while not self._ended:
            for key, _ in self._selector.select():
                if key.fileobj is self._wake:
                    self._wake.recv(64)
                    self._apply()
                elif self.mode != "forward":
                    continue  # switched within this round
                elif key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj in self._peers:
                    self._pass_on(key.fileobj)
        self._stop_listening()
        self._drop_all()
        self._selector.close()
        self._wake.close()
        self._waker.close()

    def _apply(self):
        wanted, before = self._wanted, self.mode
        self.mode = wanted
        if wanted != before and not self._ended:
            if wanted == "refuse":
                self._stop_listening()
                self._drop_all()
            elif self._listener is None:
                self._listen()
            for one in [self._listener, *self._peers] if wanted != "refuse" else []:
                self._watch(one, wanted == "forward")
        self._changed.set()

    def _watch(self, one, on):
        with contextlib.suppress(KeyError):
            self._selector.unregister(one)
        if on:
            self._selector.register(one, selectors.EVENT_READ)

    def _stop_listening(self):
        if self._listener:
            with contextlib.suppress(KeyError):
                self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self):
        try:
            near, _ = self._listener.accept()
        except OSError:
            return
        try:
            far = self.host.connect(self.target, 2.0)
        except OSError:
            self._reset(near)
            return
        self.connections += 1
        for one, other in ((near, far), (far, near)):
            one.settimeout(2.0)  # of a peer that does not read
            self._peers[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, one):
        other = self._peers[one]
        try:
            data = one.recv(CHUNK)
            if data:
                other.sendall(data)
                return
        except OSError:
            pass
        self._drop(one)

    def _drop(self, one):
        for side in (one, self._peers[one]):
            with contextlib.suppress(KeyError):
                self._selector.unregister(side)
            del self._peers[side]
            side.close()

    def _drop_all(self):
        for one in list(self._peers):
            with contextlib.suppress(KeyError):
                self._selector.unregister(one)
            self._reset(one)
        self._peers.clear()

    @staticmethod
    def _reset(one):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.close()
