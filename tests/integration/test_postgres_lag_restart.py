# SPDX-License-Identifier: Apache-2.0
"""Replication lag over restarts of the agent, with the history it kept and without."""

import shutil
import time

from integration.pg_support import (
    BEHIND,
    INTERVAL,
    SLACK,
    TIMEOUT,
    WithBehind,
    check_lag,
    is_lower_bound,
    is_up,
    lag,
    lag_source,
    wait_unknown,
)
from integration.support import relaxed

SEEN = 2 * INTERVAL + TIMEOUT
BEGINS = "history_begins"  # behind, but since when nobody has seen yet: of a first answer


class AgentRestart(WithBehind):
    def check_restarted(self, agent, truth, unknown_ok=()):
        """What the restarted agent says from its first answer on."""
        agent.start(ready=False)
        agent.wait_ready(relaxed(10))
        watch = self.watched_for(agent, 2.0)
        return watch, check_lag(self, watch, truth, self.standby, unknown_ok)

    def check_new_history(self, agent, truth):
        """It says at first that it does not know, then what it has seen itself; never 0."""
        started = time.monotonic()
        watch, told = self.check_restarted(agent, truth, (BEGINS,))
        self.assertLess(told[0][0] - watch.bodies[0][0], relaxed(SEEN), "it is known soon")
        for scraped, one in watch.all():
            if lag(one, self.standby) is not None:
                self.assertTrue(is_lower_bound(one, self.standby))
                self.assertGreater(lag(one, self.standby), 0)
                self.assertLess(lag(one, self.standby), scraped - started + SLACK)
        self.assertGreater(told[-1][1], told[0][1], "it grows")

    def check_never_small(self, watch, least):
        for _, one in watch.all():
            if is_up(one, self.standby):
                self.assertGreater(lag(one, self.standby), least)
            self.assertFalse(is_lower_bound(one, self.standby))

    def test_lag_goes_on_from_the_kept_history(self):
        agent = self.watching()
        with self.truth() as truth:
            self.fall_behind(agent)
            self.stop_cleanly(agent)
            self.assertTrue((agent.storage / "lsn_history").exists())
            watch, _ = self.check_restarted(agent, truth)
            self.check_never_small(watch, BEHIND)
            self.assertEqual(lag_source(watch.all()[-1][1], self.standby), "lsn_history")
            self.standby.resume_replay()
            self.wait_lag(agent, lambda value: value == 0, "it caught up")

    def test_lag_goes_on_when_the_primary_wrote_meanwhile(self):
        agent = self.watching()
        with self.truth() as truth:
            self.fall_behind(agent)
            self.stop_cleanly(agent)
            self.primary.write(64)
            watch, _ = self.check_restarted(agent, truth)
            self.check_never_small(watch, BEHIND)

    def test_lag_goes_on_when_the_primary_died_meanwhile(self):
        agent = self.watching()
        with self.truth() as truth:
            self.fall_behind(agent)
            self.stop_cleanly(agent)
            self.primary.kill9()
            agent.start(ready=False)
            self.wait_lag(agent, lambda value: value > BEHIND, "lag goes on")
            watch = self.watched_for(agent, 1.0)
            check_lag(self, watch, truth, self.standby)
            self.standby.resume_replay()
            wait_unknown(agent, self.standby, "receiver_down", relaxed(SEEN + 2))

    def test_without_its_history_lag_is_a_lower_bound(self):
        agent = self.watching()
        with self.truth() as truth:
            self.fall_behind(agent)
            self.stop_cleanly(agent)
            for one in agent.storage.iterdir():
                one.unlink() if one.is_file() else shutil.rmtree(one)
            self.check_new_history(agent, truth)
            self.standby.resume_replay()
            caught_up = self.wait_lag(agent, lambda value: value == 0, "it caught up")
            self.assertFalse(is_lower_bound(caught_up, self.standby))

    def test_killed_it_has_what_it_kept(self):
        """The history is written once a minute and at the end: after SIGKILL there may be none,
        and lag is a lower bound, not 0."""
        agent = self.watching()
        with self.truth() as truth:
            self.fall_behind(agent)
            agent.kill9()
            self.check_new_history(agent, truth)

    def test_a_damaged_history_is_said_and_begun_anew(self):
        agent = self.watching()
        with self.truth() as truth:
            self.fall_behind(agent)
            self.stop_cleanly(agent)
            (agent.storage / "lsn_history").write_bytes(b"\x00garbage\n")
            self.check_new_history(agent, truth)
            self.assertIn("history", agent.log())

    def test_a_primary_taken_out_of_the_configuration_is_not_missed(self):
        """The kept history knows it; the standby is well, and nobody is to look for it."""
        agent = self.watching()
        self.wait_lag(agent, lambda value: value == 0, "no lag")
        self.stop_cleanly(agent)
        alone = self.watching(self.standby, name=agent.name)
        with self.truth() as truth:
            watch = self.watched_for(alone, 6.0)
            check_lag(self, watch, truth, self.standby)
