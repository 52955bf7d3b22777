# SPDX-License-Identifier: Apache-2.0
"""The programs lagwatch is measured against, as installed from Debian."""

import shutil

from lab.process import Unavailable, environment, free_ports, wait_until

from .measure import get

PACKAGES = (
    "prometheus-haproxy-exporter",
    "prometheus-node-exporter",
    "prometheus-postgres-exporter",
    "prometheus-elasticsearch-exporter",
)


class Exporter:
    """A Go exporter on a free loopback port. Unavailable when it is not installed."""

    def __init__(self, lab, name, program, *flags, env=None):
        binary = shutil.which(program, path=environment()["PATH"])
        if binary is None:
            raise Unavailable(f"{program} is not installed (Debian package {program})")
        port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{port}/metrics"
        argv = [binary, f"--web.listen-address=127.0.0.1:{port}", *flags]
        self.child = lab.spawn(name, argv, env=env)
        wait_until(
            lambda: self.child.require_alive() and get(self.url.replace("/metrics", "/")),
            what=f"{name} listens",
        )

    @property
    def pid(self):
        return self.child.pid


def haproxy_exporter(lab, name, haproxy, report):
    """prometheus-haproxy-exporter on the unix socket of `haproxy`; None, and a skip in the report,
    when it cannot be had."""
    return optional(
        lab, report, name, PACKAGES[0], f"--haproxy.scrape-uri=unix:{haproxy.user_socket}"
    )


def node_exporter(lab, report):
    return optional(lab, report, "node_exporter", PACKAGES[1])


def postgres_exporter(lab, dsn, report):
    return optional(lab, report, "postgres_exporter", PACKAGES[2], env={"DATA_SOURCE_NAME": dsn})


def elasticsearch_exporter(lab, url, report):
    flags = (f"--es.uri={url}", "--es.all")
    return optional(lab, report, "elasticsearch_exporter", PACKAGES[3], *flags)


def optional(lab, report, name, program, *flags, env=None):
    try:
        return Exporter(lab, name, program, *flags, env=env)
    except Unavailable as reason:
        report.skip(f"peer {program}", str(reason))
        return None
