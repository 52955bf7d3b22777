# SPDX-License-Identifier: Apache-2.0
"""Texts of an Apache with Passenger: `App` is one application and its virtual host, render() the
whole httpd.conf. Pure but for looking which modules are there."""

import json
from dataclasses import dataclass, field
from pathlib import Path

MODULES = Path("/usr/lib/apache2/modules")
LOCATIONS = "/usr/lib/ruby/vendor_ruby/phusion_passenger/locations.ini"
LOADED = (
    "authz_core",
    "authz_host",
    "env",
    "dir",
    "mime",
    "status",
    "passenger",
)
MOST_THREADS = 25  # of one Apache process


@dataclass
class App:
    """An application on a port of its own.

    environment: {name: value} of its processes. extra: further lines of its virtual host, e.g. a
    <Location> with an application group of its own."""

    environment: dict = field(default_factory=dict)
    extra: tuple = ()


@dataclass
class Limits:
    """pool: processes of all applications together. queue: requests that may wait in each
    application group. workers: MaxRequestWorkers, requests that Apache holds at once, those that
    wait in Passenger included. mpm: event, worker or prefork."""

    pool: int = 2
    queue: int = 100
    workers: int = 150
    mpm: str = "event"


def threads_per_process(workers):
    """Apache wants MaxRequestWorkers to be a multiple of it."""
    return max(count for count in range(1, MOST_THREADS + 1) if workers % count == 0)


def modules(mpm):
    """What is not built into this Apache."""
    return [
        f"LoadModule {name}_module {MODULES}/mod_{name}.so"
        for name in (f"mpm_{mpm}", *LOADED)
        if (MODULES / f"mod_{name}.so").exists()
    ]


def processes(limits):
    if limits.mpm == "prefork":
        return [f"MaxRequestWorkers {limits.workers}", f"ServerLimit {limits.workers}"]
    threads = threads_per_process(limits.workers)
    return [
        f"ThreadsPerChild {threads}",
        f"ThreadLimit {threads}",
        f"MaxRequestWorkers {limits.workers}",
        f"ServerLimit {limits.workers // threads}",
        f"MinSpareThreads {threads}",
        f"MaxSpareThreads {max(limits.workers, 2 * threads)}",
    ]


def server(directory, user, limits):
    as_user = [f"User {user}", f"Group {user}"] if user else []
    return [
        f"ServerRoot {directory}",
        "ServerName localhost",
        f"DefaultRuntimeDir {directory}",
        f"PidFile {directory}/apache.pid",
        f"Mutex file:{directory} default",
        f"ErrorLog {directory}/error.log",
        "TypesConfig /etc/mime.types",
        *as_user,
        "StartServers 1",
        *processes(limits),
    ]


def passenger(registry, limits, authorizations):
    """registry: None leaves it where Passenger puts it. authorizations: of the core's API."""
    return [
        f"PassengerRoot {LOCATIONS}",
        "PassengerDefaultRuby /usr/bin/ruby",
        *([f"PassengerInstanceRegistryDir {registry}"] if registry else []),
        f"PassengerMaxPoolSize {limits.pool}",
        f"PassengerMaxRequestQueueSize {limits.queue}",
        "PassengerStatThrottleRate 0",  # restart.txt is seen at the next request
        "PassengerDisableSecurityUpdateCheck on",
        "PassengerDisableAnonymousTelemetry on",
        *(
            [f"PassengerCtl core_api_server_authorizations {json.dumps(authorizations)}"]
            if authorizations
            else []
        ),
    ]


def status_page():
    return [
        "ExtendedStatus On",
        "<Location /server-status>",
        "    SetHandler server-status",
        "    PassengerEnabled off",
        "    Require local",
        "</Location>",
    ]


def virtual_host(app, address, port, root):
    settings = [f'    SetEnv {name} "{value}"' for name, value in app.environment.items()]
    return [
        f"Listen {address}:{port}",
        f"<VirtualHost {address}:{port}>",
        f"    DocumentRoot {root}/public",
        f"    PassengerAppRoot {root}",
        *settings,
        *(f"    {line}" for line in app.extra),
        f"    <Directory {root}/public>",
        "        Require all granted",
        "    </Directory>",
        "</VirtualHost>",
    ]
