# SPDX-License-Identifier: Apache-2.0
"""The lab's last resort: ends what a lab left behind when its own process died without closing
it.

Started by process.Lab with its standard input as one end of a pipe. The lab writes one line for
each thing it makes and for each thing it has ended itself; when the pipe closes, for whatever
reason (kill -9 too), the janitor ends what is still on the list: process groups first, then
namespaces, then directories. It only ever touches what was announced to it. Run by file, standard
library only."""

import os
import shutil
import signal
import subprocess
import sys

PREFIX = "lagwatch-lab-"  # of the base name of every directory it may remove


def start_time(pid):
    """Start of process `pid` in clock ticks since boot, as text; None when there is no such
    process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def kill_group(group, started):
    """SIGKILL to a process group, unless its number now belongs to a later process."""
    now = start_time(group)
    if now is not None and started != "-" and now != started:
        return
    try:
        os.killpg(int(group), signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def remove(kind, name, value):
    if kind == "group":
        kill_group(name, value)
    elif kind == "netns":
        subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)
    elif kind == "dir" and os.path.basename(name).startswith(PREFIX):
        shutil.rmtree(name, ignore_errors=True)


def main():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.environ["PATH"] = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"  # of ip
    left = {}
    for line in sys.stdin:
        verb, kind, name, value = line.rstrip("\n").split("\t")
        if verb == "add":
            left[kind, name] = value
        else:
            left.pop((kind, name), None)
    for wanted in ("group", "netns", "dir"):
        for (kind, name), value in left.items():
            if kind == wanted:
                remove(kind, name, value)


if __name__ == "__main__":
    main()
