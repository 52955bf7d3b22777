# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL that is busy: locks that pile up, transactions left open, questions of ours that
are slow, base backups and pg_receivewal beside a standby. None of it takes the target down."""

import contextlib

from integration.pg_support import INTERVAL, WithCluster, pg_target, server_value
from integration.support import Watch, failures, relaxed

WAITERS = 5
FRESH = 4 * INTERVAL + 3  # s: what is asked less often has been asked again


class WithPrimary(WithCluster):
    """Watches the primary; it and the standby are healthy throughout."""

    @contextlib.contextmanager
    def healthy(self, agent):
        """Within the block the primary answers every scrape in time."""
        with Watch(agent) as watch:
            yield
        watch.check(self, well=self.primary.name, period=INTERVAL)
        for _, samples in watch.all():
            self.assertEqual(self.value(samples, "pg_up"), 1)
        self.assertEqual(failures(agent.metrics(), self.primary.name), 0)

    def value(self, samples, name, **labels):
        return server_value(samples, name, self.primary, **labels)

    def wait_value(self, agent, name, test, **labels):
        """Waits until test(value) holds; the value."""
        samples = agent.wait_metric(
            lambda m: test(self.value(m, name, **labels)), f"{name}{labels}", relaxed(FRESH)
        )
        return self.value(samples, name, **labels)

    def limited(self, samples, collector):
        """Why part of what the collector asks cannot be had, or None."""
        name = "lagwatch_target_limited"
        found = samples.select(name, target=self.primary.name, collector=collector)
        return found[0][0]["reason"] if found else None


class Locks(WithPrimary):
    def test_a_pile_of_locks_is_counted_and_does_not_hold_us_up(self):
        agent = self.watching(self.primary)
        with self.healthy(agent):
            with self.primary.lock_pileup(waiters=WAITERS):
                waiting, oldest = "pg_stat_activity_waiting", "pg_stat_activity_oldest_wait_seconds"
                self.wait_value(agent, waiting, lambda n: n == WAITERS)
                first = self.wait_value(agent, oldest, lambda age: age is not None)
                self.wait_value(agent, oldest, lambda age: age > first + 1)
                left = {"datname": "postgres", "state": "idle in transaction"}
                self.wait_value(agent, "pg_stat_activity_count", lambda n: n == 1, **left)
                waiters = {"datname": "postgres", "state": "active"}
                self.wait_value(agent, "pg_stat_activity_count", lambda n: n == WAITERS, **waiters)
            self.wait_value(agent, waiting, lambda n: n == 0)
            self.wait_value(agent, oldest, lambda age: age is None)

    def test_a_transaction_left_open_ages(self):
        agent = self.watching(self.primary)
        oldest = "pg_stat_activity_oldest_idle_in_transaction_seconds"
        with self.healthy(agent):
            with self.primary.session(application_name="forgotten") as session:
                session.sql("BEGIN; SELECT 1")
                self.wait_value(agent, "pg_stat_activity_idle_in_transaction", lambda n: n == 1)
                first = self.wait_value(agent, oldest, lambda age: age is not None)
                self.wait_value(agent, oldest, lambda age: age > first + 1)
                name = "pg_stat_activity_oldest_transaction_seconds"
                self.wait_value(agent, name, lambda age: age >= first)
            self.wait_value(agent, "pg_stat_activity_idle_in_transaction", lambda n: n == 0)
            self.wait_value(agent, oldest, lambda age: age is None)

    def check_stalled(self, agent):
        """The heartbeat cannot be had, and all else can."""
        agent.wait_metric(
            lambda m: self.limited(m, "postgres_heartbeat") == "stalled", "stalled", relaxed(5)
        )
        name = "pg_heartbeat_timestamp_seconds"
        self.wait_value(agent, name, lambda value: value is None)
        self.assertIn("lock_timeout", agent.log())

    def test_a_lock_on_the_heartbeats_table_costs_the_heartbeat_alone(self):
        self.primary.heartbeat(seconds=0.1).wait()
        agent = self.watching(pg_target(self.primary, heartbeat={"table": "lab_heartbeat"}))
        self.wait_value(agent, "pg_heartbeat_timestamp_seconds", lambda value: value is not None)
        with self.healthy(agent):
            with self.primary.session(application_name="holder") as holder:
                holder.sql("BEGIN; LOCK TABLE lab_heartbeat IN ACCESS EXCLUSIVE MODE")
                self.check_stalled(agent)
                holder.sql("ROLLBACK")
            name = "pg_heartbeat_timestamp_seconds"
            self.wait_value(agent, name, lambda value: value is not None)
            self.assertIsNone(self.limited(agent.metrics(), "postgres_heartbeat"))

    def test_a_question_that_takes_too_long_is_given_up_alone(self):
        self.primary.sql(
            "CREATE OR REPLACE VIEW lab_slow AS SELECT clock_timestamp() AS ts FROM pg_sleep(60);"
            "GRANT SELECT ON lab_slow TO PUBLIC"
        )
        agent = self.watching(pg_target(self.primary, heartbeat={"table": "lab_slow"}))
        with Watch(agent) as watch:
            self.check_stalled(agent)
            self.wait_value(agent, "pg_stat_activity_connections", lambda n: (n or 0) >= 1)
        self.assertIsNone(watch.error)
        for _, samples in watch.all():
            self.assertEqual(self.value(samples, "pg_up"), 1)


class Copies(WithPrimary):
    def senders(self, samples, application):
        """Names of the series about this WAL sender."""
        label = ("application_name", application)
        target = ("target", self.primary.name)
        return {name for name, labels in samples if label in labels and target in labels}

    def check_not_a_standby(self, agent, application):
        samples = agent.wait_metric(
            lambda m: self.senders(m, application), f"{application} is seen", relaxed(5)
        )
        self.assertEqual(self.value(samples, "pg_stat_replication_standbys"), 1)
        names = self.senders(samples, application)
        for name in names:
            self.assertNotRegex(name, "replication_lag|_wal_lsn_diff|pg_replication_standby_")
        for kind in ("write", "flush", "replay"):
            found = samples.select(
                "pg_stat_replication_lsn_bytes", application_name=application, kind=kind
            )
            if not found:  # then the server's own lag means nothing
                self.assertNotIn(f"pg_stat_replication_{kind}_lag_seconds", names)
        standby = self.senders(samples, self.standby.name)
        self.assertLessEqual(
            {"pg_stat_replication_pg_wal_lsn_diff", "pg_replication_standby_connected"}, standby
        )
        states = {
            labels["state"]
            for labels, _ in samples.select(
                "pg_stat_replication_pg_current_wal_lsn_bytes", application_name=application
            )
        }
        return states, samples

    def test_a_base_backup_is_no_standby(self):
        agent = self.watching(self.primary)
        with self.healthy(agent):
            with self.primary.basebackup_running():
                states, _ = self.check_not_a_standby(agent, "pg_basebackup")
                self.assertEqual(states, {"backup"})
            self.wait_gone(agent, "pg_basebackup")

    def test_two_alike_are_one_series_and_hide_nobody(self):
        agent = self.watching(self.primary)
        with self.healthy(agent):
            with self.primary.basebackup_running(), self.primary.basebackup_running():
                agent.wait_metric(
                    lambda m: self.value(m, "lagwatch_target_series_dropped_total") > 0,
                    "one of two is left out",
                    relaxed(5),
                )
                self.check_not_a_standby(agent, "pg_basebackup")
            self.wait_gone(agent, "pg_basebackup")

    def wait_gone(self, agent, application):
        """It is not missed as a standby would be."""
        agent.wait_metric(
            lambda m: not self.senders(m, application), f"{application} is gone", relaxed(5)
        )

    def test_pg_receivewal_is_no_standby(self):
        agent = self.watching(self.primary)
        with self.healthy(agent):
            with self.primary.receivewal():
                states, _ = self.check_not_a_standby(agent, "pg_receivewal")
                self.assertEqual(states, {"streaming"})
            self.wait_gone(agent, "pg_receivewal")

    def test_pg_receivewal_alone_protects_nobody(self):
        agent = self.watching(self.primary)
        name = "pg_primary_protected"
        self.wait_value(agent, name, lambda value: value == 1, by="standby")
        with self.healthy(agent), self.primary.receivewal():
            self.standby.stop()
            self.wait_value(agent, name, lambda value: value == 0, by="standby")
            self.wait_value(agent, "pg_stat_replication_standbys", lambda n: n == 0)
