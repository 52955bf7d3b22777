# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/passenger and tests/data/apache: what a real Apache and Passenger answer.

    cd tests && python3 -m lab.web_record [CASE...]

Each case has servers of its own and holds until its files are written; secrets and the lab's
directory are replaced. The cases of Passenger 4 and those that its README calls kept are not
written here."""

import re
import socket
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from .fetch import fetch
from .passenger import HANGS, App, Limits, PassengerApache
from .process import Lab, LabError, Unavailable, wait_until
from .shop import SEARCH_GROUP
from .traffic import Traffic

DATA = Path(__file__).resolve().parent.parent / "data"
ROOT = "/srv/www"  # instead of the lab's directory
SECRETS = re.compile(r"<api_key>[^<]*</api_key>")
INCIDENT = ("/search?q=a", "/search?q=a", "/healthcheck", "/search?q=e", "/search?q=red+shoes", "/")


def clean(lab, text):
    return SECRETS.sub("<api_key>replaced</api_key>", text.replace(str(lab.dir), ROOT))


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


class Recorder:
    """Writes the cases of one lab."""

    def __init__(self, lab):
        self.lab = lab

    def apache(self, server, case):
        """status.txt as it came."""
        page = fetch(server.status_url, server.host).text
        version = re.search(r"Apache/([0-9.]+)", page)[1]
        write(DATA / "apache" / version / case / "status.txt", page)
        print(f"apache/{version}/{case}", flush=True)

    def passenger(self, server, case, old=None):
        """The newest instance's; `old`: of one that drains what it can still say, its
        properties."""
        properties = server.properties()
        version = properties["passenger_version"]
        directory = DATA / "passenger" / version / case
        write(directory / "case.tsv", f"wall\t{time.time():.3f}\n")
        for name in ("pool.xml", "pool.json", "server.json"):
            write(directory / name, clean(self.lab, server.ask(f"/{name}").text))
        said = (server.instance_dir() / "properties.json").read_text(encoding="utf-8")
        write(directory / "properties.json", clean(self.lab, said))
        if old:
            said = (old / "properties.json").read_text(encoding="utf-8")
            write(directory / "old_properties.json", clean(self.lab, said))
        print(f"passenger/{version}/{case}", flush=True)

    def both(self, server, case):
        self.passenger(server, case)
        self.apache(server, case)


@contextmanager
def silence():
    """Where Elasticsearch would be: the URL of a socket whose owner does not answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def pool_value(server, element):
    """The numbers of an element of pool.xml, in order, added up."""
    text = server.ask("/pool.xml").text
    return sum(map(int, re.findall(rf"<{element}>(\d+)</{element}>", text)))


def queued(server):
    """Over all groups."""
    groups = server.ask("/pool.xml").text.split("<group default")[1:]
    found = [re.search(r"<get_wait_list_size>(\d+)<", group) for group in groups]
    return sum(int(one[1]) for one in found)


def waiting_for_a_group(server):
    """The top-level queue."""
    top = server.ask("/pool.xml").text.partition("<supergroups>")[0]
    return int(re.search(r"<get_wait_list_size>(\d+)<", top)[1])


def wait_sampled(server):
    """Waits until every process has its memory measured (every 5 s)."""

    def sampled():
        text = server.ask("/pool.xml").text
        return 0 < text.count("<process>") == text.count("<has_metrics>")

    wait_until(sampled, 20, "processes are measured")


def two_apps(lab, es_url="http://127.0.0.1:9", **limits):
    apps = {"shop": App({"ES_URL": es_url, "HEALTHCHECK": "coupled"}), "blog": App()}
    server = PassengerApache(lab, "web1", apps, limits=Limits(**{"pool": 3, **limits})).start()
    for app in apps:
        fetch(server.url(app) + "/", timeout=30)
    wait_sampled(server)
    return server


def send(lab, server, count, paths=INCIDENT, app=None):
    """So many requests, all at once."""
    return Traffic(lab, server.address(app), 500, 60, count=count, timeout=60, paths=paths)


def hold(lab, server, count, paths=INCIDENT):
    """Sends so many requests that do not end; returns when they run or wait."""
    send(lab, server, count, paths)
    wait_until(
        lambda: (
            queued(server) + pool_value(server, "sessions") == count
            and pool_value(server, "processes_being_spawned") == 0
        ),
        20,
        "all run or wait",
    )


def case_empty(lab, record):
    """Started, nobody came."""
    record.both(PassengerApache(lab, "web1", limits=Limits(pool=3)).start(), "empty")


def case_idle(lab, record):
    record.both(two_apps(lab), "idle")


