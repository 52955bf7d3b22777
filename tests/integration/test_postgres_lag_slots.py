# SPDX-License-Identifier: Apache-2.0
"""The lag of consumers of logical slots: the age of the oldest WAL that they have not confirmed,
also of one that never comes."""

import time

from integration.pg_support import (
    INTERVAL,
    SLACK,
    TIMEOUT,
    WithCluster,
    asked_at,
    server_value,
)
from integration.support import Watch, relaxed

SEEN = 2 * INTERVAL + TIMEOUT
LAG = "pg_replication_slots_confirmed_flush_lag_seconds"


class LogicalSlots(WithCluster):
    shape = {"settings": {"wal_level": "logical"}}

    def setUp(self):
        self.slots = []

    def tearDown(self):
        for name in self.slots:
            self.primary.drop_slot(name)
        super().tearDown()

    def slot(self, name, plugin):
        self.primary.sql(f"SELECT pg_create_logical_replication_slot('{name}', '{plugin}')")
        self.slots.append(name)

    def consume(self, name):
        self.primary.sql(f"SELECT count(*) FROM pg_logical_slot_get_changes('{name}', NULL, NULL)")

    def confirmed(self, name):
        text = f"WHERE slot_name = '{name}'"
        return int(
            self.primary.value(
                f"SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots {text}"
            )
        )

    def slot_lag(self, samples, name):
        return server_value(samples, LAG, self.primary, slot_name=name, slot_type="logical")

    def test_without_a_consumer_lag_grows_after_a_write(self):
        """pgoutput is what subscriptions use; nobody subscribes."""
        agent = self.watching()
        self.slot("nobody", "pgoutput")
        confirmed = self.confirmed("nobody")
        with self.truth() as truth, Watch(agent) as watch:
            time.sleep(2 * INTERVAL)
            self.primary.write(64)
            began = time.monotonic()
            samples = agent.wait_metric(
                lambda m: (self.slot_lag(m, "nobody") or 0) > 3.0, "it grows", relaxed(SEEN + 5)
            )
            lasted = time.monotonic() - began
        self.assertLess(lasted, relaxed(3.0 + SEEN + SLACK))
        told = 0
        for scraped, one in watch.all():
            value = self.slot_lag(one, "nobody")
            at = asked_at(one, scraped, self.primary)
            true = truth.primary.age_beyond(confirmed, at)
            if value is not None:
                self.assertGreaterEqual(value, true - INTERVAL - relaxed(SLACK))
                self.assertLessEqual(value, true + relaxed(SLACK))
                told += 1
        self.assertGreater(told, 10)
        unconfirmed = "pg_replication_slots_confirmed_flush_diff"
        self.assertGreater(
            server_value(samples, unconfirmed, self.primary, slot_name="nobody"), 60_000
        )

    def test_a_consumer_that_confirms_has_no_lag_beside_one_that_does_not(self):
        agent = self.watching()
        for name in ("reads", "sleeps"):
            self.slot(name, "test_decoding")
        self.primary.write(64)
        agent.wait_metric(
            lambda m: (self.slot_lag(m, "sleeps") or 0) > 1.0
            and (self.slot_lag(m, "reads") or 0) > 1.0,
            "both lag",
            relaxed(SEEN + 3),
        )
        self.consume("reads")
        samples = agent.wait_metric(
            lambda m: self.slot_lag(m, "reads") == 0, "one has read all", relaxed(SEEN + 1)
        )
        self.assertGreater(self.slot_lag(samples, "sleeps"), 1.0)
        self.consume("sleeps")
        agent.wait_metric(
            lambda m: self.slot_lag(m, "sleeps") == 0, "so has the other", relaxed(SEEN + 1)
        )

    def test_physical_slots_have_none(self):
        agent = self.watching()
        found = agent.metrics().select("pg_replication_slots_slot_is_active")
        self.assertIn("standby1", {labels["slot_name"] for labels, _ in found})
        self.assertFalse(agent.metrics().select(LAG, slot_name="standby1"))
