# SPDX-License-Identifier: Apache-2.0
"""A real Apache with Passenger: who may ask its core, and what can be done to it."""

import os
import threading
import unittest

from ..fetch import fetch
from ..haproxy import process_state
from ..passenger import HANGS, App, Limits, PassengerApache
from ..passenger_config import MOST_THREADS, threads_per_process
from ..pg_process import children_of
from ..process import Lab, wait_until
from ..web_record import hold, pool_value, queued, send, silence
from .test_postgres import in_lab, or_skip


def apache(test, name="web1", lab=None, **more):
    return or_skip(lambda: PassengerApache(lab or in_lab(test), name, **more)).start()


def status_of(server, path="/", app=None):
    return fetch(server.url(app) + path, timeout=30).status


def is_silent(server, instance):
    """A core that has begun to drain resets a connection or two before it answers no more."""
    try:
        server.ask("/pool.xml", instance=instance, timeout=0.5)
    except TimeoutError:
        return True
    except OSError:
        pass
    return False


class Texts(unittest.TestCase):
    def test_workers_are_a_multiple_of_threads(self):
        for workers in (1, 7, 10, 60, 150, 151):
            threads = threads_per_process(workers)
            self.assertEqual(workers % threads, 0)
            self.assertLessEqual(threads, MOST_THREADS)
        self.assertEqual(threads_per_process(150), 25)


class Answers(unittest.TestCase):
    def test_two_applications(self):
        server = apache(self, apps={"shop": App({"ES_URL": "http://127.0.0.1:9"}), "blog": App()})
        for app in ("shop", "blog"):
            self.assertEqual(status_of(server, "/", app), 200)
        self.assertEqual(status_of(server, "/healthcheck"), 200)
        self.assertEqual(status_of(server, "/search?q=a"), 500)  # nobody listens there
        self.assertEqual(status_of(server, "/nothing"), 404)
        text = server.ask("/pool.xml").text
        self.assertIn("<group_count>2</group_count>", text)
        self.assertEqual(server.properties()["integration_mode"], "apache")
        self.assertEqual(server.status()["ServerMPM"], "event")
        owner = os.stat(f"/proc/{server.core_pid()}").st_uid
        self.assertEqual(owner, os.geteuid())
        if os.geteuid() == 0:
            self.assertIn("<user>www-data</user>", text)

    def test_who_may_ask(self):
        if os.geteuid() != 0:
            self.skipTest("passenger: asking as other users needs root")
        server = apache(self, account=True)
        self.assertEqual(server.ask("/pool.xml", user="www-data").headers["Pool-Empty"], "true")
        status_of(server)

        def statuses(**who):
            return [server.ask(path, **who).status for path in ("/pool.xml", "/server.json")]

        self.assertEqual(statuses(), [200, 200])
        self.assertEqual(statuses(user="nobody"), [401, 401])
        self.assertEqual(statuses(user="www-data"), [200, 401])
        self.assertEqual(statuses(user="nobody", account=server.account), [200, 200])
        self.assertEqual(statuses(user="nobody", account=("mon", "x" * 24)), [401, 401])
        server.reload()
        self.assertEqual(statuses(user="nobody", account=server.account), [200, 200])

    def test_registry_left_unset(self):
        server = apache(self, registry=None)
        self.assertEqual(server.instance_dir().parent, server.temporary)
        self.assertNotIn("RegistryDir", server.config.read_text(encoding="utf-8"))


class Processes(unittest.TestCase):
    def test_reload_and_what_drains(self):
        server = apache(self)
        statuses = []
        visitor = threading.Thread(
            target=lambda: statuses.append(status_of(server, "/slow?seconds=3"))
        )
        visitor.start()
        wait_until(lambda: pool_value(server, "sessions") == 1, what="it runs")
        old = server.instance_dir()
        self.assertNotEqual(server.reload(), old)
        wait_until(lambda: is_silent(server, old), what="the old core does not answer")
        self.assertNotIn("<group ", server.ask("/pool.xml").text)
        visitor.join()
        self.assertEqual(statuses, [200])
        wait_until(lambda: not old.exists(), 15, "the old instance has ended")

    def test_hung_and_killed_core(self):
        server = apache(self)
        self.assertEqual(status_of(server), 200)
        core = server.sigstop_core()
        with self.assertRaises(TimeoutError):
            server.ask("/pool.xml", timeout=0.3)
        self.assertEqual(server.ask("/ping.json", socket="watchdog_api").status, 200)
        server.sigcont_core()
        self.assertEqual(server.ask("/pool.xml").status, 200)
        directory = server.instance_dir()
        self.assertNotEqual(server.kill9_core(), core)
        self.assertEqual(server.instance_dir(), directory)
        self.assertEqual(pool_value(server, "process_count"), 0)
        self.assertEqual(status_of(server), 200)

    def test_stale_instance(self):
        server = apache(self)
        server.kill9_watchdog()
        with self.assertRaises(ConnectionRefusedError):
            server.ask("/pool.xml")
        stale = server.instance_dir()
        server.stop()
        self.assertTrue(stale.exists())
        self.assertEqual(status_of(server.start()), 200)
        self.assertEqual(len(server.instance_dirs()), 2)

    def test_nothing_is_left(self):
        with Lab() as lab:
            server = apache(self, lab=lab)
            status_of(server)
            before = server.members()
            self.assertGreaterEqual(len(before), 3)
            server.kill9_core()  # its application's processes are orphans now
        self.assertEqual(server.members(), {})
        with Lab() as lab:
            server = apache(self, lab=lab)
            children = children_of(server.child.pid)
            server.kill9()
            self.assertEqual(server.members(), {})
            for pid in children:
                self.assertIn(process_state(pid), ("", "Z"))


class Overload(unittest.TestCase):
    def test_queue_full(self):
        with silence() as es_url:
            app = App({"ES_URL": es_url})
            server = apache(self, apps={"shop": app}, limits=Limits(pool=1, queue=5))
            hold(server.lab, server, 1, ("/search?q=a",))
            send(server.lab, server, 8, ("/search?q=a",))
            wait_until(lambda: queued(server) == 5, what="the queue is full")
            refused = fetch(server.url() + "/healthcheck")
            self.assertEqual(refused.status, 503)
            self.assertIn("queue full", refused.text)
            self.assertIn("Request queue full", server.log_text())

    def test_saturated_apache_says_nothing(self):
        with silence() as es_url:
            app = App({"ES_URL": es_url})
            server = apache(self, apps={"shop": app}, limits=Limits(pool=1, workers=6))
            hold(server.lab, server, 5, ("/search?q=a",))
            self.assertEqual(server.status()["IdleWorkers"], "0")
            send(server.lab, server, 1, ("/search?q=a",))
            wait_until(lambda: queued(server) == 5, what="the last worker is taken")
            with self.assertRaises(TimeoutError):
                server.status(timeout=0.5)

    def test_application_that_does_not_spawn(self):
        server = apache(self)
        self.assertEqual(status_of(server), 200)
        server.break_app()
        self.assertEqual(status_of(server), 500)
        server.mend_app()
        self.assertEqual(status_of(server), 200)
        server.break_app(program=HANGS)
        send(server.lab, server, 2, ("/",))
        wait_until(lambda: queued(server) == 2, what="they wait for a process")
        self.assertIn("<spawning/>", server.ask("/pool.xml").text)
