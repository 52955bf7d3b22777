# SPDX-License-Identifier: Apache-2.0
"""What happens to a PostgreSQL: load, too many connections, a pile of locks, a base backup under
way. Times in seconds."""

import contextlib
import threading
import time

from .pg_binaries import client
from .pg_process import USER
from .pg_session import SqlError
from .process import LabError, wait_until

MOST_SECONDS = 600


class Workload:
    """Writes at `rate` rows a second for at most `seconds`, in a thread of ours. rows: written so
    far; error: what ended it early, or None."""

    def __init__(self, server, rate, seconds, statement):
        self.rows = 0
        self.error = None
        self._server = server
        self._rate = rate
        self._seconds = min(seconds, MOST_SECONDS)
        self._statement = statement
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        server.lab.on_close(self.stop)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _run(self):
        started = time.monotonic()
        try:
            with self._server.session(timeout=2, application_name="workload") as session:
                while not self._end.is_set():
                    session.sql(self._statement)
                    self.rows += 1
                    due = started + self.rows / self._rate
                    if due > started + self._seconds:
                        return
                    self._end.wait(max(0.0, due - time.monotonic()))
        except (OSError, LabError) as error:
            self.error = error

    def wait(self):
        """Until it has ended by itself; the number of rows."""
        self._thread.join(self._seconds + 5)
        return self.rows

    def stop(self):
        self._end.set()
        self._thread.join(5)
        return self.rows


class Faults:
    """What tests do to a Postgres. All `with` blocks end what they began."""

    def workload(self, rate=20.0, seconds=60.0, size=200):
        """A Workload of rows of `size` bytes in table lab_writes."""
        self.sql("CREATE TABLE IF NOT EXISTS lab_writes (at timestamptz, payload text)")
        statement = f"INSERT INTO lab_writes VALUES (clock_timestamp(), repeat('x', {size}))"
        return Workload(self, rate, seconds, statement)

    def write(self, kilobytes=64):
        """Moves the WAL on by about so much, at once. The position after it."""
        self.sql("CREATE TABLE IF NOT EXISTS lab_writes (at timestamptz, payload text)")
        self.sql(
            "INSERT INTO lab_writes SELECT clock_timestamp(), repeat('x', 1000)"
            f" FROM generate_series(1, {kilobytes})",
            timeout=30,
        )
        return self.lsn("current")

    def heartbeat(self, rate=2.0, seconds=60.0, table="lab_heartbeat"):
        """A table of one row (ts timestamptz) that anybody may read, and a Workload that sets it
        to the server's time."""
        self.sql(
            f"CREATE TABLE IF NOT EXISTS {table} (ts timestamptz); DELETE FROM {table};"
            f" INSERT INTO {table} VALUES (clock_timestamp());"
            f" GRANT SELECT ON {table} TO PUBLIC"
        )
        return Workload(self, rate, seconds, f"UPDATE {table} SET ts = clock_timestamp()")

    @contextlib.contextmanager
    def exhaust_connections(self, user=USER):
        """Holds connections of `user` until no more are let in (53300). Superuser postgres takes
        the reserved ones too; an ordinary role leaves three. Gives their number."""
        held = []
        try:
            try:
                while len(held) < 1000:
                    held.append(self.session(user, application_name="exhaust"))
            except SqlError as error:
                if error.code != "53300":
                    raise
            yield len(held)
        finally:
            for one in held:
                one.close()

    @contextlib.contextmanager
    def lock_pileup(self, waiters=5, table="lab_locked"):
        """One session holds `table` exclusively and `waiters` wait for it."""
        self.sql(f"CREATE TABLE IF NOT EXISTS {table} (n integer)")
        with contextlib.ExitStack() as stack:
            holder = stack.enter_context(self.session(application_name="holder"))
            holder.sql(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            for _ in range(waiters):
                waiter = stack.enter_context(self.session(application_name="waiter"))
                waiter.send(f"SELECT count(*) FROM {table}")
            wait_until(lambda: self.waiting() >= waiters, what=f"{waiters} sessions wait")
            try:
                yield
            finally:
                with contextlib.suppress(OSError, SqlError):  # the server may be gone
                    holder.sql("ROLLBACK")

    def waiting(self):
        """How many locks are waited for."""
        return int(self.value("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    @contextlib.contextmanager
    def basebackup_running(self):
        """A pg_basebackup at 32 kB/s is under way (9.4 to 15). Gives the Child."""
        if not 904 <= self.number <= 1500:
            raise LabError("Debian's pg_basebackup can be slowed down with 9.4 to 15")
        target = self.directory / f"backup{time.monotonic_ns()}"
        argv = ["-D", target, "-X", "none", "-c", "fast", "--no-sync", "--max-rate=32k"]
        with self._client("pg_basebackup", argv) as child:
            yield child

    @contextlib.contextmanager
    def receivewal(self, slot=None):
        """pg_receivewal is attached (9.3 to 15). Gives the Child."""
        if self.number > 1500:
            raise LabError("Debian's pg_receivewal reads servers up to 15")
        target = self.lab.directory(f"{self.name}/received", self.user)
        argv = ["-D", target, "--no-loop", *(["--slot", slot] if slot else [])]
        with self._client("pg_receivewal", argv) as child:
            yield child

    @contextlib.contextmanager
    def _client(self, program, argv):
        """A replication client of Debian's runs and is seen by the server."""
        conninfo = self.dsn(application_name=program)
        child = self.lab.spawn(
            f"{self.name}-{program}",
            [client(program), "-d", conninfo, *argv],
            host=self.host,
            user=self.user,
        )
        try:
            wait_until(
                lambda: child.require_alive() and program in self.senders(),
                what=f"{program} is attached to {self.name}",
            )
            yield child
        finally:
            child.stop()
