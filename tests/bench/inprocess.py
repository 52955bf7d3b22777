# SPDX-License-Identifier: Apache-2.0
"""Within one process: writing 100,000 series, and making samples of HAProxy's answer.
exposition_bench.cpp measures, this reads what it says."""

import json
import os
import subprocess
from pathlib import Path

from lab.agent import SOURCE_DIRECTORY
from lab.process import LabError

SERIES = "100,000 series, CPU of writing them"
COLLECT = "HAProxy's answer to samples, CPU in process"
BOUNDS = {"exposition_plain": 15.0, "exposition_gzip": 50.0}
TITLES = {
    "exposition_plain": "plain, text 0.0.4",
    "exposition_gzip": "gzipped",
    "exposition_openmetrics": "plain, OpenMetrics",
    "exposition_random_plain": "plain, every value of 17 digits",
    "exposition_random_gzip": "gzipped, every value of 17 digits",
}


def find_bench(scale):
    """lagwatch_bench: $LAGWATCH_BENCH_BIN, or in the build directory; None when it is not built."""
    build = Path(scale.build or SOURCE_DIRECTORY / "build")
    named = os.environ.get("LAGWATCH_BENCH_BIN")
    path = Path(named) if named else build / "tests" / "bench" / "lagwatch_bench"
    return path if os.access(path, os.X_OK) else None


def run(report, scale):
    binary = find_bench(scale)
    if binary is None:
        report.skip(
            "100,000 series, and parsing in process",
            "no lagwatch_bench (build with -DLAGWATCH_TESTS=ON -DCMAKE_BUILD_TYPE=Release: "
            "ninja lagwatch_bench; or set LAGWATCH_BENCH_BIN)",
        )
        return
    done = subprocess.run(
        [binary, str(scale.bench_rounds)], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode != 0:
        raise LabError(f"lagwatch_bench ended with {done.returncode}: {done.stderr.strip()}")
    found = {one["name"]: one for one in map(json.loads, done.stdout.splitlines())}
    if not found.pop("build")["optimised"]:
        report.remarks.append("lagwatch_bench is not an optimised build: its numbers mean nothing.")
    add_exposition(report, found)
    add_collect(report, found)


def note(one):
    return f"best {one['best_ms']:.3g}, {one['bytes'] / 1e6:.3g} MB"


def add_exposition(report, found):
    for name, title in TITLES.items():
        one = found[name]
        peer = found.get(name + "_prometheus_cpp")
        peers = {"prometheus-cpp's TextSerializer": peer["median_ms"]} if peer else {}
        if peer and "gzip" in name:
            peers = {"TextSerializer, packed as its server does": peer["median_ms"]}
        report.add(SERIES, title, one["median_ms"], "ms", BOUNDS.get(name), peers, note(one))


def add_collect(report, found):
    for servers in (10, 1000, 10000):
        for what, title in (("parse", "parse only"), ("collect", "parse and collect")):
            one = found[f"haproxy_{what}_{servers}"]
            report.add(
                COLLECT, f"{title}, {servers:,} servers", one["median_ms"], "ms", note=note(one)
            )
