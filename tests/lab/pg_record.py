# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/postgres: what real servers answer to the statements of every collector.

    cd tests && python3 -m lab.pg_record ../build-dev/tests/lagwatch_tests [VERSION...]

The test binary asks (PostgresRecord, through the agent's own client); this makes the servers and
what happens to them. Then LAGWATCH_UPDATE_GOLDEN=1 lagwatch_tests --gtest_filter='*PostgresGolden*'
writes what the collectors make of it: read it before it is committed."""

import os
import subprocess
import sys
from pathlib import Path

from .pg_binaries import VERSIONS, binaries
from .pg_cluster import Cluster
from .process import Lab, LabError, Unavailable, wait_until

DATA = Path(__file__).resolve().parent.parent / "data" / "postgres"
HEARTBEAT = "public.lab_heartbeat"
BARE = ("9.3", "9.6", "10", "12", "15", "18")
CASCADE = ("9.5", "15")
LOGICAL = ("9.6", "15", "17")
ARCHIVE_FAILING = ("9.3", "9.5", "12", "15")
REPLAY_PAUSED = ("9.3", "9.6", "14", "15")
PROMOTED = ("9.6", "12", "15", "18")
SLOT_LOST = ("14", "15", "17")


class Recorder:
    """Records cases of one version; `binary` is lagwatch_tests."""

    def __init__(self, binary, version):
        self.binary = binary
        self.version = version

    def record(self, case, server, role, heartbeat=HEARTBEAT, write=False):
        directory = DATA / self.version / case
        done = subprocess.run(
            [self.binary, "--gtest_filter=PostgresRecord.*", "--gtest_brief=1"],
            env={
                **os.environ,
                "LAGWATCH_RECORD_DSN": server.dsn(role),
                "LAGWATCH_RECORD_DIRECTORY": str(directory),
                "LAGWATCH_RECORD_HEARTBEAT": heartbeat,
                "LAGWATCH_RECORD_HEARTBEAT_WRITE": "yes" if write else "",
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise LabError(f"{self.version} {case}: {done.stdout}{done.stderr}")
        print(f"{self.version}/{case}", flush=True)


def record_version(lab, binary, version):
    """All cases of one version, each on what the ones before have left."""
    recorder = Recorder(binary, version)
    old = binaries(version).number < 1000
    cluster = Cluster(
        lab,
        version,
        cascade=version in CASCADE,
        archive="ok",
        settings={"wal_level": "logical"} if version in LOGICAL else None,
    )
    primary, standby = cluster.primary, cluster.standby
    mon = primary.role("mon", "wrappers" if old else "pg_monitor", replication=old)
    bare = primary.role("bare", "bare")
    primary.role("super", "superuser")
    if not old:
        primary.role("least", "least")
    primary.sql(
        "CREATE TABLE lab_heartbeat (ts timestamptz); INSERT INTO lab_heartbeat VALUES (now());"
        "GRANT SELECT ON lab_heartbeat TO mon"
    )
    primary.sql("CREATE DATABASE app")
    primary.write(100)
    primary.wait_archived(primary.switch_wal())
    primary.write(100)
    for one in cluster.servers[1:]:
        one.wait_caught_up()

    with primary.session(dbname="app", application_name="app") as app:
        app.sql("BEGIN")
        app.sql("SELECT txid_current()")
        record_roles(recorder, cluster, mon, bare)
    record_faults(recorder, cluster, mon)


def record_roles(recorder, cluster, mon, bare):
    """The same servers as different roles see them; a session is idle in a transaction."""
    primary, standby, version = cluster.primary, cluster.standby, recorder.version
    recorder.record("primary", primary, mon)
    recorder.record("cascade_middle" if cluster.cascade else "standby", standby, mon)
    if cluster.cascade:
        recorder.record("standby", cluster.cascade, mon)
    if version in BARE:
        recorder.record("bare_primary", primary, bare)
        recorder.record("bare_standby", standby, bare)
    if primary.number < 1000 or version == "15":
        recorder.record("superuser_primary", primary, "super")
    if version == "15":
        recorder.record("least_primary", primary, "least")


def record_faults(recorder, cluster, mon):
    primary, standby, version = cluster.primary, cluster.standby, recorder.version
    if version in LOGICAL:
        primary.sql("SELECT pg_create_logical_replication_slot('search', 'test_decoding')")
        primary.write(200)
        recorder.record("logical_slot", primary, mon)
        primary.sql("SELECT pg_drop_replication_slot('search')")
    if version == "15":
        primary.sql("GRANT UPDATE ON lab_heartbeat TO mon")
        recorder.record("heartbeat_writer", primary, mon, write=True)
        with primary.lock_pileup(waiters=3):
            recorder.record("lock_pileup", primary, mon)
        with primary.receivewal():
            recorder.record("receivewal", primary, mon)
        with primary.basebackup_running():
            recorder.record("basebackup", primary, mon)
    if version in ARCHIVE_FAILING:
        primary.archive("fail")
        for _ in range(3):
            primary.switch_wal()
        if primary.number >= 904:
            failed = "SELECT failed_count > 0 FROM pg_stat_archiver"
            wait_until(lambda: primary.value(failed) == "t", 20, "archiving fails")
        recorder.record("archive_failing", primary, mon)
        primary.archive("ok")
    if version in REPLAY_PAUSED:
        standby.pause_replay()
        primary.write(300)
        wait_until(lambda: standby.lsn("receive") >= primary.lsn(), 20, "the standby received all")
        recorder.record("replay_paused", standby, mon)
        recorder.record("replay_paused_primary", primary, mon)
        standby.resume_replay()
    if version in SLOT_LOST:
        primary.lose_slot("lost")
        recorder.record("slot_lost", primary, mon)
    if version in PROMOTED:
        standby.promote()
        recorder.record("promoted", standby, mon)


def main(arguments):
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    binary = Path(arguments[0]).resolve()
    failed = False
    for version in arguments[1:] or VERSIONS:
        try:
            with Lab() as lab:
                record_version(lab, binary, version)
        except (LabError, Unavailable, OSError) as error:
            print(f"{version}: {error}", file=sys.stderr, flush=True)
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
