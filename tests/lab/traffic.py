# SPDX-License-Identifier: Apache-2.0
"""Bounded traffic on the site: so many requests a second for so many seconds, then it ends by
itself.

A process of its own (so that it does not disturb what the test measures), open loop: requests are
due by the clock, however slow the answers are. One connection a request, as from visitors. Ends
with its parent."""

import argparse
import asyncio
import json
import resource
import signal
import sys
import time
from dataclasses import asdict, dataclass, field

from .host import LOCAL
from .process import LabError

PATHS = (
    "/",
    "/products/1",
    "/",
    "/cart",
    "/search?q=red+shoes",
    "/",
    "/products/2",
    "/",
    "/search?q=a",
    "/",
)
MOST_SECONDS = 3600.0
MOST_RATE = 2000.0


@dataclass
class Counts:
    """What was asked and answered so far. Latencies in seconds over all answered requests."""

    sent: int = 0
    skipped: int = 0  # due, but `most_open` were open already
    statuses: dict = field(default_factory=dict)  # "200" -> requests
    errors: dict = field(default_factory=dict)  # refused, reset, timeout, closed -> requests
    p50: float | None = None
    p99: float | None = None
    longest: float | None = None
    finished: bool = False

    @property
    def answered(self):
        return sum(self.statuses.values())

    @property
    def failed(self):
        return sum(self.errors.values())


class Generator:
    """The loop inside the process."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.counts = Counts()
        self.latencies = []
        self.open = set()
        self.stopping = asyncio.Event()

    async def run(self):
        arguments = self.arguments
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stopping.set)
        reporter = asyncio.ensure_future(self.report_every_second())
        started = time.monotonic()
        number = 0
        while not self.stopping.is_set() and (arguments.count is None or number < arguments.count):
            due = started + number / arguments.rate
            if due > started + arguments.seconds:
                break
            try:
                await asyncio.wait_for(self.stopping.wait(), max(0.0, due - time.monotonic()))
            except asyncio.TimeoutError:
                pass
            else:
                break
            self.send(arguments.path[number % len(arguments.path)])
            number += 1
        if self.open:
            await asyncio.wait(
                self.open, timeout=0 if self.stopping.is_set() else arguments.timeout + 1
            )
        reporter.cancel()
        self.counts.finished = True
        self.report()

    def send(self, path):
        if len(self.open) >= self.arguments.most_open:
            self.counts.skipped += 1
            return
        self.counts.sent += 1
        task = asyncio.ensure_future(self.request(path))
        self.open.add(task)
        task.add_done_callback(self.open.discard)

    async def request(self, path):
        started = time.monotonic()
        error = None
        try:
            status = await asyncio.wait_for(self.exchange(path), self.arguments.timeout)
        except (asyncio.TimeoutError, TimeoutError):
            error = "timeout"
        except ConnectionRefusedError:
            error = "refused"
        except ConnectionResetError:
            error = "reset"
        except (OSError, EOFError, ValueError, IndexError):
            error = "closed"
        if error:
            self.counts.errors[error] = self.counts.errors.get(error, 0) + 1
            return
        self.counts.statuses[status] = self.counts.statuses.get(status, 0) + 1
        self.latencies.append(time.monotonic() - started)

    async def exchange(self, path):
        reader, writer = await asyncio.open_connection(self.arguments.address, self.arguments.port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n".encode())
            line = await reader.readline()
            if not line:
                raise EOFError
            while await reader.read(65536):
                pass
            return str(int(line.split()[1]))
        finally:
            writer.close()

    async def report_every_second(self):
        while True:
            await asyncio.sleep(1)
            self.report()

    def report(self):
        ordered = sorted(self.latencies)
        if ordered:
            self.counts.p50 = ordered[len(ordered) // 2]
            self.counts.p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
            self.counts.longest = ordered[-1]
        print(json.dumps(asdict(self.counts)), flush=True)


class Traffic:
    """Traffic from `host` to (ip, port), running from the moment it is made.

    rate: requests a second; seconds: at most so long; count: at most so many; timeout: seconds
    per request; paths: taken in turn."""

    def __init__(
        self,
        lab,
        address,
        rate=20.0,
        seconds=60.0,
        count=None,
        timeout=10.0,
        paths=PATHS,
        host=LOCAL,
        most_open=500,
        name="traffic",
    ):
        if not 0 < rate <= MOST_RATE or not 0 < seconds <= MOST_SECONDS:
            raise LabError(f"traffic: at most {MOST_RATE:g} requests/s and {MOST_SECONDS:g} s")
        ip, port = address
        arguments = [
            ip,
            port,
            "--rate",
            rate,
            "--seconds",
            seconds,
            "--timeout",
            timeout,
            "--most-open",
            most_open,
        ]
        if count is not None:
            arguments += ["--count", count]
        for path in paths:
            arguments += ["--path", path]
        self._longest = seconds + timeout + 5
        self.child = lab.spawn_module(name, "lab.traffic", *arguments, host=host)

    @property
    def running(self):
        return self.child.alive

    def counts(self):
        """Counts up to the last full second (complete once the traffic has ended)."""
        lines = self.child.out.read_text().split("\n")[:-1]
        return Counts(**json.loads(lines[-1])) if lines else Counts()

    def wait(self):
        """Waits for the traffic's own end. Counts."""
        code = self.child.wait(self._longest)
        if code != 0:
            raise LabError(f"traffic ended with {code}:\n{self.child.tail()}")
        return self.counts()

    def stop(self):
        """Ends it now; requests still open are counted as sent only. Counts."""
        self.child.stop()
        return self.counts()


def main():
    parser = argparse.ArgumentParser(
        description="Bounded traffic; prints its counts as JSON every second."
    )
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--count", type=int, help="at most so many requests")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds per request")
    parser.add_argument("--most-open", type=int, default=500)
    parser.add_argument("--path", action="append", help="taken in turn")
    arguments = parser.parse_args()
    arguments.path = arguments.path or list(PATHS)
    arguments.rate = min(arguments.rate, MOST_RATE)
    arguments.seconds = min(arguments.seconds, MOST_SECONDS)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    asyncio.run(Generator(arguments).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
