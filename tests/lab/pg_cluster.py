# SPDX-License-Identifier: Apache-2.0
"""A primary, its standbys and a standby of a standby, started together, on any hosts.

On loopback by default; on_site() puts them on the database hosts of a Site. Times in seconds."""

from .host import LOCAL
from .postgres import Postgres


class Cluster:
    """primary, standbys (`standby` is the first) and cascade (of the first standby, or None), all
    streaming and caught up when the constructor returns.

    hosts: of primary, standbys and cascade in turn; the last is used for what is left. slots: each
    standby has a physical slot of its name; by default where the version has slots. relay: standbys
    stream through a Relay (`standby.relay`). archive: see Postgres.archive(), of the primary.
    prefix: of the servers' names, for two clusters in one lab. more: Postgres' arguments."""

    def __init__(
        self,
        lab,
        version="15",
        standbys=1,
        cascade=False,
        hosts=(LOCAL,),
        slots=None,
        relay=False,
        archive=None,
        prefix="",
        **more,
    ):
        self._hosts = list(hosts)
        self._prefix = prefix
        self.primary = Postgres(lab, f"{prefix}primary", version, self._host(0), **more)
        if archive:
            self.primary.archive(archive)
        self.primary.start()
        self._slots = self.primary.number >= 904 if slots is None else slots
        self.standbys = [
            self._standby(self.primary, f"standby{n + 1}", n + 1, relay) for n in range(standbys)
        ]
        self.cascade = None
        if cascade:
            self.cascade = self._standby(self.standby, "cascade", standbys + 1, False)
        for server in self.servers[1:]:
            server.wait_streaming()
            server.wait_caught_up()

    def _host(self, number):
        return self._hosts[min(number, len(self._hosts) - 1)]

    def _standby(self, upstream, name, number, relay):
        name = self._prefix + name
        slot = name if self._slots else None
        return upstream.standby(name, slot=slot, host=self._host(number), relay=relay)

    @property
    def standby(self):
        return self.standbys[0]

    @property
    def servers(self):
        """All of them, primary first."""
        return [self.primary, *self.standbys, *([self.cascade] if self.cascade else [])]


def on_site(site, version="15", **more):
    """A Cluster on a Site: with layout netns the primary on db1, the standby on db2, a cascade on
    search1, each at port 5432; site.network.unplug("db2") cuts the standby off. With layout local
    all on loopback."""
    if site.layout == "netns":
        more.setdefault("hosts", [site.hosts[name] for name in ("db1", "db2", "search1")])
    return Cluster(site.lab, version, **more)
