# SPDX-License-Identifier: Apache-2.0
"""What the integration tests of PostgreSQL share: an agent on a cluster of real servers, and the
truth about its lag, from the servers themselves.

    class Lag(WithCluster):                     # self.cluster, self.primary, self.standby
        version = "15"
        shape = {"cascade": True}                # further arguments of Cluster
        def test_something(self):
            agent = self.watching()             # all servers of the cluster, every INTERVAL, up
            agent = self.watching(self.standby, name="lone", user="other", interval="1s")
            agent = self.watching(pg_target(self.standby, heartbeat={...}), self.primary)
            with self.truth() as truth, Watch(agent) as watch:
                self.standby.pause_replay()
                ...
            check_lag(self, watch, truth, self.standby)     # every scrape was right

    lag(samples, server)                        # pg_replication_lag_seconds, None if there is none
    lag_bytes(samples, server), lag_source(samples, server), unknown(samples, server)
    is_up(samples, server), server_value(samples, "pg_timeline", server, **labels)
    sender_lag(samples, server, of)              # what `server` says of the standby `of`
    wait_unknown(agent, server, reason, bound)   # the lag is not known, and why

Whatever a test stopped, cut off or paused is put right behind it (WithCluster.mend); a test that
promotes needs a class of its own. Roles: MON, made on the primary with what lagwatch needs. Times
in seconds of time.monotonic(), positions in bytes."""

import bisect
import contextlib
import re
import threading
import time
import unittest

from lab.pg_cluster import Cluster
from lab.pg_config import renamed
from lab.process import LabError, Unavailable, wait_until

from integration.support import Watch, WithLab, duration, relaxed

MON = "mon"
INTERVAL = 0.5
TIMEOUT = 0.5
SLACK = 0.25  # what a shared machine adds to an instant
STEP = 0.04  # how often Positions asks
BEHIND = 3.0  # what fall_behind() waits for


def pg_target(server, user=MON, **settings):
    """An entry of `postgres:`, named as the server is."""
    return {"name": server.name, "dsn": server.dsn(user), **settings}


def server_value(samples, name, server, **labels):
    return samples.value(name, target=server.name, **labels)


def lag(samples, server):
    return server_value(samples, "pg_replication_lag_seconds", server)


def lag_bytes(samples, server):
    return server_value(samples, "pg_replication_lag_bytes", server)


def is_up(samples, server):
    return server_value(samples, "pg_up", server) == 1


def is_lower_bound(samples, server):
    return server_value(samples, "pg_replication_lag_is_lower_bound", server) == 1


def _label(samples, name, server, label):
    found = [
        labels[label] for labels, value in samples.select(name, target=server.name) if value == 1
    ]
    if len(found) > 1:
        raise AssertionError(f"{name} of {server.name}: {found}")
    return found[0] if found else None


def lag_source(samples, server):
    return _label(samples, "pg_replication_lag_source", server, "source")


def unknown(samples, server):
    """Why the lag of `server` is not known, or None."""
    return _label(samples, "pg_replication_lag_unknown", server, "reason")


def sender_lag(samples, server, of):
    """pg_stat_replication_lag_seconds of the standby `of`, as its upstream `server` is asked."""
    return server_value(
        samples, "pg_stat_replication_lag_seconds", server, application_name=of.name
    )


def wait_unknown(agent, server, reason, bound):
    """Waits until the lag of `server` is not known for `reason`; the samples."""
    samples = agent.wait_metric(
        lambda m: unknown(m, server) is not None,
        f"the lag of {server.name} is not known",
        bound,
        0.05,
    )
    if unknown(samples, server) != reason or lag(samples, server) is not None:
        raise AssertionError(f"{unknown(samples, server)}, lag {lag(samples, server)}")
    return samples


