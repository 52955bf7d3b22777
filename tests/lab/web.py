# SPDX-License-Identifier: Apache-2.0
"""Web servers of the site, seen from the tests: one process (webserver.py) with many servers,
controlled at run time.

`WebServers` owns one such process on one host; `Fleet` is several of them, spoken to as one."""

import json
import socket
import sys

from .host import LOCAL
from .process import LabError, wait_until

USAGE = """usage: tests/lab/run web CONTROL_SOCKET [SERVER,...] [SETTING=VALUE...]
e.g. healthcheck=503 search=hang everything=close latency=0.2 listening=false dependency=hung"""


def spread(settings):
    """Settings with `everything` written out as the three routes."""
    everything = settings.get("everything")
    if everything is None:
        return dict(settings)
    rest = {name: value for name, value in settings.items() if name != "everything"}
    return {"healthcheck": everything, "search": everything, "page": everything, **rest}


def request(control, message, timeout=5.0):
    """One request to the process behind the control socket; its reply."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(str(control))
        connection.sendall(json.dumps(message).encode() + b"\n")
        with connection.makefile() as file:
            reply = json.loads(file.readline())
    if "error" in reply:
        raise LabError(f"web server control: {reply['error']}")
    return reply


class WebServers:
    """One process on `host` serving the servers of `specs`: {name: port} (port 0: any free one).

    Names in `tcp` are plain TCP servers, the others HTTP. Belongs to the lab; ends with it."""

    def __init__(self, lab, specs, host=LOCAL, name="web", tcp=()):
        self.host = host
        self.control = lab.directory("control") / f"{name}.sock"
        servers = [
            f"{one},{'tcp' if one in tcp else 'http'},{host.address},{port}"
            for one, port in specs.items()
        ]
        self.child = lab.spawn_module(
            name, "lab.webserver", "--control", self.control, *servers, host=host
        )
        wait_until(
            lambda: self.child.require_alive() and request(self.control, {"op": "state"}),
            what=f"web servers {name}",
        )
        self.names = list(specs)
        self.tcp = [one for one in specs if one in tcp]

    @property
    def ports(self):
        return {name: one["port"] for name, one in self.state()["servers"].items()}

    @property
    def addresses(self):
        """{name: (ip, port)}"""
        return {name: (self.host.address, port) for name, port in self.ports.items()}

    def state(self):
        """{"dependency": ..., "servers": {name: settings, port, counts, connections, open}}"""
        return request(self.control, {"op": "state"})

    def set(self, servers="*", **settings):
        """Changes servers ("*", a name or names): healthcheck=, search=, page= "ok" | status |
        "hang" | "close" | "reset"; everything= all three; latency=, check_latency= seconds;
        listening= False closes the port."""
        if servers == "*":
            servers = [name for name in self.names if name not in self.tcp]
        elif isinstance(servers, str):
            servers = [servers]
        request(self.control, {"op": "set", "servers": list(servers), "settings": spread(settings)})

    def dependency(self, state):
        """ok, dead (health checks of all answer 500) or hung (they hang). Pages are not
        touched."""
        request(self.control, {"op": "dependency", "state": state})

    def counts(self):
        """{server: {route: {outcome: requests answered}}} as the servers themselves counted."""
        return {name: one["counts"] for name, one in self.state()["servers"].items()}

    def stop(self):
        return self.child.stop()


class Fleet:
    """The web servers of several hosts as one."""

    def __init__(self, members):
        self.members = list(members)

    def _merged(self, attribute):
        return {name: value for one in self.members for name, value in attribute(one).items()}

    @property
    def names(self):
        return [name for one in self.members for name in one.names]

    @property
    def addresses(self):
        return self._merged(lambda one: one.addresses)

    @property
    def controls(self):
        return [one.control for one in self.members]

    def set(self, servers="*", **settings):
        if isinstance(servers, str) and servers != "*":
            servers = [servers]
        unknown = [] if servers == "*" else [one for one in servers if one not in self.names]
        if unknown:
            raise LabError(f"no web server {', '.join(unknown)}")
        for member in self.members:
            mine = servers if servers == "*" else [one for one in servers if one in member.names]
            if mine:
                member.set(mine, **settings)

    def dependency(self, state):
        for member in self.members:
            member.dependency(state)

    def counts(self):
        return self._merged(WebServers.counts)


def value_of(text):
    """A setting as typed in a shell."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def main(arguments):
    if not arguments or arguments[0].startswith("-"):
        print(USAGE)
        return 2
    control, *words = arguments
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    names = [name for word in words if "=" not in word for name in word.split(",")]
    known = request(control, {"op": "state"})["servers"]
    dependency = settings.pop("dependency", None)
    if dependency:
        request(control, {"op": "dependency", "state": dependency})
    settings = {name: value_of(text) for name, text in spread(settings).items()}
    if settings:
        request(control, {"op": "set", "servers": names or list(known), "settings": settings})
    json.dump(request(control, {"op": "state"}), sys.stdout, indent=1)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
