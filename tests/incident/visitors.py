# SPDX-License-Identifier: Apache-2.0
"""When users began to fail, as one of them would tell: a bounded loop of visits, each with its
time and its end. Times are time.monotonic()'s, or seconds."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lab.fetch import fetch

PATHS = ("/", "/search?q=amber", "/", "/save?title=red+shoes")
PATIENCE = 5.0  # s a visitor waits
ROW = 3  # failures within WINDOW that are no accident
WINDOW = 10.0
MOST_SECONDS = 600.0
WORKERS = 40


@dataclass(frozen=True)
class Visit:
    at: float  # when it began
    end: float
    path: str
    status: int | None  # None: no answer in time

    @property
    def failed(self):
        return self.status is None or self.status >= 500


class Visitors:
    """Visits `url`, `rate` times a second, until stop() or for MOST_SECONDS. visits: those that
    have ended."""

    def __init__(self, url, rate=3.0, paths=PATHS):
        self.visits = []
        self._url = url
        self._rate = rate
        self._paths = paths
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        began = time.monotonic()
        number = 0
        with ThreadPoolExecutor(WORKERS) as pool:
            while number < MOST_SECONDS * self._rate:
                due = began + number / self._rate
                if self._end.wait(max(0.0, due - time.monotonic())):
                    return
                pool.submit(self._visit, self._paths[number % len(self._paths)])
                number += 1

    def _visit(self, path):
        at = time.monotonic()
        try:
            status = fetch(self._url + path, timeout=PATIENCE).status
        except OSError:
            status = None
        self.visits.append(Visit(at, time.monotonic(), path, status))

    def failures(self, since=0.0, path=None):
        """Failed visits that ended since then, in order of their ends; of one path's beginning."""
        found = [one for one in self.visits if one.failed and one.end >= since]
        return sorted((one for one in found if (path or "") in one.path), key=lambda one: one.end)

    def failing_since(self, since=0.0):
        """The end of the first of ROW failures within WINDOW; None when there is none."""
        ends = [one.end for one in self.failures(since)]
        for first, last in zip(ends, ends[ROW - 1 :]):
            if last - first <= WINDOW:
                return first
        return None

    def stop(self):
        self._end.set()
        self._thread.join(PATIENCE + 2)
