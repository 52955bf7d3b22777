# SPDX-License-Identifier: Apache-2.0
"""The command line of the benches: runs the sections, prints the table."""

import argparse
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from lab.agent import find_binary
from lab.process import LabError, Unavailable, exit_on_signals

from . import (
    collect,
    elasticsearch_bench,
    inprocess,
    many,
    passenger_bench,
    postgres_bench,
    site_bench,
)
from .measure import load
from .table import Report

SECTIONS = {
    "inprocess": inprocess.run,
    "collect": collect.run,
    "site": site_bench.run,
    "postgres": postgres_bench.run,
    "connections": postgres_bench.run_connections,
    "passenger": passenger_bench.run,
    "elasticsearch": elasticsearch_bench.run,
    "servers": many.run_servers,
    "targets": many.run_targets,
}


@dataclass(frozen=True)
class Scale:
    """How much of everything. Times in seconds."""

    longest: int = 900  # the whole run
    bench_rounds: int = 9
    rounds: int = 5  # of collects and scrapes in turn
    window: float = 1.5  # in which collects are counted
    pause_ms: int = 100  # between two collects, and two scrapes
    scrapes: int = 6  # in a round; so many pauses are well within the second that samples are fresh
    requests: int = 400  # to each exporter
    hangs: int = 3
    memory_seconds: float = 30
    polled_rounds: int = 2
    polled_seconds: float = 4
    large_seconds: float = 4  # of scraping before memory is read
    restarts: int = 3  # of a PostgreSQL while it is collected
    collects: int = 2000  # meanwhile
    queued_rounds: int = 3  # of visits to the neighbour of a long queue in Passenger
    queued_seconds: float = 15  # lagwatch reads 100 requests every 10 to 15 s
    later_bounds: bool = False  # judge by the bounds of a later issue too
    build: str | None = None


LONG = {
    "longest": 2700,
    "bench_rounds": 31,
    "rounds": 15,
    "window": 5,
    "requests": 2000,
    "hangs": 10,
    "memory_seconds": 120,
    "polled_rounds": 8,
    "polled_seconds": 6,
    "large_seconds": 20,
    "restarts": 10,
    "collects": 10000,
    "queued_seconds": 30,
}


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="tests/bench/run", description="Measures lagwatch and its peers in the same run."
    )
    parser.add_argument("--long", action="store_true", help="more rounds: about 20 minutes")
    parser.add_argument("--markdown", metavar="FILE", help="write the table there too")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a bound is missed")
    parser.add_argument(
        "--later", action="store_true", help="judge large sites by the bounds of a later issue too"
    )
    parser.add_argument(
        "--only", action="append", choices=SECTIONS, help="this section (may be repeated)"
    )
    parser.add_argument(
        "--build", metavar="DIR", help="where tests/bench/lagwatch_bench was built (default: build)"
    )
    return parser.parse_args()


def out_of_time(_number, _frame):
    raise SystemExit("tests/bench/run: took too long, given up")


def run_sections(names, report, scale):
    for name in names:
        began = time.monotonic()
        print(f"{name}: {load()} ...", file=sys.stderr, flush=True)
        try:
            SECTIONS[name](report, scale)
        except Unavailable as reason:
            report.skip(f"section {name}", str(reason))
        except (LabError, OSError) as error:
            report.failed.append((name, str(error)))
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def main():
    arguments = parse_arguments()
    own = LONG if arguments.long else {}
    scale = Scale(**own, later_bounds=arguments.later, build=arguments.build)
    exit_on_signals()
    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(scale.longest)
    report = Report()
    report.remarks.append(
        f"{'Long' if arguments.long else 'Short'} run, {os.cpu_count()} CPUs, load at the start "
        f"{os.getloadavg()[0]:.1f}. CPU: medians over rounds in which lagwatch and its peers take "
        "turns. What each number is: tests/bench/README.md."
    )
    try:
        find_binary()
    except Unavailable as reason:
        print(f"tests/bench/run: {reason}", file=sys.stderr)
        return 2
    run_sections(arguments.only or SECTIONS, report, scale)
    report.remarks.append(f"Load at the end {os.getloadavg()[0]:.1f}.")
    text = report.markdown()
    print(text, end="")
    if arguments.markdown:
        Path(arguments.markdown).write_text(text, encoding="utf-8")
    if report.failed:
        return 1
    return 1 if arguments.strict and report.missed else 0


if __name__ == "__main__":
    sys.exit(main())
