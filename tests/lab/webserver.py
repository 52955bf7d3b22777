# SPDX-License-Identifier: Apache-2.0
"""The process behind web.py: many small servers in one asyncio loop, told how to behave through a
unix socket.

HTTP servers answer three routes: /healthcheck, /search... and every other page. Each route of
each server has a behaviour: "ok", a status code, "hang" (no answer until told otherwise or the
client leaves), "close" (the connection ends without a byte) or "reset". What is asked for
/healthcheck also depends on the dependency that all of them share: dead answers 500, hung hangs.
TCP servers swallow what they are sent.

Control: one JSON object a line, answered by one JSON object a line; see Control.handle()."""

import argparse
import asyncio
import json
import os
import resource
import signal
import socket
import struct
import sys
from dataclasses import asdict, dataclass, field

ROUTES = ("healthcheck", "search", "page")
DEPENDENCY = {"ok": "ok", "dead": 500, "hung": "hang"}
REASONS = {200: "OK", 404: "Not Found", 500: "Internal Server Error", 503: "Service Unavailable"}


@dataclass
class Settings:
    """How one server behaves. Latency in seconds, before the answer; the health check has its
    own."""

    healthcheck: str | int = "ok"
    search: str | int = "ok"
    page: str | int = "ok"
    latency: float = 0.0
    check_latency: float = 0.0
    listening: bool = True

    def checked(self):
        for route in ROUTES:
            behaviour = getattr(self, route)
            if behaviour not in ("ok", "hang", "close", "reset") and not isinstance(behaviour, int):
                raise ValueError(f"{route}: ok, hang, close, reset or a status, not {behaviour!r}")
        return self


@dataclass
class Server:
    name: str
    kind: str  # http or tcp
    address: str
    port: int
    settings: Settings = field(default_factory=Settings)
    counts: dict = field(default_factory=lambda: {route: {} for route in ROUTES})
    connections: int = 0  # accepted since the start
    listener: asyncio.Server | None = None
    writers: set = field(default_factory=set)

    def count(self, route, outcome):
        self.counts[route][str(outcome)] = self.counts[route].get(str(outcome), 0) + 1


