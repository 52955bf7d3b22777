#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the integration tests and the lab's selftest.

    LAGWATCH_BIN=build/lagwatch tests/integration/run.py [--jobs N] [--list] [MODULE...]

MODULE is test_http, or a test as MODULE.CLASS[.TEST]; without one all are run but those of the suite
`long` (modules long_*; --long runs these instead). Each module runs in a Python of its own, `--jobs` of them at once (default 2). One line a test: `ok|FAIL|skip NAME
[reason]`, what failed in full on stderr, and a last line `N passed, N failed, N skipped`. Exit
code 0 when nothing failed, 1 otherwise, 2 for a wrong command line or no binary.

LAGWATCH_SANITIZED=1: the binary is a sanitizers' build, bounds of time are relaxed (support.py)."""

import argparse
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

INTEGRATION = Path(__file__).resolve().parent
TESTS = INTEGRATION.parent
MOST_SECONDS = 240  # for one module; three times as many under sanitizers
SELFTEST = "selftest"
sys.path.insert(0, str(TESTS))


class Lines(unittest.TestResult):
    """Writes one line for each test."""

    def __init__(self):
        super().__init__()
        self.counts = {"ok": 0, "FAIL": 0, "skip": 0}
        self.failed_parts = set()

    def line(self, word, test, reason=""):
        self.counts[word] += 1
        name = test.id() if hasattr(test, "id") else str(test)
        name = name.removeprefix("integration.").removeprefix("lab.selftest.")
        print(f"{word:4} {name}" + (f"  [{reason}]" if reason else ""), flush=True)

    def failed(self, test, error):
        text = self._exc_info_to_string(error, test)
        words = str(error[1]).strip().splitlines() or [""]
        self.line("FAIL", test, f"{error[0].__name__}: {words[0]}"[:200])
        print(f"--- {test}\n{text}", file=sys.stderr, flush=True)

    def addSuccess(self, test):
        if test.id() not in self.failed_parts:
            self.line("ok", test)

    def addSkip(self, test, reason):
        self.line("skip", test, reason)

    def addError(self, test, err):
        self.failed(test, err)

    def addFailure(self, test, err):
        self.failed(test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.failed_parts.add(test.id())
            self.failed(subtest, err)

    def addExpectedFailure(self, test, err):
        self.line("skip", test, "fails as expected")

    def addUnexpectedSuccess(self, test):
        self.line("FAIL", test, "was expected to fail")


def run_here(name):
    """Runs one module (or test) in this process. Exit code."""
    from lab.process import exit_on_signals

    exit_on_signals()
    loader = unittest.TestLoader()
    module = name.split(".")[0]
    if module.startswith("selftest_"):
        suite = loader.loadTestsFromName(f"lab.selftest.{name.removeprefix('selftest_')}")
    else:
        suite = loader.loadTestsFromName(f"integration.{name}")
    result = Lines()
    suite.run(result)
    return 1 if result.counts["FAIL"] else 0


def all_modules(prefix="test"):
    """Longest first, so that the end is not one module alone."""
    slow = [
        "selftest_test_postgres",
        "test_incident",
        "test_elasticsearch",
        "test_passenger",
        "test_elasticsearch_cluster",
        "test_elasticsearch_access",
        "test_postgres_lag_unseen",
        "test_postgres_lag_93",
        "test_postgres_lag",
        "test_postgres_clusters_rebuild",
        "test_postgres_lag_heartbeat",
        "test_postgres_versions",
        "test_outage_reload",
        "test_faults_at_once",
        "test_faults_fake",
    ]
    own = sorted(path.stem for path in INTEGRATION.glob(f"{prefix}_*.py"))
    selftests = (TESTS / "lab/selftest").glob(f"{prefix}_*.py")
    lab = sorted(f"selftest_{path.stem}" for path in selftests)
    every = own + lab
    return [one for one in slow if one in every] + [one for one in every if one not in slow]


class Runner:
    """Runs modules in processes of their own, some at once."""

    def __init__(self, names, jobs, limit):
        self.names = queue.SimpleQueue()
        for name in names:
            self.names.put(name)
        self.jobs = jobs
        self.limit = limit
        self.counts = {"ok": 0, "FAIL": 0, "skip": 0}
        self.lock = threading.Lock()
        self.running = set()
        self.stopped = False

    def say(self, line):
        word = line.split(" ", 1)[0]
        with self.lock:
            if word in self.counts:
                self.counts[word] += 1
            print(line, flush=True)

    def work(self):
        while not self.stopped:
            try:
                name = self.names.get_nowait()
            except queue.Empty:
                return
            self.run(name)

    def run(self, name):
        argv = [sys.executable, "-B", str(INTEGRATION / "run.py"), "--here", name]
        child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd="/")
        self.running.add(child)
        timer = threading.Timer(self.limit, self.end, [child])
        timer.start()
        failed = False
        for line in child.stdout:
            failed = failed or line.startswith("FAIL")
            self.say(line.rstrip("\n"))
        code = child.wait()
        timer.cancel()
        self.running.discard(child)
        if code != 0 and not failed and not self.stopped:
            self.say(f"FAIL {name}  [ended with {code}: no result, or not within {self.limit} s]")

    def end(self, child):
        """SIGTERM, so that its lab closes; SIGKILL, the janitor closes it."""
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()

    def stop(self, *_):
        self.stopped = True
        for child in list(self.running):
            child.terminate()

    def all(self):
        threads = [threading.Thread(target=self.work) for _ in range(self.jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)
        return self.counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--jobs", type=int, default=2, help="modules at once (default 2)")
    parser.add_argument("--long", action="store_true", help="the modules that take minutes each")
    parser.add_argument("--list", action="store_true", help="print the modules and end")
    parser.add_argument("--here", metavar="NAME", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="MODULE", help="what to run (default: all)")
    arguments = parser.parse_args()
    if arguments.here:
        return run_here(arguments.here)
    names = []
    every = all_modules() + all_modules("long")
    for name in arguments.names or all_modules("long" if arguments.long else "test"):
        own = [one for one in all_modules() if one.startswith("selftest_")]
        names += own if name == SELFTEST else [name]
    unknown = [name for name in names if name.split(".")[0] not in every]
    if unknown:
        parser.error(f"no module {', '.join(unknown)}; there is: {', '.join(every)}")
    if arguments.list:
        print("\n".join(names))
        return 0
    return run_all(names, max(1, arguments.jobs))


def run_all(names, jobs):
    from lab.agent import find_binary
    from lab.process import Unavailable

    try:
        binary = find_binary()
    except Unavailable as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    sanitized = os.environ.get("LAGWATCH_SANITIZED") == "1"
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lagwatch-bin-") as directory:
        # A copy: whoever builds meanwhile does not change what is tested.
        os.chmod(directory, 0o755)
        copy = Path(directory, "lagwatch")
        shutil.copy2(binary, copy)
        os.environ["LAGWATCH_BIN"] = str(copy)
        runner = Runner(names, jobs, MOST_SECONDS * (3 if sanitized else 1))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, runner.stop)
        counts = runner.all()
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    print("{ok} passed, {FAIL} failed, {skip} skipped".format(**counts), flush=True)
    return 1 if counts["FAIL"] or runner.stopped else 0


if __name__ == "__main__":
    sys.exit(main())
