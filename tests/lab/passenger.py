# SPDX-License-Identifier: Apache-2.0
"""A real Apache with Phusion Passenger, the applications it runs, and what can be done to them.

Each owns directory `name` of the lab: httpd.conf, error.log, a copy of rackapp/ for every
application, and the instance registry. As root where we are root, as in production: then the core
is root's and applications are www-data's. Watchdog and core leave Apache's process group; the
watchdog leads a session in which all of Passenger stays, and by which it is ended. Times in
seconds."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from functools import cache
from pathlib import Path

from . import passenger_config
from .fetch import fetch
from .haproxy import process_state
from .host import LOCAL
from .passenger_api import get, get_as
from .passenger_config import App, Limits
from .passenger_process import Instances
from .process import LabError, Unavailable, environment, free_ports, wait_until

USER = "www-data"
RACK_APP = Path(__file__).resolve().parent / "rackapp" / "config.ru"
BROKEN = 'raise "the application is broken"\n'
HANGS = "sleep 60\n"
ACCOUNT = "mon"


@cache
def require_passenger():
    """Unavailable with what is missing on this machine."""
    if not (passenger_config.MODULES / "mod_passenger.so").exists():
        raise Unavailable("passenger 6.0: no mod_passenger (install libapache2-mod-passenger)")
    if not shutil.which("apache2", path=environment()["PATH"]):
        raise Unavailable("passenger 6.0: no apache2")
    rack = ["/usr/bin/ruby", "-e", "require 'rack'"]
    if subprocess.run(rack, check=False, capture_output=True).returncode != 0:
        raise Unavailable("passenger 6.0: ruby cannot load rack (install ruby-rack)")


class PassengerApache(Instances):
    """Apache and Passenger on `host`, with `apps` ({name: App}; by default the one, `shop`).

    limits: see Limits. registry: PassengerInstanceRegistryDir; "own" is a directory of the lab,
    None leaves it unset, so that instances are in TMPDIR, which is a directory of the lab too.
    account: a read-only account of the core's API, for any user (`account`: name and password).
    extra: further lines of the configuration. Without `ports` ({app: port}) free ones are taken."""

    def __init__(
        self,
        lab,
        name,
        apps=None,
        host=LOCAL,
        limits=None,
        registry="own",
        account=False,
        extra=(),
        ports=None,
    ):
        require_passenger()
        self.name = name
        self.lab = lab
        self.host = host
        self.apps = apps or {"shop": App()}
        self.limits = limits or Limits()
        self.extra = tuple(extra)
        self.user = None
        if os.geteuid() == 0:
            self.user = pwd.getpwnam(USER).pw_name
        self.directory = lab.directory(name)
        self.config = self.directory / "httpd.conf"
        self.error_log = self.directory / "error.log"
        self.temporary = lab.directory(f"{name}/tmp", mode=0o1777)
        self._configured = registry
        if registry == "own":
            self._configured = lab.directory(f"{name}/registry")
        self.registry = Path(self._configured or self.temporary)
        self.account = (ACCOUNT, secrets.token_hex(12)) if account else None
        self.ports = ports
        self.child = None
        self._choose_ports = ports is None
        self._watchdogs = {}  # {pid: start time}, the sessions of Passenger
        self._groups = set()  # process groups that the janitor knows of
        for one in self.apps:
            self.mend_app(one)

    # where it is

    def address(self, app=None):
        return (self.host.address, self.ports[app or next(iter(self.apps))])

    def url(self, app=None):
        """http://ip:port of an application, by default the first."""
        ip, port = self.address(app)
        return f"http://{ip}:{port}"

    @property
    def status_url(self):
        return f"{self.url()}/server-status?auto"

    def entry(self, name=None):
        """An entry of lagwatch's `passenger:` that asks by the account, whose password lagwatch may
        read."""
        user, password = self.account
        file = self.lab.dir / f"{self.name}.account"
        file.write_text(password, encoding="ascii")
        file.chmod(0o644)
        return {
            "name": name or self.name,
            "registry": str(self.registry),
            "username": user,
            "password_file": str(file),
        }

    def app_root(self, app):
        return self.directory / "apps" / app

    def status(self, timeout=5.0):
        """What mod_status says, as {key: text}. OSError also when every worker is busy."""
        lines = fetch(self.status_url, self.host, timeout=timeout).text.splitlines()
        return dict(line.split(": ", 1) for line in lines if ": " in line)

    def log_text(self):
        return self.error_log.read_text(encoding="utf-8", errors="replace")

    def tail(self, lines=15):
        log = self.log_text() if self.error_log.exists() else ""
        return "\n".join([self.child.tail(lines), *log.splitlines()[-lines:]])

    # its files

    def write_config(self):
        authorizations = []
        if self.account:
            file = self.directory / f"{ACCOUNT}.pw"
            file.touch(mode=0o600)
            file.write_text(self.account[1], encoding="ascii")
            authorizations = [f"readonly:{ACCOUNT}:{file}"]
        lines = [
            *passenger_config.modules(self.limits.mpm),
            *passenger_config.server(self.directory, self.user, self.limits),
            *passenger_config.passenger(self._configured, self.limits, authorizations),
            *passenger_config.status_page(),
            *self.extra,
        ]
        for name, app in self.apps.items():
            lines += passenger_config.virtual_host(app, *self.address(name), self.app_root(name))
        self.config.write_text("\n".join([*lines, ""]), encoding="utf-8")

    def _write_app(self, app, text):
        for part in ("", "/public", "/tmp"):
            self.lab.directory(f"{self.name}/apps/{app}{part}", self.user)
        program = self.app_root(app) / "config.ru"
        program.write_text(text, encoding="utf-8")
        if self.user:
            shutil.chown(program, self.user, self.user)

    # its applications

    def break_app(self, app=None, program=BROKEN):
        """From the next request on the application does not spawn (500); with `program` HANGS it
        tries to for a minute."""
        app = app or next(iter(self.apps))
        self._write_app(app, program)
        self.restart_app(app)

    def mend_app(self, app=None):
        app = app or next(iter(self.apps))
        self._write_app(app, RACK_APP.read_text(encoding="utf-8"))
        self.restart_app(app)

    def restart_app(self, app=None):
        """At its next request the application gets new processes; what runs is finished by the
        old ones."""
        app = app or next(iter(self.apps))
        mark = self.app_root(app) / "tmp" / "restart.txt"
        new = mark.with_suffix(".new")
        new.touch()
        before = mark.stat().st_mtime if mark.exists() else 0
        # The core looks at whole seconds: a mark of the same second would not be one.
        os.utime(new, (max(new.stat().st_mtime, before + 1),) * 2)
        new.replace(mark)

    # its processes

    @property
    def running(self):
        return self.child is not None and self.child.alive

    def start(self, timeout=20.0):
        """Starts it; returns when the one instance and Apache answer. Also after stop() and
        kill9()."""
        for attempt in range(5):
            if self._choose_ports and (self.ports is None or attempt):
                self.ports = dict(zip(self.apps, free_ports(len(self.apps), self.host.address)))
            self.write_config()
            stale = set(self.instance_dirs())
            self.child = self.lab.spawn(
                self.name,
                ["apache2", "-DFOREGROUND", "-f", self.config],
                host=self.host,
                # A core that aborts would have itself examined for seconds, and keep that for ever.
                env={"TMPDIR": str(self.temporary), "PASSENGER_ABORT_HANDLER": "no"},
            )
            self.lab.on_close(self._close)
            try:
                wait_until(
                    lambda: self._started(stale), timeout, f"{self.name} and its core answer"
                )
                return self
            except LabError as error:
                snatched = "could not bind to address" in self.tail()
                words = self.tail()
                self.stop()
                if not (self._choose_ports and snatched):
                    raise LabError(f"{error}\n{words}") from None
        raise LabError(f"{self.name}: its ports were taken five times in a row")

    def _started(self, stale):
        # Apache reads its configuration twice, and starts an instance each time.
        self.child.require_alive()
        return (
            fetch(self.status_url, self.host, timeout=1.0).status == 200
            and self.watch_instances()
            and len(set(self.instance_dirs()) - stale) == 1
            and self._answers()
        )

    def _answers(self):
        return self.ask("/ping.json", timeout=1.0).status == 200

    def reload(self, timeout=15.0):
        """Graceful: a new instance answers when this returns; the old one may still drain, or abort
        when it was starting a process. The new one's directory."""
        before = set(self.instance_dirs())
        self.watch_instances()
        self.write_config()
        self.child.signal(signal.SIGUSR1)

        def renewed():
            self.child.require_alive()
            self.watch_instances()
            return self.instance_dir() not in before and self._answers()

        wait_until(renewed, timeout, f"{self.name} has a new instance")
        return self.instance_dir()

    def stop(self, timeout=5.0):
        """SIGTERM to Apache, which ends Passenger; what is left of it after `timeout` is killed.
        Exit code."""
        self.sigcont_core()
        self.watch_instances()
        code = self.child.stop(timeout)
        try:
            wait_until(lambda: not self.members(), timeout, "Passenger has ended")
        except LabError:
            self._kill_members()
        return code

    def kill9(self):
        """SIGKILL to Apache and all of Passenger at once; the instance's directory stays."""
        self.watch_instances()
        for pid in self._watchdogs:
            self._signal(pid, signal.SIGSTOP)  # it would tidy up, or start another core
        code = self.child.kill()
        self._kill_members()
        return code

    def _close(self):
        if self.running or self.members():
            self.stop(1.0)

    # its core

    def core_pid(self):
        """Of the newest instance."""
        return int((self.instance_dir() / "core.pid").read_text(encoding="ascii"))

    def sigstop_core(self):
        """Hangs the core: the kernel still accepts connections, nobody answers. Its pid."""
        pid = self.core_pid()
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: process_state(pid) == "T", what=f"{self.name}'s core stopped")
        return pid

    def sigcont_core(self):
        for pid in self.members():
            if process_state(pid) == "T":
                self._signal(pid, signal.SIGCONT)

    def kill9_core(self):
        """SIGKILL to the core; returns the pid of the one that the watchdog starts instead."""
        before = self.core_pid()
        os.kill(before, signal.SIGKILL)
        wait_until(
            lambda: self.core_pid() != before and self._answers(),
            what=f"{self.name} has a new core",
        )
        self.watch_instances()
        return self.core_pid()

    def kill9_watchdog(self):
        """SIGKILL to the watchdog: its core ends with it and leaves the directory behind."""
        core = self.core_pid()
        os.kill(self.watchdog_pid(), signal.SIGKILL)
        wait_until(lambda: process_state(core) in ("", "Z"), what=f"{self.name}'s core has ended")

    # what the core says

    def ask(self, path, account=None, user=None, instance=None, socket="core_api", timeout=5.0):
        """The Answer to GET `path`: as ourselves or as `user`, of the newest instance or of the one
        in directory `instance`. OSError."""
        where = (instance or self.instance_dir()) / "agents.s" / socket
        if user:
            return get_as(user, where, path, account, timeout)
        return get(where, path, account, timeout)
