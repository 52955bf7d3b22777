# SPDX-License-Identifier: Apache-2.0
"""One GET to an API socket of Passenger, as any user: who asks decides what is answered.

GET without a body, ever: a body makes the core of 6.0 abort. Times in seconds."""

import base64
import http.client
import json
import os
import pwd
import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict
    body: bytes

    @property
    def text(self):
        return self.body.decode("utf-8")

    def json(self):
        return json.loads(self.body)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("passenger", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        # Below this process' own handle on the directory: sockets under a unit's private /tmp have
        # paths longer than an address may be.
        directory, name = os.path.split(self._path)
        handle = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.sock.connect(f"/proc/self/fd/{handle}/{name}")
        finally:
            os.close(handle)


def get(socket_path, path, account=None, timeout=5.0):
    """The Answer to GET `path`, asked as ourselves; `account` is (name, password). OSError."""
    connection = _Connection(str(socket_path), timeout)
    headers = {"Connection": "close"}
    if account:
        words = base64.b64encode(":".join(account).encode()).decode()
        headers["Authorization"] = f"Basic {words}"
    try:
        connection.request("GET", path, headers=headers)
        reply = connection.getresponse()
        return Answer(reply.status, dict(reply.getheaders()), reply.read())
    finally:
        connection.close()


def get_as(user, socket_path, path, account=None, timeout=5.0):
    """get() as another user (root only), in a process of its own. OSError with what it was told."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _ask_as(user, write, (socket_path, path, account, timeout))
    os.close(write)
    with open(read, "rb") as pipe:
        reply = pipe.read()
    os.waitpid(child, 0)
    if not reply:
        raise OSError(f"whoever asked as {user} died")
    said = json.loads(reply)
    if "error" in said:
        raise OSError(*said["error"])
    return Answer(said["status"], said["headers"], said["body"].encode("latin-1"))


def _ask_as(user, write, question):
    """The child's part; never returns."""
    try:
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setresgid(*[entry.pw_gid] * 3)
        os.setresuid(*[entry.pw_uid] * 3)
        answer = get(*question)
        body = answer.body.decode("latin-1")
        said = {"status": answer.status, "headers": answer.headers, "body": body}
    except OSError as error:
        said = {"error": [error.errno, error.strerror or str(error)]}
    try:
        with open(write, "wb") as pipe:
            pipe.write(json.dumps(said).encode())
    finally:
        os._exit(0)
