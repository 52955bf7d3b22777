# SPDX-License-Identifier: Apache-2.0
"""A connection to PostgreSQL in a few lines: the simple query protocol, without a process per
question.

Works with every version (protocol 3.0), over a unix socket or TCP, for roles that need no password
(`trust`). Values are text, NULL is None. Times in seconds."""

import socket
import struct

from .process import LabError


class SqlError(LabError):
    """The server refused; code is the SQLSTATE, e.g. "42501", severity e.g. "FATAL"."""

    def __init__(self, fields):
        super().__init__(f"{fields.get('S')}: {fields.get('M')} ({fields.get('C')})")
        self.severity = fields.get("S", "")
        self.code = fields.get("C", "")


class Session:
    """One connection, a context manager. `address`: path of the unix socket or (ip, port); `host`
    makes the socket for the latter.

    replication: None, "true" (physical walsender, e.g. for IDENTIFY_SYSTEM) or "database"."""

    def __init__(
        self,
        address,
        user="postgres",
        dbname="postgres",
        host=None,
        timeout=10.0,
        application_name="lab",
        replication=None,
    ):
        if isinstance(address, tuple):
            self._socket = host.connect(address, timeout)
        else:
            self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.settimeout(timeout)
            if not isinstance(address, tuple):
                self._socket.connect(str(address))
            self._file = self._socket.makefile("rb")
            parameters = {"user": user, "database": dbname, "application_name": application_name}
            if replication:
                parameters["replication"] = replication
            self._start(parameters)
        except BaseException:
            self.abandon()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Says goodbye, as far as the server listens."""
        try:
            self._socket.settimeout(0.5)
            self._send(b"X", b"")
        except OSError:
            pass
        self.abandon()

    def abandon(self):
        """Closes without a word."""
        if getattr(self, "_file", None):
            self._file.close()
        self._socket.close()

    def _start(self, parameters):
        text = b"".join(
            name.encode() + b"\0" + value.encode() + b"\0" for name, value in parameters.items()
        )
        body = struct.pack("!I", 196608) + text + b"\0"
        self._socket.sendall(struct.pack("!I", len(body) + 4) + body)
        self.pid = None  # of the backend
        while True:
            kind, body = self._message()
            if kind == b"E":
                raise SqlError(error_fields(body))
            if kind == b"R" and struct.unpack("!I", body[:4])[0] != 0:
                raise LabError("the server asks for a password: a Session has none")
            if kind == b"K":
                self.pid = struct.unpack("!I", body[:4])[0]
            if kind == b"Z":
                return

    def _send(self, kind, body):
        self._socket.sendall(kind + struct.pack("!I", len(body) + 4) + body)

    def _message(self):
        """(kind, body); ConnectionResetError when the server has left, TimeoutError when it is
        silent."""
        head = self._file.read(5)
        if len(head) < 5:
            raise ConnectionResetError("the server closed the connection")
        length = struct.unpack("!I", head[1:])[0] - 4
        body = self._file.read(length)
        if len(body) < length:
            raise ConnectionResetError("the server closed the connection")
        return head[:1], body

    def send(self, text):
        """Sends a query and does not wait for its result; finish() does."""
        self._send(b"Q", text.encode() + b"\0")

    def finish(self, timeout=None):
        """Rows of the last statement sent that has any: a list of tuples. SqlError."""
        if timeout is not None:
            self._socket.settimeout(timeout)
        rows, error = [], None
        while True:
            kind, body = self._message()
            if kind == b"T":
                rows = []
            elif kind == b"D":
                rows.append(row_values(body))
            elif kind == b"E":
                error = SqlError(error_fields(body))
                if error.severity in ("FATAL", "PANIC"):
                    raise error
            elif kind == b"Z":
                if error:
                    raise error
                return rows

    def sql(self, text, timeout=None):
        """Runs statements (several, joined by ;, are one transaction)."""
        self.send(text)
        return self.finish(timeout)


def row_values(body):
    values, offset = [], 2
    for _ in range(struct.unpack("!H", body[:2])[0]):
        length = struct.unpack("!i", body[offset : offset + 4])[0]
        offset += 4
        if length < 0:
            values.append(None)
        else:
            values.append(body[offset : offset + length].decode("utf-8", "replace"))
            offset += length
    return tuple(values)


def error_fields(body):
    parts = body.decode("utf-8", "replace").split("\0")
    return {part[0]: part[1:] for part in parts if part}