class Positions:
    """Where a server is, asked every STEP in a thread: each change of a primary's current or a
    standby's replay position. One that is silent or gone is where it was."""

    def __init__(self, server):
        kind = "replay" if server.is_in_recovery else "current"
        function = {"replay": "pg_last_wal_replay_lsn()", "current": "pg_current_wal_lsn()"}[kind]
        self._text = renamed(server.number, f"SELECT {function}")
        self._server = server
        self._end = threading.Event()
        self.instants = []
        self.lsns = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        wait_until(lambda: self.lsns, what=f"{server.name} says where it is")

    def stop(self):
        self._end.set()
        self._thread.join(5)

    def _run(self):
        while not self._end.is_set():
            with contextlib.suppress(OSError, LabError):
                with self._server.session(timeout=1.0, application_name="truth") as session:
                    while not self._end.wait(STEP):
                        self._take(session.sql(self._text)[0][0])
            self._end.wait(STEP)

    def _take(self, text):
        if text is None:
            return
        high, low = text.split("/")
        lsn = (int(high, 16) << 32) + int(low, 16)
        if not self.lsns or lsn > self.lsns[-1]:
            self.lsns.append(lsn)
            self.instants.append(time.monotonic())

    def between(self, begin, end):
        """All positions it was at then, lowest first."""
        first = max(bisect.bisect_right(self.instants, begin) - 1, 0)
        return self.lsns[first : max(bisect.bisect_right(self.instants, end), first + 1)]

    def age_beyond(self, lsn, at):
        """How long, at `at`, there had been WAL behind `lsn`; 0: there was none."""
        first = bisect.bisect_right(self.lsns, lsn)
        return max(0.0, at - self.instants[first]) if first < len(self.lsns) else 0.0


class Truth:
    """What a primary wrote when, and what standbys had replayed when; a context manager."""

    def __init__(self, primary, *standbys):
        self.primary = Positions(primary)
        self.standbys = {one.name: Positions(one) for one in standbys}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in (self.primary, *self.standbys.values()):
            one.stop()

    def age(self, standby, at, slack):
        """(least, most) age of the oldest WAL that it had not replayed at `at`, give or take
        `slack` in when it was asked."""
        replayed = self.standbys[standby.name].between(at - slack, at + slack)
        return (
            self.primary.age_beyond(replayed[-1], at - slack),
            self.primary.age_beyond(replayed[0], at + slack),
        )

    def bytes(self, standby, at, slack, interval):
        """(least, most) bytes of it, where the primary was asked an interval earlier or later."""
        replayed = self.standbys[standby.name].between(at - slack, at + slack)
        written = self.primary.between(at - interval - slack, at + interval + slack)
        return max(0, written[0] - replayed[-1]), max(0, written[-1] - replayed[0])


def check_sender_lag(test, watch, truth, standby, reply_every=1.0, interval=INTERVAL):
    """The same of what the upstream says of `standby`, whose position it knows by replies. Seconds
    are those since the first scrape: [(instant, s)], None where it had no row."""
    slack = relaxed(SLACK)
    told = []
    for scraped, samples in watch.all():
        value = sender_lag(samples, standby.upstream, standby)
        if value is not None:
            at = asked_at(samples, scraped, standby.upstream)
            least, most = truth.age(standby, at, slack)
            late = truth.age(standby, at - reply_every, slack)[1] + reply_every
            text = f"{value:.2f} of {standby.name} by its sender: true {least:.2f}..{most:.2f}"
            test.assertGreaterEqual(value, least - interval - slack, text)
            test.assertLessEqual(value, max(most, late) + slack, text)
        told.append((scraped, value))
    return told


def asked_at(samples, scraped, server):
    """When the agent asked `server` for its position."""
    age = server_value(
        samples, "lagwatch_target_age_seconds", server, collector="postgres_node"
    )
    return None if age is None else scraped - age


def describe(samples, server):
    """What is said of the server's replication, for the message of a failed test."""
    lines = [
        f"{name}{labels} {value:.15g}"
        for name in sorted(samples.names())
        if re.match("pg_(replication|stat_wal_receiver|wal_lsn|up|clock)", name)
        for labels, value in samples.select(name, target=server.name)
    ]
    return "\n".join(["", *lines])


def check_lag(test, watch, truth, server, unknown_ok=(), interval=INTERVAL, size=True):
    """Every scrape of `watch` told the lag of `server` within one interval of the truth, or said
    for one of the reasons `unknown_ok` that it is not known. The lags told: [(instant, s)].
    size: the bytes too."""
    slack = relaxed(SLACK)
    told = []
    test.assertIsNone(watch.error, "a scrape failed")
    for scraped, samples in watch.all():
        value, at = lag(samples, server), asked_at(samples, scraped, server)
        if value is None:
            test.assertIn(unknown(samples, server), unknown_ok, describe(samples, server))
            continue
        least, most = truth.age(server, at, slack)
        source = lag_source(samples, server)
        text = f"{server.name} by {source}, after {scraped - watch.bodies[0][0]:.2f} s"
        test.assertIsNone(unknown(samples, server), text)
        test.assertEqual(server_value(samples, "pg_replication_lag", server), value, text)
        bottom = 0 if is_lower_bound(samples, server) else least - interval - slack
        test.assertGreaterEqual(value, bottom, f"{text}: true {least:.2f}..{most:.2f}")
        test.assertLessEqual(value, most + slack, f"{text}: true {least:.2f}..{most:.2f}")
        if size:
            least, most = truth.bytes(server, at, slack, interval)
            value_bytes = lag_bytes(samples, server)
            text = f"{value_bytes} bytes of {text}: true {least}..{most}"
            test.assertTrue(least <= value_bytes <= most, text)
        told.append((scraped, value))
    test.assertGreater(len(watch.bodies), 0)
    return told


