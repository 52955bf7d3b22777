# SPDX-License-Identifier: Apache-2.0
"""WAL archiving of a PostgreSQL of the lab, whose script can be told to fail, lie or hang while it
runs. Times in seconds."""

from .process import wait_until

SCRIPT = """#!/bin/sh
# $1: path of the file, $2: its name
case $(cat {mode}) in
    ok) cp "$1" {archive}/."$2".new && mv {archive}/."$2".new {archive}/"$2" ;;
    fail) echo "archive: told to fail" >&2; exit 1 ;;
    lie) exit 0 ;;
    hang) sleep 60; exit 1 ;;
esac
"""


class Archiving:
    """What Postgres does about its archive: directory `archive_directory`. A standby has its
    upstream's, as on a real site, until archive() is called on it."""

    def archive(self, mode="ok", archive_mode="on"):
        """Archives from now on: ok; fail (exit code 1, three tries, then 60 s of pause); lie (0,
        nothing is kept); hang. The first call restarts a running server, which archive_mode
        needs; call it before start() to spare that. archive_mode="always" is 9.5."""
        mode_file = self.directory / "archive.mode"
        self.write_file(mode_file, mode)
        script = self.directory / "archive.sh"
        if not script.exists():
            self.archive_directory = self.lab.directory(f"{self.name}/archive", self.user)
            text = SCRIPT.format(mode=mode_file, archive=self.archive_directory)
            self.write_file(script, text)
        wanted = {"archive_mode": archive_mode, "archive_command": f"sh {script} %p %f"}
        if not wanted.items() <= self.settings.items():
            self.settings.update(wanted)
            if self.running:
                self.restart()

    def archived(self):
        """Names of files that are in the archive, sorted."""
        return sorted(
            path.name for path in self.archive_directory.iterdir() if path.name[0] != "."
        )

    def switch_wal(self):
        """Ends the current WAL segment and returns its name."""
        self.sql("CREATE TABLE IF NOT EXISTS lab_switch (); DROP TABLE lab_switch")
        name = self.value("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
        self.sql("SELECT pg_switch_wal()")
        return name

    def ready(self):
        """Names of WAL files that wait for the archive, sorted."""
        directory = "pg_xlog" if self.number < 1000 else "pg_wal"
        status = self.data / directory / "archive_status"
        return sorted(path.stem for path in status.glob("*.ready"))

    def wait_archived(self, name, timeout=15.0):
        wait_until(lambda: name in self.archived(), timeout, f"{name} is in the archive", 0.05)
