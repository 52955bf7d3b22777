# SPDX-License-Identifier: Apache-2.0
"""Who starts the processes of the lab and who ends them.

A Lab owns one temporary directory, every child process and every other thing made for it
(namespaces, fake servers), and ends them in reverse order when it is closed. Children are ended
by process group id only, each in a group of its own. Three nets lie under each other:
Lab.close(); the parent-death signal, for children started from the main thread; and janitor.py,
which ends what a killed lab left. All times are seconds."""

import grp
import http.client
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from . import janitor
from .host import LOCAL

TESTS_DIRECTORY = Path(__file__).resolve().parent.parent
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class LabError(RuntimeError):
    """The lab could not do what was asked; the message says what and shows the log's end."""


class Unavailable(RuntimeError):
    """This machine cannot do what was asked (no root, no namespaces): a reason to skip by
    name."""


def environment(extra=None):
    """Our environment, with the directories of haproxy and ip, which a plain user's PATH may
    lack."""
    return {
        **os.environ,
        "PATH": os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin",
        **(extra or {}),
    }


def exit_on_signals():
    """Ctrl-C, SIGTERM and SIGHUP leave through SystemExit, so that every `with` block closes.
    Main thread only."""

    def leave(number, _frame):
        raise SystemExit(128 + number)

    for number in STOP_SIGNALS:
        signal.signal(number, leave)


def wait_until(condition, timeout=10.0, what="condition", interval=0.02):
    """Polls `condition` until it is true and returns its value; LabError after `timeout` seconds.

    OSError and HTTPException from the condition mean "not yet"; everything else ends the wait."""
    deadline = time.monotonic() + timeout
    reason = ""
    while True:
        try:
            value = condition()
            if value:
                return value
        except (OSError, http.client.HTTPException) as error:
            reason = f" (last: {error!r})"
        if time.monotonic() >= deadline:
            raise LabError(f"not within {timeout:g} s: {what}{reason}")
        time.sleep(interval)


