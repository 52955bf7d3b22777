# SPDX-License-Identifier: Apache-2.0
"""Standbys of a PostgreSQL: made, followed, promoted; replication slots. Times in seconds,
positions in bytes."""

import shutil

from . import pg_config
from .pg_binaries import client
from .pg_process import USER
from .pg_relay import Relay
from .process import LabError, group_of, wait_until

CLIENT_NUMBER = 1500  # of Debian's pg_basebackup, which refuses later servers


class Replication:
    """What Postgres does about replication."""

    def standby(
        self,
        name,
        slot=None,
        host=None,
        port=None,
        relay=False,
        start=True,
        settings=None,
        **more,
    ):
        """A started Postgres that streams from this one as application `name`; of a standby: a
        cascade.

        slot: name of a physical slot, made here when there is none. relay: stream through a Relay
        on its host (`.relay`), to be cut. more: further settings of recovery, e.g. restore_command
        or recovery_min_apply_delay (9.4)."""
        made = type(self)(
            self.lab,
            name,
            self.version,
            host or self.host,
            port,
            settings={**self.settings, **(settings or {})},
            hba=self._hba,
            auth=self._auth,
        )
        made.upstream = self
        made.archive_directory = self.archive_directory
        made.slot = slot
        if slot:
            self.create_slot(slot)
        if self.number <= CLIENT_NUMBER:
            self._base_backup(made)
        else:
            self._copy(made)
        if relay:
            made.relay = Relay(self.lab, self.address, made.host)
        made.follow(self, **more)
        return made.start() if start else made

    def follow(self, upstream, **more):
        """Writes what makes it a standby of `upstream`; takes effect at the next start."""
        ip, port = self.relay.address if self.relay else upstream.address
        self.upstream = upstream
        conninfo = f"host={ip} port={port} user={USER} application_name={self.name}"
        self._recovery = pg_config.recovery(
            self.number, conninfo, self.slot, self.trigger_file, more
        )
        self._write_recovery()

    def _base_backup(self, made):
        argv = [client("pg_basebackup"), "-D", made.data, "-d", self.tcp_dsn()]
        made.run([*argv, "-X", "fetch", "-c", "fast", "--no-sync"])

    def _copy(self, made):
        """A copy of the files in backup mode; the WAL it needs is streamed later."""
        with self.session(timeout=30) as session:
            session.sql("SELECT pg_backup_start('lab', true)")
            shutil.copytree(self.data, made.data, True, ignore=not_copied, copy_function=copy)
            label = session.sql("SELECT labelfile FROM pg_backup_stop(false)")[0][0]
        (made.data / "pg_wal" / "archive_status").mkdir(parents=True, exist_ok=True)
        (made.data / "backup_label").write_text(label, encoding="utf-8")
        if self.user:
            for path in (made.data, *made.data.rglob("*")):
                shutil.chown(path, self.user, group_of(self.user))
        made.data.chmod(0o700)

    def promote(self, trigger=False, timeout=20.0):
        """Makes it a primary, by pg_ctl or (`trigger`, before 16) its trigger file; waits until it
        is one."""
        if trigger:
            if self.number >= 1600:
                raise LabError("trigger files ended with PostgreSQL 15")
            self.write_file(self.trigger_file, "")
        else:
            self.run([self.binaries.pg_ctl, "promote", "-D", self.data], self.binaries.env)
        self._recovery = None
        wait_until(
            lambda: not self.is_in_recovery, timeout, f"{self.name} is a primary", interval=0.05
        )

    def senders(self):
        """pg_stat_replication as {application_name: state}."""
        return dict(self.sql("SELECT application_name, state FROM pg_stat_replication"))

    def wait_streaming(self, timeout=20.0):
        """Waits until the upstream sees this standby stream."""
        wait_until(
            lambda: self.upstream.senders().get(self.name) == "streaming",
            timeout,
            f"{self.name} streams from {self.upstream.name}",
            interval=0.05,
        )
        return self

    def wait_caught_up(self, timeout=20.0):
        """Waits until it has replayed all that its upstream has now."""
        target = self.upstream.lsn()
        wait_until(
            lambda: (self.lsn("replay") or 0) >= target,
            timeout,
            f"{self.name} has replayed {target}",
            interval=0.05,
        )
        return self

    def pause_replay(self):
        self.sql("SELECT pg_wal_replay_pause()")
        wait_until(
            lambda: self.value("SELECT pg_is_wal_replay_paused()") == "t", what="replay is paused"
        )

    def resume_replay(self):
        self.sql("SELECT pg_wal_replay_resume()")

    # slots (9.4)

    def create_slot(self, name):
        """A physical slot that keeps WAL from now on (before 9.6: from its first use)."""
        if self.number < 904:
            raise LabError("replication slots came with PostgreSQL 9.4")
        if self.sql(f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{name}'"):
            return
        reserve = ", true" if self.number >= 906 else ""
        self.sql(f"SELECT pg_create_physical_replication_slot('{name}'{reserve})")

    def drop_slot(self, name):
        self.sql(f"SELECT pg_drop_replication_slot('{name}')")

    def lose_slot(self, name, timeout=20.0):
        """Makes an unused slot lose its WAL (13): wal_status lost."""
        if self.number < 1300:
            raise LabError("max_slot_wal_keep_size came with PostgreSQL 13")
        self.create_slot(name)
        self.set(max_slot_wal_keep_size="1MB", wal_keep_size="0")

        def lost():
            self.switch_wal()
            self.sql("CHECKPOINT", timeout=30)
            text = f"SELECT wal_status FROM pg_replication_slots WHERE slot_name = '{name}'"
            return self.value(text) == "lost"

        wait_until(lost, timeout, f"slot {name} is lost")


def copy(source, target):
    """Of one file; what vanished meanwhile is not missed."""
    try:
        return shutil.copy2(source, target)
    except FileNotFoundError:
        return target


def not_copied(directory, names):
    """What a base backup leaves out: WAL, and what belongs to the running server."""
    if directory.endswith(("/pg_wal", "/pg_replslot", "/pg_dynshmem", "/pg_stat_tmp")):
        return names
    out = {"postmaster.pid", "postmaster.opts", "standby.signal"}
    return [name for name in names if name in out or name.startswith("pgsql_tmp")]