class World:
    """All servers of this process and the dependency they share. Everything runs on one loop."""

    def __init__(self, servers):
        self.servers = {server.name: server for server in servers}
        self.dependency = "ok"
        self.changed = asyncio.Event()  # replaced at each change of behaviour

    def touch(self):
        self.changed.set()
        self.changed = asyncio.Event()

    async def apply(self, server):
        """Opens or closes the server's port as its settings say; a closed one drops its
        connections."""
        if server.settings.listening and server.listener is None:
            handler = self.serve_http if server.kind == "http" else self.serve_tcp
            server.listener = await asyncio.start_server(
                lambda reader, writer: self.connection(server, handler, reader, writer),
                server.address,
                server.port,
                backlog=1024,
            )
            server.port = server.listener.sockets[0].getsockname()[1]
        elif not server.settings.listening and server.listener is not None:
            server.listener.close()
            server.listener = None
            for writer in list(server.writers):
                writer.transport.abort()

    async def connection(self, server, handler, reader, writer):
        server.connections += 1
        server.writers.add(writer)
        try:
            await handler(server, reader, writer)
        except (OSError, EOFError, asyncio.LimitOverrunError, ValueError):
            pass  # the client left, or does not speak HTTP
        finally:
            server.writers.discard(writer)
            writer.close()

    async def serve_tcp(self, _server, reader, _writer):
        while await reader.read(65536):
            pass

    async def serve_http(self, server, reader, writer):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, version = head[0].split(" ")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
            await reader.readexactly(int(headers.get("content-length", 0)))
            keep = version == "HTTP/1.1" and headers.get("connection") != "close"
            if not await self.answer(server, method, path, keep, reader, writer) or not keep:
                return

    async def answer(self, server, method, path, keep, reader, writer):
        """One answer; False when the connection is to end."""
        route = route_of(path)
        settings = server.settings
        wait = settings.check_latency if route == "healthcheck" else settings.latency
        if wait:
            await self.delay(wait)
        while (behaviour := self.behaviour(server, route)) == "hang":
            if not await self.hang(reader):
                server.count(route, "abandoned")
                return False
        status = 200 if behaviour == "ok" else behaviour
        server.count(route, status)
        if status in ("close", "reset"):
            if status == "reset":
                reset(writer)
            return False
        body = f"{server.name} {path}\n".encode()
        writer.write(
            f"HTTP/1.1 {status} {REASONS.get(status, 'X')}\r\nContent-Type: text/plain\r\n"
            f"Content-Length: {len(body)}\r\nX-Served-By: {server.name}\r\n"
            f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n".encode()
        )
        if method != "HEAD":
            writer.write(body)
        await writer.drain()
        return True

    def behaviour(self, server, route):
        own = getattr(server.settings, route)
        return DEPENDENCY[self.dependency] if route == "healthcheck" and own == "ok" else own

    async def delay(self, seconds):
        """Waits, but not beyond the next change of behaviour: what heals a slow server heals it
        at once."""
        try:
            await asyncio.wait_for(self.changed.wait(), seconds)
        except asyncio.TimeoutError:
            pass

    async def hang(self, reader):
        """Waits until behaviours change (True) or the client leaves (False)."""
        change = asyncio.ensure_future(self.changed.wait())
        leaves = asyncio.ensure_future(reader.read(1))
        done, pending = await asyncio.wait({change, leaves}, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return leaves not in done


def route_of(path):
    if path.split("?")[0] == "/healthcheck":
        return "healthcheck"
    return "search" if path.startswith("/search") else "page"


def reset(writer):
    """Makes the coming close of the connection a TCP reset."""
    own = writer.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Control:
    """The unix socket through which the tests speak to a World."""

    def __init__(self, world):
        self.world = world

    async def serve(self, reader, writer):
        try:
            while line := await reader.readline():
                try:
                    reply = await self.handle(json.loads(line))
                except (ValueError, TypeError, KeyError, OSError) as error:
                    reply = {"error": f"{type(error).__name__}: {error}"}
                writer.write(json.dumps(reply).encode() + b"\n")
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def handle(self, request):
        """{"op": "set", "servers": [names] or "*", "settings": {...}}, {"op": "dependency",
        "state": ...}, {"op": "state"}."""
        world = self.world
        if request["op"] == "set":
            names = world.servers if request["servers"] == "*" else request["servers"]
            chosen = [world.servers[name] for name in names]
            for server in chosen:
                server.settings = Settings(
                    **{**asdict(server.settings), **request["settings"]}
                ).checked()
                await world.apply(server)
            world.touch()
        elif request["op"] == "dependency":
            DEPENDENCY[request["state"]]
            world.dependency = request["state"]
            world.touch()
        elif request["op"] != "state":
            raise ValueError(f"unknown op {request['op']!r}")
        return {
            "dependency": world.dependency,
            "servers": {
                one.name: {
                    "port": one.port,
                    "counts": one.counts,
                    "connections": one.connections,
                    "open": len(one.writers),
                    **asdict(one.settings),
                }
                for one in world.servers.values()
            },
        }


async def run(arguments):
    servers = []
    for text in arguments.server:
        name, kind, address, port = text.split(",")
        servers.append(Server(name, kind, address, int(port)))
    world = World(servers)
    for server in servers:
        await world.apply(server)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    # Made last: whoever can connect to it finds all ports open.
    await asyncio.start_unix_server(Control(world).serve, arguments.control)
    os.chmod(arguments.control, 0o600)
    await stop.wait()


def main():
    parser = argparse.ArgumentParser(description="Many small servers in one process.")
    parser.add_argument("--control", required=True, help="path of the control socket")
    parser.add_argument("server", nargs="+", help="name,http|tcp,address,port (port 0: any)")
    arguments = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65536)), hard))
    asyncio.run(run(arguments))
    sys.stdout.flush()
    os._exit(0)  # connections may still hang: no waiting for them


if __name__ == "__main__":
    main()