class WithCluster(WithLab):
    """A Cluster for the whole class and an agent where a test asks for one. `version` and `shape`
    say which; left out by name when this machine cannot have it. role: kind of MON."""

    version = "15"
    shape = {}
    role = None  # pg_monitor, before 10 wrappers
    role_more = {}
    agents = 0  # how many there were

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.cluster = Cluster(cls.lab, cls.version, **cls.shape)
        except Unavailable as error:
            raise unittest.SkipTest(str(error)) from None
        cls.primary = cls.cluster.primary
        cls.standby = cls.cluster.standby if cls.cluster.standbys else None
        kind = cls.role or ("pg_monitor" if cls.primary.number >= 1000 else "wrappers")
        cls.primary.role(MON, kind, **cls.role_more)
        cls.catch_up()

    @classmethod
    def catch_up(cls):
        """Waits until all that still follow have replayed what there is."""
        for server in cls.cluster.servers[1:]:
            if server.is_in_recovery:
                server.wait_streaming(30)
                server.wait_caught_up(30)

    def tearDown(self):
        self.mend()

    @classmethod
    def mend(cls):
        """Every server runs, follows and replays."""
        for server in cls.cluster.servers:
            server.sigcont()
            if server.relay:
                server.relay.forward()
            if not server.running:
                server.start()
        for server in cls.cluster.servers[1:]:
            if server.is_in_recovery:
                server.resume_replay()
        cls.catch_up()

    def watching(self, *servers, name=None, user=MON, ready=True, flags=(), **config):
        """An agent on these servers (or entries of pg_target), by default all; with `ready` all
        answer. It ends with the test. Without a name it is one of its own, that remembers
        nothing."""
        WithCluster.agents += 1
        name = name or f"agent{WithCluster.agents}"
        servers = servers or self.cluster.servers
        targets = [one if isinstance(one, dict) else pg_target(one, user) for one in servers]
        config.setdefault("interval", duration(INTERVAL))
        config.setdefault("timeout", duration(relaxed(TIMEOUT)))
        agent = self.agent(name=name, flags=flags, ready=ready, postgres=targets, **config)
        if ready:
            self.wait_answers(agent, [one["name"] for one in targets])
        return agent

    @staticmethod
    def wait_answers(agent, names):
        try:
            agent.wait_metric(
                lambda m: all(m.value("pg_up", target=name) == 1 for name in names),
                f"{names} answer",
                relaxed(10),
            )
        except LabError as error:
            raise LabError(f"{error}\n{agent.log()[-1500:]}") from None

    def truth(self, *standbys):
        """A Truth of the primary and these standbys, by default all."""
        return Truth(self.primary, *(standbys or self.cluster.servers[1:]))

    def watched_for(self, agent, seconds):
        """A Watch that has looked for so long."""
        with Watch(agent) as watch:
            time.sleep(seconds)
        return watch


class WithBehind(WithCluster):
    """A standby that can be made to lag."""

    def wait_lag(self, agent, predicate, what, bound=10.0):
        return agent.wait_metric(
            lambda m: lag(m, self.standby) is not None and predicate(lag(m, self.standby)),
            what,
            relaxed(bound),
            0.05,
        )

    def fall_behind(self, agent):
        """Replay is paused and a write has been missing for BEHIND seconds; the samples."""
        self.wait_lag(agent, lambda value: value == 0, "no lag")
        self.standby.pause_replay()
        self.primary.write(64)
        return self.wait_lag(agent, lambda value: value >= BEHIND, "it lags", BEHIND + 3.0)

    def stop_cleanly(self, agent):
        self.assertEqual(agent.stop().code, 0)
