# SPDX-License-Identifier: Apache-2.0
"""The instances of Passenger that an Apache has started: their directories, processes and end.

An Apache has one, two during a reload (the old one drains up to 30 s), and may have left stale
ones. Times in seconds."""

import json
import os
import signal

from . import janitor
from .pg_process import children_of
from .process import wait_until


def session_members(sessions):
    """{pid: process group} of the living processes of some sessions."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                state, _, group, session = file.read().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) in sessions and state not in "ZX":
            found[int(name)] = int(group)
    return found


class Instances:
    """What PassengerApache knows of its instances. Uses its name, lab, child, registry;
    _watchdogs is {pid: start time}."""

    def watch_instances(self):
        """Takes note of the watchdogs that Apache has now, and tells the janitor of every process
        group of theirs. True, so that it can stand in a condition."""
        if self.running:
            for pid, title in children_of(self.child.pid).items():
                if "watchdog" in title and pid not in self._watchdogs:
                    self._watchdogs[pid] = janitor.start_time(pid) or "-"
        for group in set(self.members().values()) - self._groups:
            self._groups.add(group)
            self.lab.announce("group", group, janitor.start_time(group) or "-")
        return True

    def members(self):
        """{pid: process group} of all living processes of Passenger: watchdogs, cores,
        applications."""
        return session_members(self._watchdogs)

    def _kill_members(self):
        """SIGKILL to all of them."""

        def gone():
            for pid in (left := self.members()):
                self._signal(pid, signal.SIGKILL)
            return not left

        wait_until(gone, what=f"{self.name}'s Passenger is gone")
        for group in self._groups:
            self.lab.forget("group", group)
        self._groups.clear()

    def instance_dirs(self):
        """Directories of its instances in the registry, stale ones too, oldest first."""
        found = []
        for directory in self.registry.glob("passenger.*"):
            try:
                properties = read_properties(directory)
            except (OSError, ValueError):
                continue  # not there yet, or no more
            if properties["watchdog_pid"] in self._watchdogs:
                found.append((properties["instance_dir"]["created_at_monotonic_usec"], directory))
        return [directory for _, directory in sorted(found)]

    def instance_dir(self):
        """The newest."""
        found = self.instance_dirs()
        if not found:
            raise FileNotFoundError(f"{self.name} has no instance in {self.registry}")
        return found[-1]

    def properties(self):
        """properties.json of the newest."""
        return read_properties(self.instance_dir())

    def watchdog_pid(self):
        return self.properties()["watchdog_pid"]

    @staticmethod
    def _signal(pid, number):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def read_properties(directory):
    return json.loads((directory / "properties.json").read_text(encoding="utf-8"))
