# SPDX-License-Identifier: Apache-2.0
"""The processes of a PostgreSQL: whose they are, how they are stopped, hung and killed.

Every child of a postmaster makes a process group of its own, so a group's signal reaches the
postmaster alone: children are found by their parent and signalled by pid. Times in seconds."""

import os
import pwd
import re
import signal
import subprocess
from functools import cache

from . import janitor
from .haproxy import process_state
from .process import LabError, Unavailable, group_of, wait_until

USER = "postgres"
STOP = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
PROCESSES = {  # {kind: pattern of the process title}
    "walreceiver": r"wal ?receiver",
    "walsender": r"wal ?sender",
    "startup": r"startup",
    "archiver": r"archiver",
    "checkpointer": r"checkpointer",
}


@cache
def can_unshare(*what):
    return os.geteuid() == 0 and (
        subprocess.run(["unshare", *what, "true"], check=False, capture_output=True).returncode == 0
    )


def private_ipc(files=False):
    """What makes a server's System V shared memory and semaphores end with it, kill -9 or not;
    `files`: those in /dev/shm too, where libfaketime leaves some. [] where that cannot be."""
    if files and can_unshare("--ipc", "--mount"):
        mount = 'mount -t tmpfs lab /dev/shm && exec "$@"'
        return ["unshare", "--ipc", "--mount", "sh", "-c", mount, "sh"]
    return ["unshare", "--ipc"] if can_unshare("--ipc") else []


def server_user():
    """Whom servers run as: postgres when we are root (they refuse to be root), else None, the
    caller."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(USER).pw_name
    except KeyError:
        raise Unavailable("postgres: no user postgres (apt-get install postgresql-15)") from None


def as_server_user(*options):
    user = server_user()
    if user is None:
        return []
    return ["setpriv", f"--reuid={user}", f"--regid={group_of(user)}", "--init-groups", *options]


def children_of(pid):
    """{pid: process title} of the living children of a process."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                state, parent = file.read().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state not in "ZX":
                with open(f"/proc/{name}/cmdline", encoding="utf-8", errors="replace") as file:
                    found[int(name)] = file.read().replace("\0", " ").strip()
        except OSError:
            continue
    return found


class Processes:
    """What Postgres does with its processes. Uses its name, lab, child; _stopped is {pid: start
    time} of children that sigstop() stopped."""

    def stop(self, mode="fast", timeout=15.0):
        """Stops it: smart (waits for clients), fast, or immediate (as after a crash). Exit code."""
        self.sigcont()
        self.child.signal(STOP[mode])
        try:
            return self.child.wait(timeout)
        finally:
            self.kill9()

    def _close(self):
        if self.running:
            try:
                self.stop("immediate", 3.0)
            except LabError:
                pass

    def kill9(self):
        """SIGKILL to the postmaster and all it has started; start() starts it again."""
        if self.child.alive:
            self.child.signal(signal.SIGSTOP)  # it starts no more of them
        stopped = [pid for pid, at in self._stopped.items() if janitor.start_time(pid) == at]
        children = {*self.children(), *stopped}
        self.child.signal(signal.SIGKILL)
        for pid in children:
            self._signal(pid, signal.SIGKILL)
        code = self.child.kill()
        wait_until(
            lambda: all(process_state(pid) in ("", "Z", "X") for pid in children),
            what=f"{self.name}'s processes are gone",
        )
        self._forget_stopped()
        return code

    def children(self, kind=None):
        """{pid: title} of what the postmaster has started: all, or of one of PROCESSES."""
        if not self.running:
            return {}
        all_of_it = children_of(self.child.pid)
        if kind is None:
            return all_of_it
        return {
            pid: title for pid, title in all_of_it.items() if re.search(PROCESSES[kind], title)
        }

    def sigstop(self, only=None):
        """Hangs the whole server, postmaster first, or `only` one of PROCESSES: the kernel still
        accepts connections, nobody answers."""
        if only is None:
            os.kill(self.child.pid, signal.SIGSTOP)
            wait_until(lambda: process_state(self.child.pid) == "T", what=f"{self.name} stopped")
        pids = list(self.children(only))
        if only and not pids:
            raise LabError(f"{self.name} has no {only}")
        for pid in pids:
            # Each is a group of its own, which the janitor would not know of.
            self._stopped[pid] = janitor.start_time(pid) or "-"
            self.lab.announce("group", pid, self._stopped[pid])
            self._signal(pid, signal.SIGSTOP)
        wait_until(
            # One that ended just now stays a zombie: who would wait for it is stopped.
            lambda: all(process_state(pid) in ("T", "Z", "X", "") for pid in pids),
            what=f"{self.name}'s processes stopped",
        )

    def sigcont(self):
        """Lets everything that was stopped go on."""
        for pid, started in self._stopped.items():
            if janitor.start_time(pid) == started:
                self._signal(pid, signal.SIGCONT)
        self._forget_stopped()
        if self.running:
            os.kill(self.child.pid, signal.SIGCONT)

    def _forget_stopped(self):
        for pid in self._stopped:
            self.lab.forget("group", pid)
        self._stopped = {}

    @staticmethod
    def _signal(pid, number):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
