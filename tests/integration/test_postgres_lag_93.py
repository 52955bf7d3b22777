# SPDX-License-Identifier: Apache-2.0
"""Replication lag of PostgreSQL 9.3, which has neither slots nor pg_stat_wal_receiver, and shows
its system identifier only to roles with REPLICATION: with it lag is what it is on later versions;
without it only what a standby has received and not replayed."""

import re
import time

from lab.agent import configuration

from integration.pg_support import (
    INTERVAL,
    MON,
    SLACK,
    TIMEOUT,
    WithBehind,
    check_lag,
    is_lower_bound,
    is_up,
    lag,
    lag_source,
    pg_target,
    sender_lag,
    server_value,
    unknown,
    wait_unknown,
)
from integration.support import Watch, cli, config_file, failing, relaxed

SEEN = 2 * INTERVAL + TIMEOUT
LASTS = 4.0
UNNAMED = "no_system_identifier"
BEGINS = "history_begins"  # of the first answer that finds it behind


class Old(WithBehind):
    version = "9.3"

    def check_live(self):
        config = configuration(postgres=[pg_target(s) for s in self.cluster.servers], host=False)
        path = config_file(self.lab, config)
        return cli(self.lab, "check", "--live", f"--config.file={path}")


class OldWithIdentifier(Old):
    role_more = {"replication": True}

    def setUp(self):
        self.watcher = self.watching()
        self.wait_lag(self.watcher, lambda value: value == 0, "no lag")

    def test_it_has_the_identifier_that_the_server_has(self):
        samples = self.watcher.metrics()
        for server in self.cluster.servers:
            found = samples.select("pg_system_info", target=server.name)
            self.assertEqual(
                [one["system_identifier"] for one, _ in found], [server.system_identifier]
            )
        done = self.check_live()
        self.assertNotIn("REPLICATION", done.out + done.err)

    def test_idle_is_no_lag(self):
        with self.truth() as truth:
            watch = self.watched_for(self.watcher, 6.0)
            told = check_lag(self, watch, truth, self.standby)
        self.assertLess(max(v for _, v in told), SLACK)
        last = watch.all()[-1][1]
        self.assertEqual(lag_source(last, self.standby), "lsn_history")

    def test_paused_under_load_lag_is_the_time_since_then(self):
        with self.truth() as truth, self.primary.workload(rate=50, seconds=60):
            with Watch(self.watcher) as watch:
                time.sleep(1.0)
                self.standby.pause_replay()
                time.sleep(LASTS)
                samples = self.watcher.metrics()
                self.standby.resume_replay()
                self.wait_lag(self.watcher, lambda value: value < INTERVAL, "lag is gone")
            check_lag(self, watch, truth, self.standby)
        least = LASTS - 2 * INTERVAL - relaxed(SLACK)
        self.assertGreater(lag(samples, self.standby), least)
        self.assertGreater(sender_lag(samples, self.primary, self.standby), least - 1.0)

    def check_gone(self, reason):
        wait_unknown(self.watcher, self.standby, "primary_unseen", relaxed(SEEN + 1.0))
        with Watch(self.watcher) as watch:
            time.sleep(3.0)
        for _, one in watch.all():
            self.assertEqual(unknown(one, self.standby), "primary_unseen")
            self.assertIsNone(lag(one, self.standby))
            self.assertTrue(is_up(one, self.standby))
        self.assertEqual(failing(watch.all()[-1][1], "primary"), reason)

    def test_primary_stopped_is_unknown(self):
        """Nothing but the silence of the primary tells: recv and replay are the same."""
        self.primary.sigstop()
        self.check_gone("hung")

    def test_primary_killed_is_unknown(self):
        self.primary.kill9()
        self.check_gone("refused")


class OldWithoutIdentifier(Old):
    """Nobody knows whose standby it is."""

    def setUp(self):
        self.watcher = self.watching()

    def test_idle_is_unknown_and_what_check_says_mends_it(self):
        watch = self.watched_for(self.watcher, 3.0)
        for _, one in watch.all():
            self.assertIsNone(lag(one, self.standby))
            self.assertEqual(unknown(one, self.standby), UNNAMED)
            self.assertTrue(is_up(one, self.standby))
        done = self.check_live()
        fix = re.search(r"fix: (ALTER ROLE (\w+) REPLICATION)", done.out + done.err)
        self.assertIsNotNone(fix, done.out + done.err)
        self.assertIn("pg_hba.conf", done.out)
        self.primary.sql(fix[1].replace(fix[2], MON))
        self.addCleanup(self.primary.sql, f"ALTER ROLE {MON} NOREPLICATION")
        self.standby.wait_caught_up()
        self.wait_lag(self.watching(), lambda value: value == 0, "it is known")

    def test_paused_lag_is_at_least_what_it_received_and_did_not_replay(self):
        with self.truth() as truth, Watch(self.watcher) as watch:
            self.standby.pause_replay()
            with self.primary.workload(rate=50, seconds=30):
                time.sleep(LASTS)
                samples = self.watcher.metrics()
                self.standby.resume_replay()
            wait_unknown(self.watcher, self.standby, UNNAMED, relaxed(SEEN + 1.0))
        check_lag(self, watch, truth, self.standby, (UNNAMED, BEGINS), size=False)
        self.assertTrue(is_lower_bound(samples, self.standby))
        self.assertEqual(lag_source(samples, self.standby), "receiver")
        self.assertGreater(lag(samples, self.standby), LASTS - 2 * INTERVAL - relaxed(SLACK))

    def test_the_primary_tells_of_its_standby_all_the_same(self):
        with self.primary.workload(rate=50, seconds=30):
            self.standby.pause_replay()
            samples = self.watcher.wait_metric(
                lambda m: (sender_lag(m, self.primary, self.standby) or 0) > 2.0,
                "its sender sees it fall behind",
                relaxed(SEEN + 4),
            )
            self.standby.resume_replay()
        self.assertEqual(server_value(samples, "pg_stat_replication_standbys", self.primary), 1)
