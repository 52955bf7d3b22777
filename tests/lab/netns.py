# SPDX-License-Identifier: Apache-2.0
"""Hosts as network namespaces, joined by veth pairs to a bridge in a namespace of its own.

Nothing is added to the machine's own network. Names are unique per run
(`lw<pid>n<number>-<host>`); namespaces go when the lab closes, or by the janitor when the lab was
killed. Needs root."""

import itertools
import os
import shutil
import subprocess

from .host import Host
from .process import Unavailable, environment

NETWORK = "10.77.0"  # /24, only ever inside the namespaces
OUTSIDE = 254  # address of the bridge: where visitors come from
_numbers = itertools.count(1)


def ip(*arguments):
    """Runs ip(8); Unavailable with its message when it fails."""
    done = subprocess.run(
        ["ip", *arguments], capture_output=True, text=True, check=False, env=environment()
    )
    if done.returncode != 0:
        reason = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[0]
        raise Unavailable(f"network namespaces: ip {' '.join(arguments)}: {reason}")
    return done.stdout


class Network:
    """Namespaces for `names` (at most 200, 15 characters each), each with eth0 and loopback,
    belonging to the lab.

    hosts: {name: Host}; outside: the Host of the bridge, which reaches all others."""

    def __init__(self, lab, names):
        if os.geteuid() != 0:
            raise Unavailable("network namespaces: not root")
        if not shutil.which("ip", path=environment()["PATH"]):
            raise Unavailable("network namespaces: no ip command (apt-get install iproute2)")
        self._lab = lab
        self._prefix = f"lw{os.getpid()}n{next(_numbers)}"
        self.outside = self._namespace("outside", OUTSIDE)
        bridge = self.outside.namespace
        ip("-n", bridge, "link", "add", "name", "br0", "type", "bridge")
        ip("-n", bridge, "address", "add", f"{self.outside.address}/24", "dev", "br0")
        ip("-n", bridge, "link", "set", "dev", "br0", "up")
        self.hosts = {name: self._join(name, number) for number, name in enumerate(names, 11)}

    def _namespace(self, name, number):
        host = Host(name, f"{NETWORK}.{number}", f"{self._prefix}-{name}")
        # Announced before it is made: to remove what does not exist does no harm.
        self._lab.announce("netns", host.namespace)
        self._lab.on_close(lambda: self._remove(host.namespace))
        ip("netns", "add", host.namespace)
        ip("-n", host.namespace, "link", "set", "dev", "lo", "up")
        return host

    def _join(self, name, number):
        host = self._namespace(name, number)
        bridge = self.outside.namespace
        ip(
            "-n",
            bridge,
            "link",
            "add",
            "name",
            name,
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            host.namespace,
        )
        ip("-n", bridge, "link", "set", "dev", name, "master", "br0", "up")
        ip("-n", host.namespace, "address", "add", f"{host.address}/24", "dev", "eth0")
        ip("-n", host.namespace, "link", "set", "dev", "eth0", "up")
        return host

    def _remove(self, namespace):
        subprocess.run(
            ["ip", "netns", "del", namespace],
            check=False,
            stderr=subprocess.DEVNULL,
            env=environment(),
        )
        self._lab.forget("netns", namespace)

    def unplug(self, name):
        """Takes the host off the network: what is sent to it gets lost."""
        ip("-n", self.outside.namespace, "link", "set", "dev", name, "down")

    def plug(self, name):
        ip("-n", self.outside.namespace, "link", "set", "dev", name, "up")
