# SPDX-License-Identifier: Apache-2.0
"""A host of the site: an address, and where commands and sockets for it are made.

LOCAL is this machine itself on loopback. netns.py makes hosts that are network namespaces.
Whoever starts a server or opens a connection asks the host how, so that servers and tests need
not know which layout they run in."""

import ctypes
import os
import socket
import threading
from dataclasses import dataclass

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Host:
    name: str
    address: str = "127.0.0.1"
    namespace: str | None = None  # name under /run/netns; None: the namespace we are in

    def argv(self, argv):
        """The command line that runs `argv` on this host. The process id stays that of the first
        exec."""
        if self.namespace is None:
            return list(argv)
        return ["ip", "netns", "exec", self.namespace, *argv]

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM):
        """A socket that belongs to this host's network, usable from any thread of ours."""
        if self.namespace is None:
            return socket.socket(family, kind)
        made = []
        # A thread of its own: setns() moves one thread only, and that thread ends here.
        thread = threading.Thread(target=self._socket_inside, args=(family, kind, made))
        thread.start()
        thread.join()
        if isinstance(made[0], OSError):
            raise made[0]
        return made[0]

    def _socket_inside(self, family, kind, made):
        try:
            inside = os.open(f"/run/netns/{self.namespace}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _libc.setns(inside, CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"setns to {self.namespace}")
                made.append(socket.socket(family, kind))
            finally:
                os.close(inside)
        except OSError as error:
            made.append(error)

    def connect(self, address, timeout=5.0):
        """A TCP connection from this host to (ip, port); `timeout` in seconds also for later
        reads."""
        connection = self.socket()
        try:
            connection.settimeout(timeout)
            connection.connect(address)
        except BaseException:
            connection.close()
            raise
        return connection


LOCAL = Host("localhost")
