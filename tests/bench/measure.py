# SPDX-License-Identifier: Apache-2.0
"""Clocks and clients of the benches. CPU in milliseconds, latencies in milliseconds."""

import os
import socket
import statistics
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from lab.process import LabError

# What Prometheus 2.42 sends.
PROMETHEUS_HEADERS = (
    "Accept: application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
    "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\nAccept-Encoding: gzip\r\n"
)
PLAIN_HEADERS = "Accept: text/plain;version=0.0.4\r\n"


def cpu_ms(pid):
    """CPU time of process `pid` so far, of all its threads, dead ones too: its POSIX CPU-time
    clock, nanoseconds."""
    return time.clock_gettime((~pid << 3) | 2) * 1e3


class Cpu:
    """CPU time that several processes take within a `with` block: .ms, one a process."""

    def __init__(self, *pids):
        self._pids = pids
        self.ms = []

    def __enter__(self):
        self._begin = [cpu_ms(pid) for pid in self._pids]
        return self

    def __exit__(self, *_):
        self.ms = [cpu_ms(pid) - begin for pid, begin in zip(self._pids, self._begin)]


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def p50(values):
    return statistics.median(values)


def p99(values):
    return percentile(values, 0.99)


def status_bytes(pid, *names):
    """Fields of /proc/PID/status in MB (10^6 bytes): VmRSS, RssAnon..."""
    found = {}
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name in names:
            found[name] = int(value.split()[0]) * 1024 / 1e6
    return [found[name] for name in names]


def get(url, headers=PROMETHEUS_HEADERS, timeout=20.0):
    """GET over a connection of its own. (milliseconds from connect to the last byte, bytes);
    LabError when it is not 200. The body is not looked at: the client should cost little."""
    parts = urlsplit(url)
    began = time.perf_counter()
    with socket.create_connection((parts.hostname, parts.port), timeout) as connection:
        connection.sendall(
            f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{headers}"
            "Connection: close\r\n\r\n".encode()
        )
        size = 0
        first = b""
        while part := connection.recv(1 << 18):
            first = first or part
            size += len(part)
    took = (time.perf_counter() - began) * 1e3
    if not first.startswith(b"HTTP/1.1 200"):
        raise LabError(f"{url}: {first[:60]!r}")
    return took, size


class Pinger:
    """GETs in turn on one kept connection, for answers that come in one piece."""

    def __init__(self, address):
        self._connection = socket.create_connection(address, 10)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ping(self):
        """Milliseconds."""
        began = time.perf_counter()
        self._connection.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
        if not self._connection.recv(65536).startswith(b"HTTP/1.1 200"):
            raise LabError("the pinged server did not answer 200")
        return (time.perf_counter() - began) * 1e3

    def run(self, seconds, pause=0.001):
        """Latencies of one ping after the other for so long."""
        latencies = []
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            latencies.append(self.ping())
            time.sleep(pause)
        return latencies

    def close(self):
        self._connection.close()


class Scraper:
    """Scrapes each of `urls` once a second in a thread, until stopped."""

    def __init__(self, urls):
        self._urls = urls
        self._stop = threading.Event()
        self.scrapes = 0
        self.failures = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.wait(1.0):
            for url in self._urls:
                try:
                    get(url)
                except (OSError, LabError) as error:
                    self.failures.append(f"{url}: {error}")
            self.scrapes += 1

    def stop(self):
        self._stop.set()
        self._thread.join(30)
        if self.failures:
            raise LabError(f"{len(self.failures)} scrapes failed, first {self.failures[0]}")


def load():
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs"