def case_two_apps(lab, record):
    """The shop hangs, the blog does not notice."""
    with silence() as es_url:
        server = two_apps(lab, es_url, pool=4)
        hold(lab, server, 12)
        send(lab, server, 5, ("/",), "blog").wait()
        wait_until(lambda: pool_value(server, "sessions") == 3, 20, "the blog's are done")
        record.both(server, "two_apps")


def case_over(lab, record):
    """30 requests for 3 processes: those of a search that does not end, and of health checks."""
    with silence() as es_url:
        server = two_apps(lab, es_url)
        hold(lab, server, 30)
        wait_sampled(server)
        record.both(server, "over")


def case_toplevel(lab, record):
    """The pool is full of the shop; the blog, which nobody had asked yet, has no group to wait
    in."""
    with silence() as es_url:
        apps = {"shop": App({"ES_URL": es_url}), "blog": App()}
        server = PassengerApache(lab, "web1", apps, limits=Limits(pool=1)).start()
        hold(lab, server, 3, ("/search?q=a",))
        send(lab, server, 2, ("/",), "blog")
        wait_until(lambda: waiting_for_a_group(server) == 2, 20, "they wait")
        wait_sampled(server)
        record.both(server, "toplevel")


def case_named_group(lab, record):
    """One application, its searches in a group of their own."""
    apps = {"shop": App({"ES_URL": "http://127.0.0.1:9"}, SEARCH_GROUP)}
    server = PassengerApache(lab, "web1", apps, limits=Limits(pool=3)).start()
    for path in ("/", "/search?q=a"):
        fetch(server.url() + path, timeout=30)
    wait_sampled(server)
    record.both(server, "named_group")


def case_queue_full(lab, record):
    with silence() as es_url:
        server = two_apps(lab, es_url, queue=20)
        hold(lab, server, 2)
        send(lab, server, 40)
        wait_until(lambda: "Request queue full" in server.log_text(), 20, "a refusal")
        wait_until(lambda: queued(server) == 20, 20, "the queue is full")
        record.both(server, "queue_full")


def case_spawn_failed(lab, record):
    server = two_apps(lab)
    server.break_app()
    for _ in range(2):
        if fetch(server.url() + "/", timeout=30).status != 500:
            raise LabError("the application still answers")
    wait_until(lambda: pool_value(server, "processes_being_spawned") == 0, 20, "it has failed")
    record.both(server, "spawn_failed")


def case_spawning(lab, record):
    """A process that takes its time to start, requests wait for it."""
    server = two_apps(lab)
    server.break_app(program=HANGS)
    send(lab, server, 5, ("/",))
    wait_until(lambda: queued(server) == 5, 20, "they wait")
    record.both(server, "spawning")


def case_restarting(lab, record):
    """Old processes finish what they do beside new ones."""
    server = two_apps(lab)
    hold(lab, server, 1, ("/slow?seconds=30",))
    server.restart_app()
    fetch(server.url() + "/", timeout=30)
    wait_until(lambda: "DETACHED" in server.ask("/pool.xml").text, 20, "it is detached")
    record.both(server, "restarting")


def case_draining(lab, record):
    """After a graceful reload: the old core has a request yet and does not answer, the new one's
    pool is empty."""
    server = two_apps(lab)
    hold(lab, server, 3, ("/slow?seconds=25",))
    old = server.instance_dir()
    server.reload()

    def silent():
        try:
            return not server.ask("/pool.xml", instance=old, timeout=1)
        except ConnectionResetError:
            return False
        except TimeoutError:
            return True

    wait_until(silent, 20, "the old core does not answer")
    record.passenger(server, "draining", old)
    record.apache(server, "draining")


def case_saturated(lab, record):
    """Apache has one worker left, the one that answers this; Passenger's queue is far from full."""
    with silence() as es_url:
        server = two_apps(lab, es_url, workers=10)
        hold(lab, server, 9)
        record.both(server, "saturated")


def case_mpms(lab, record):
    """What mod_status says of the other two, and without ExtendedStatus."""
    for mpm in ("worker", "prefork"):
        server = PassengerApache(lab, mpm, limits=Limits(mpm=mpm)).start()
        fetch(server.url() + "/", timeout=30)
        record.apache(server, f"idle_{mpm}")
        server.stop()
    server = PassengerApache(lab, "plain", extra=("ExtendedStatus Off",)).start()
    record.apache(server, "not_extended")


CASES = {name[5:]: value for name, value in list(globals().items()) if name.startswith("case_")}


def main(arguments):
    failed = False
    for name in arguments or CASES:
        try:
            with Lab() as lab:
                CASES[name](lab, Recorder(lab))
        except (LabError, Unavailable, OSError) as error:
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
