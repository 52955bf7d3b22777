# SPDX-License-Identifier: Apache-2.0
"""A real PostgreSQL of any version of pg_binaries.VERSIONS, as user postgres, and its standbys.

Each server owns directory `name` of the lab: `data`, `run` (its unix socket, for anybody) and the
files of its archive. It writes nothing by itself (no autovacuum), does not fsync, and notices a
dead peer after 5 s; `settings` says otherwise. Times in seconds, sizes and WAL positions in
bytes."""

import os
import shutil
import signal
import subprocess

from . import pg_config
from .host import LOCAL
from .pg_archive import Archiving
from .pg_binaries import binaries
from .pg_faults import Faults
from .pg_process import USER, Processes, as_server_user, private_ipc, server_user
from .pg_replication import Replication
from .pg_session import Session, SqlError
from .process import LabError, Unavailable, environment, free_ports, group_of, wait_until

PORT = 5432  # on hosts of their own
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
class Postgres(Processes, Replication, Archiving, Faults):
    """One server on `host`. start() makes its data directory first (initdb) when there is none.

    version: one of pg_binaries.VERSIONS. settings: {name: value} over pg_config.default_settings().
    auth: how roles but postgres are asked (trust, md5, scram-sha-256). hba: whole text of
    pg_hba.conf instead. initdb: further arguments, e.g. ("--wal-segsize=1",). Without `port` a free
    one is taken, on a host of its own 5432. upstream: what it was copied from, or None."""

    def __init__(
        self,
        lab,
        name,
        version="15",
        host=LOCAL,
        port=None,
        settings=None,
        hba=None,
        auth="trust",
        initdb=(),
    ):
        self.binaries = binaries(version)
        self.name = name
        self.version = version
        self.number = self.binaries.number
        self.host = host
        self.lab = lab
        self.user = server_user()
        self.upstream = None
        self.relay = None  # to the upstream
        self.slot = None
        self.settings = {**pg_config.default_settings(self.number), **(settings or {})}
        self.directory = lab.directory(name, self.user)
        self.data = self.directory / "data"
        self.socket_directory = lab.directory(f"{name}/run", self.user)
        self.trigger_file = self.directory / "promote"
        self.archive_directory = self.directory / "archive"
        self.port = port or (PORT if host.namespace else free_ports(1, host.address)[0])
        self.child = None
        self._choose_port = port is None and not host.namespace
        self._hba = hba
        self._auth = auth
        self._initdb = list(initdb)
        self._recovery = None  # {setting: value} of a standby
        self._clock = 0.0
        self._stopped = {}  # {pid: start time} of children that sigstop() stopped

    # where it is

    @property
    def socket(self):
        return self.socket_directory / f".s.PGSQL.{self.port}"

    @property
    def address(self):
        return (self.host.address, self.port)

    def dsn(self, user=USER, dbname="postgres", **more):
        """Connection string of libpq, over the unix socket; `more` are further parameters."""
        return self._dsn(str(self.socket_directory), user, dbname, more)

    def tcp_dsn(self, user=USER, dbname="postgres", **more):
        return self._dsn(self.host.address, user, dbname, more)

    def _dsn(self, host, user, dbname, more):
        parts = {"host": host, "port": self.port, "user": user, "dbname": dbname, **more}
        return " ".join(f"{key}={value}" for key, value in parts.items() if value is not None)

    # its files

    def run(self, argv, env=None, timeout=60.0):
        """Runs a program to its end as the server's user, on its host; env=binaries.env for the
        server's own. Its output; LabError."""
        command = [*as_server_user(), *map(str, argv)]
        try:
            done = subprocess.run(
                self.host.argv(command),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                cwd=self.directory,
                check=False,
                stdin=subprocess.DEVNULL,
                env=environment({"LC_ALL": "C", **(env or {})}),
            )
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name}: {argv[0]} did not end within {timeout:g} s") from None
        if done.returncode != 0:
            words = (done.stdout + done.stderr)[-1500:]
            raise LabError(f"{self.name}: {argv[0]} ended with {done.returncode}:\n{words}")
        return done.stdout

    def _initialise(self):
        argv = [self.binaries.initdb, "-D", self.data, "-U", USER, "-A", "trust", "-N"]
        self.run([*argv, "--locale=C", "--encoding=UTF8", *self._initdb], self.binaries.env)

    def write_file(self, path, text):
        """A file of the server's user, replaced at once."""
        new = path.with_name(path.name + ".new")
        new.write_text(text, encoding="utf-8")
        if self.user:
            shutil.chown(new, self.user, group_of(self.user))
        new.replace(path)

    def write_config(self):
        """lab.conf, which postgresql.conf includes; pg_hba.conf; what makes it a standby. Read at
        start() and reload()."""
        main = self.data / "postgresql.conf"
        if "lab.conf" not in main.read_text(encoding="utf-8"):
            self.write_file(main, main.read_text(encoding="utf-8") + "\ninclude 'lab.conf'\n")
        settings = {
            **self.settings,
            "listen_addresses": self.host.address,
            "port": self.port,
            "unix_socket_directories": self.socket_directory,
        }
        if self._recovery and self.number >= 1200:
            settings.update(self._recovery)
        self.write_file(self.data / "lab.conf", pg_config.conf(settings))
        network = "127.0.0.1/32"
        if self.host.namespace:
            network = self.host.address.rpartition(".")[0] + ".0/24"
        self.write_file(
            self.data / "pg_hba.conf", self._hba or pg_config.hba(network, self._auth)
        )

    def _write_recovery(self):
        if self.number >= 1200:
            self.write_file(self.data / "standby.signal", "")
        else:
            self.write_file(self.data / "recovery.conf", pg_config.conf(self._recovery))

    # its process

    def start(self, ready=True, timeout=30.0):
        """Starts it; with `ready`, waits until it answers. Also after stop() and kill9()."""
        if not self.data.exists():
            self._initialise()
        for _ in range(5):
            self.write_config()
            self._spawn()
            if not ready:
                return self
            try:
                return self.wait_ready(timeout)
            except LabError:
                text = self.child.log_text()
                self.child.kill()
                if not (self._choose_port and "Address already in use" in text):
                    raise
                self.port = free_ports(1, self.host.address)[0]
        raise LabError(f"{self.name}: its port was taken five times in a row")

    def _spawn(self):
        inner = ["env", *(f"{key}={value}" for key, value in self._server_env().items())]
        self.child = self.lab.spawn(
            self.name,
            [
                *private_ipc(self._clock != 0),
                *as_server_user("--pdeathsig=QUIT"),
                *inner,
                self.binaries.postgres,
                "-D",
                self.data,
            ],
            host=self.host,
            death_signal="QUIT",
        )
        self.lab.on_close(self._close)  # before the child's own end, which would be a smart one

    def _server_env(self):
        env = dict(self.binaries.env)
        if self._clock:
            env.update(
                LD_PRELOAD=FAKETIME,
                FAKETIME=f"{self._clock:+g}",
                FAKETIME_DONT_FAKE_MONOTONIC="1",
            )
        return env

    def wait_ready(self, timeout=30.0):
        """Waits until it takes connections (as a standby too)."""
        try:
            wait_until(self.answers, timeout, f"{self.name} takes connections")
        except LabError as error:
            raise LabError(f"{error}\n{self.child.tail()}") from None
        self._choose_port = False
        return self

    def answers(self, timeout=2.0):
        """Whether it lets us in; False while it starts up or recovers. OSError, LabError."""
        if self.child is None:
            raise LabError(f"{self.name} was never started")
        self.child.require_alive()
        try:
            with self.session(timeout=timeout):
                return True
        except SqlError as error:
            if error.code == "57P03":
                return False
            raise

    @property
    def running(self):
        return self.child is not None and self.child.alive

    def restart(self, mode="fast"):
        self.stop(mode)
        return self.start()

    def reload(self):
        """Reads the configuration anew and waits until new connections see it."""
        self.write_config()
        before = self.value("SELECT pg_conf_load_time()")
        self.child.signal(signal.SIGHUP)
        wait_until(
            lambda: self.value("SELECT pg_conf_load_time()") != before,
            what=f"{self.name} has reloaded",
        )

    def set(self, **settings):
        """Changes settings and reloads; those that need it take effect with restart()."""
        self.settings.update(settings)
        self.reload()

    def clock_offset(self, seconds):
        """Its clock is `seconds` ahead (behind when negative) of ours from the next start; a
        running server is restarted. 0: as ours."""
        if seconds and not os.path.exists(FAKETIME):
            raise Unavailable("another clock: no libfaketime (apt-get install faketime)")
        self._clock = float(seconds)
        if self.running:
            self.restart()

    # questions

    def session(self, user=USER, dbname="postgres", timeout=10.0, tcp=False, **more):
        """A connection of ours (see Session), over the unix socket or TCP from its own host."""
        address = self.address if tcp else self.socket
        return Session(address, user, dbname, self.host, timeout, **more)

    def sql(self, text, dbname="postgres", user=USER, timeout=10.0):
        """Rows of the last of these statements (text, NULL is None). SqlError, or TimeoutError
        when it hangs."""
        with self.session(user, dbname, timeout) as session:
            return session.sql(pg_config.renamed(self.number, text))

    def value(self, text, **more):
        """The first column of the first row."""
        rows = self.sql(text, **more)
        return rows[0][0] if rows else None

    @property
    def is_in_recovery(self):
        return self.value("SELECT pg_is_in_recovery()") == "t"

    @property
    def system_identifier(self):
        """From IDENTIFY_SYSTEM, which every version has."""
        with self.session(replication="true") as session:
            return session.sql("IDENTIFY_SYSTEM")[0][0]

    @property
    def timeline(self):
        with self.session(replication="true") as session:
            return int(session.sql("IDENTIFY_SYSTEM")[0][1])

    def lsn(self, kind=None):
        """A WAL position in bytes, None when there is none: current, insert, flush (9.6), receive,
        replay; by default replay of a standby and current of a primary."""
        kind = kind or ("replay" if self.is_in_recovery else "current")
        functions = {
            "current": "pg_current_wal_lsn()",
            "insert": "pg_current_wal_insert_lsn()",
            "flush": "pg_current_wal_flush_lsn()",
            "receive": "pg_last_wal_receive_lsn()",
            "replay": "pg_last_wal_replay_lsn()",
        }
        text = self.value(f"SELECT {functions[kind]}")
        if text is None:
            return None
        high, low = text.split("/")
        return (int(high, 16) << 32) + int(low, 16)

    def log(self):
        """What it has logged since its last start."""
        return self.child.log_text()

    def role(self, name, kind="pg_monitor", password=None, replication=False):
        """Creates a login role: pg_monitor, least (pg_read_all_stats and two functions), bare (no
        grants), superuser, wrappers (SECURITY DEFINER functions in schema monitoring, for 9.x).
        Its name."""
        self.sql(pg_config.role(self.number, name, kind, password, replication))
        return name