def free_ports(count, address="127.0.0.1", candidates=None):
    """`count` TCP ports nobody listens on: of `candidates`, by default any below the range of
    outgoing connections."""
    if candidates is None:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
            low = max(2048, int(file.read().split()[0]))
        candidates = random.sample(range(min(10200, low // 2), low), min(200 + 2 * count, low // 2))
    held = []
    try:
        for port in candidates:
            holder = socket.socket()
            try:
                holder.bind((address, port))
            except OSError:
                holder.close()
                continue
            held.append(holder)
            if len(held) == count:
                return [one.getsockname()[1] for one in held]
        raise LabError(f"no {count} free ports on {address}")
    finally:
        for holder in held:
            holder.close()


def unprivileged_user():
    """Whom root runs lagwatch as: `lagwatch` where that user exists, else `nobody`. None when we
    are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("lagwatch", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise LabError("neither user lagwatch nor nobody exists")


def group_of(user):
    """Name of the primary group of `user`."""
    return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name


def living_members(group):
    """Processes of a process group, without those that are dead and only not yet waited for (by
    init)."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
                state, _, own = stat.read().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(own) == group and state not in "ZX":
            found.append(int(pid))
    return found


class Child:
    """One process the lab started, with its process group. `out` and `log` are its stdout and
    stderr files."""

    def __init__(self, lab, name, popen, out, log, host):
        self._lab = lab
        self._popen = popen
        self._ended = False  # the group too: its number may be another's by now
        self._started = janitor.start_time(popen.pid) or "-"
        lab.announce("group", popen.pid, self._started)
        self.name = name
        self.out = out
        self.log = log
        self.host = host
        self.pid = popen.pid

    @property
    def alive(self):
        return self._popen.poll() is None

    def require_alive(self):
        """Returns True, so that it can stand in a wait_until condition; LabError when the process
        has ended."""
        if not self.alive:
            raise LabError(f"{self.name} ended with {self._popen.returncode}:\n{self.tail()}")
        return True

    def signal(self, number):
        self._popen.send_signal(number)

    def wait(self, timeout=10.0):
        """Exit code (negative: the signal that ended it)."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name} still runs after {timeout:g} s:\n{self.tail()}") from None

    def stop(self, timeout=5.0):
        """SIGTERM, after `timeout` SIGKILL to the whole group. What is stopped is continued. Exit
        code."""
        if self.alive:
            os.killpg(self.pid, signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                self._popen.wait(timeout)
            except subprocess.TimeoutExpired:
                pass
        return self.kill()

    def kill(self):
        """SIGKILL to the whole group, whatever state it is in. Exit code."""
        if not self._ended:
            self._ended = True
            janitor.kill_group(self.pid, self._started)
            self._popen.wait()
            wait_until(
                lambda: not living_members(self.pid), what=f"{self.name}'s process group is gone"
            )
            self._lab.forget("group", self.pid)
        return self._popen.returncode

    def log_text(self):
        return self.log.read_text(encoding="utf-8", errors="replace")

    def tail(self, lines=15):
        texts = [
            path.read_text(encoding="utf-8", errors="replace") for path in (self.out, self.log)
        ]
        return "\n".join("".join(texts).splitlines()[-lines:])


class Lab:
    """Owner of a temporary directory (mode 0755) and of everything started in it. A context
    manager.

    keep: leave the directory behind (also when LAGWATCH_LAB_KEEP is set). Not thread-safe but for
    spawn()."""

    def __init__(self, keep=False):
        self.keep = keep or bool(os.environ.get("LAGWATCH_LAB_KEEP"))
        base = tempfile.gettempdir()
        if len(base) > 40:  # a unix socket's path has 107 characters
            base = "/tmp"
        self.dir = Path(tempfile.mkdtemp(prefix=janitor.PREFIX, dir=base))
        self.dir.chmod(0o755)
        self._closers = []
        self._names = {}
        self._lock = threading.Lock()
        self._janitor = subprocess.Popen(
            [sys.executable, "-P", "-B", janitor.__file__],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd="/",
        )
        if not self.keep:
            self.announce("dir", self.dir)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def announce(self, kind, name, value="-"):
        """Tells the janitor of a thing that is to go when we die: kind is group, netns or dir."""
        self._tell(f"add\t{kind}\t{name}\t{value}\n")

    def forget(self, kind, name):
        self._tell(f"gone\t{kind}\t{name}\t-\n")

    def _tell(self, line):
        with self._lock:
            try:
                self._janitor.stdin.write(line)
                self._janitor.stdin.flush()
            except (OSError, ValueError):
                pass  # the janitor is gone or the lab is closed: nothing to tell

    def on_close(self, function):
        """Calls `function()` when the lab is closed, last registered first."""
        self._closers.append(function)

    def directory(self, name, user=None, mode=0o755):
        """A directory in the lab's, owned by `user` when we are root."""
        path = self.dir / name
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
        if user and os.geteuid() == 0:
            shutil.chown(path, user, group_of(user))
        return path

    def spawn(self, name, argv, host=LOCAL, user=None, env=None, death_signal="TERM"):
        """Starts `argv` on `host`, as `user` when we are root, in a session of its own. Returns
        the Child."""
        out, log = self._log_files(name)
        # setpriv sets user and parent-death signal, so no Python code runs between fork and exec.
        wrapper = ["setpriv"]
        if threading.current_thread() is threading.main_thread():
            wrapper += [
                f"--pdeathsig={death_signal}"
            ]  # it is sent when the *thread* ends, so main thread only
        if user and os.geteuid() == 0:
            wrapper += [f"--reuid={user}", f"--regid={group_of(user)}", "--init-groups"]
        argv = [str(one) for one in argv]
        command = host.argv(wrapper + argv if len(wrapper) > 1 else argv)
        with open(out, "wb") as out_file, open(log, "wb") as log_file:
            popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out_file,
                stderr=log_file,
                start_new_session=True,
                cwd=self.dir,
                env=environment(env),
            )
        child = Child(self, name, popen, out, log, host)
        self.on_close(child.stop)
        return child

    def spawn_module(self, name, module, *args, host=LOCAL):
        """Starts one of the lab's own modules, e.g. "lab.webserver", in a Python of its own."""
        return self.spawn(
            name,
            [sys.executable, "-B", "-m", module, *args],
            host=host,
            env={"PYTHONPATH": str(TESTS_DIRECTORY)},
        )

    def _log_files(self, name):
        with self._lock:
            number = self._names[name] = self._names.get(name, 0) + 1
        stem = name if number == 1 else f"{name}.{number}"
        logs = self.directory("log")
        return logs / f"{stem}.out", logs / f"{stem}.err"

    def close(self):
        """Ends everything, last started first. Stop signals are not listened to meanwhile."""
        if self._janitor.stdin.closed:
            return
        main = threading.current_thread() is threading.main_thread()
        before = {one: signal.signal(one, signal.SIG_IGN) for one in STOP_SIGNALS} if main else {}
        errors = []
        while self._closers:
            try:
                self._closers.pop()()
            except Exception as error:  # every closer has its turn
                errors.append(error)
        if not self.keep:
            shutil.rmtree(self.dir, ignore_errors=True)
            if not self.dir.exists():
                self.forget("dir", self.dir)
        self._janitor.stdin.close()
        self._janitor.wait(10)
        for number, handler in before.items():
            signal.signal(number, handler)
        if errors:
            raise LabError(f"closing the lab: {errors}")
