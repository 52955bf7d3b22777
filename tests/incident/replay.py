# SPDX-License-Identifier: Apache-2.0
"""One replay: a shop, what watches it, what goes wrong, and who was paged when.

The shop, Elasticsearch, HAProxy, lagwatch, Prometheus, Alertmanager are real and new for every
replay. Times in seconds."""

import subprocess
import time
from dataclasses import dataclass, field

from lab.agent import SOURCE_DIRECTORY, Agent, configuration, find_binary, target
from lab.alertmanager import Alertmanager, Receiver
from lab.elasticsearch import Elasticsearch
from lab.process import Unavailable, wait_until
from lab.prometheus import Prometheus
from lab.shop import ShopSite

from .visitors import Visitors

RULES = SOURCE_DIRECTORY / "rules"
VARIANTS = ("coupled", "decoupled", "remediated")
REPLAYS = ("hang", "flood", "deploy")
CALM = 20.0  # s of visitors before anything goes wrong
PAGE_WITHIN = 120.0  # s after the fault, at most
MORE_PAGES = 75.0  # s after the first page: a further one of its group would come
AFTER_DEPLOY = 60.0
FLOOD = 6.0  # searches for one letter a second
WATCHED = ("passenger", "elasticsearch", "apache", "probes")  # besides HAProxy
ROUTES = [{"name": "search", "match": "^/search", "query_param": "q", "short_below": 3}]


@dataclass
class Outcome:
    """What a replay showed. Times from the fault's beginning."""

    variant: str
    replay: str
    failing: float | None = None  # users fail; None: they do not
    pages: list = field(default_factory=list)  # [(time, Page)]
    tickets: int = 0
    failed_paths: dict = field(default_factory=dict)  # {path: failed visits}
    rule_errors: dict = field(default_factory=dict)

    @property
    def first(self):
        return self.pages[0] if self.pages else None

    @property
    def delay(self):
        """From the first failure of users to the page; None without both."""
        if not self.pages or self.failing is None:
            return None
        return self.pages[0][0] - self.failing


def known_metrics():
    """Names of all metrics that the lagwatch to test has."""
    argv = [find_binary(), "metrics"]
    lines = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()
    return {line.split(" ", 1)[0] for line in lines if line[:1].strip()}


def watched(shop, search):
    """The configuration of lagwatch's kinds that this site has."""
    known = known_metrics()
    for kind in ("passenger", "elasticsearch"):
        if f"{kind}_up" not in known:
            raise Unavailable(f"lagwatch: it does not watch {kind}")
    kinds = {
        "passenger": [web.entry() for web in shop.webs],
        "elasticsearch": [{"name": search.name, "url": search.url, "probe": {"index": "products"}}],
        "routes": ROUTES,
    }
    if "apache_up" in known:
        kinds["apache"] = [
            {"name": f"{one.name}-apache", "url": one.status_url} for one in shop.webs
        ]
    if "probe_success" in known:
        kinds["probes"] = [{"name": "page", "url": f"{shop.url}/", "expect_status": 200}]
    return kinds


class Replay:
    """Everything of one replay in `lab`, well and watched when made."""

    def __init__(self, lab, variant, interval="5s"):
        self.search = Elasticsearch(lab).start()
        self.search.fill()
        self.shop = ShopSite(lab, variant, self.search, servers=3)
        self.pager = Receiver(lab)
        kinds = watched(self.shop, self.search)
        haproxy = [target("lb", self.shop.lb.user_socket)]
        self.agent = Agent(
            lab, configuration(haproxy, site="shop", interval=interval, host=False, **kinds)
        ).start()
        self.alertmanager = Alertmanager(lab, RULES / "alertmanager.yml", self.pager)
        self.prometheus = Prometheus(
            lab,
            {"lagwatch": f"{self.agent.address}:{self.agent.port}"},
            sorted(RULES.glob("*.rules.yml")),
            self.alertmanager,
            scrape_interval=interval,
        )
        self.visitors = Visitors(self.shop.url)
        lab.on_close(self.visitors.stop)
        lab.on_close(self.search.sigcont)
        entries = [one for kind in WATCHED for one in kinds.get(kind, ())]
        self.targets = {"lb", *(one["name"] for one in entries)}

    def wait_calm(self):
        """Every target is seen, applications run, visitors are well for a while."""
        self.prometheus.wait_query(
            "lagwatch_target_up == 1",
            lambda found: self.targets <= {labels["target"] for labels, _ in found},
            90,
        )
        self.prometheus.wait_query("passenger_app_group_queue_limit", len, 60)
        self.prometheus.wait_query('elasticsearch_probe_success{probe="search"} == 1', len, 60)
        began = time.monotonic()
        wait_until(
            lambda: time.monotonic() - max(began, self._last_failure()) > CALM,
            5 * CALM,
            f"visitors are well for {CALM:g} s",
            interval=0.5,
        )

    def _last_failure(self):
        failures = self.visitors.failures()
        return failures[-1].end if failures else 0.0

    def run(self, replay):
        """Lets it go wrong; Outcome."""
        self.wait_calm()
        began = time.monotonic()
        getattr(self, f"_{replay}")(began)
        failing = self.visitors.failing_since(began)
        outcome = Outcome(self.shop.variant, replay, failing and failing - began)
        outcome.pages = [(one.at - began, one) for one in self.pager.firing()]
        outcome.tickets = len(self.pager.firing("/ticket"))
        outcome.rule_errors = self.prometheus.rule_errors()
        for one in self.visitors.failures(began):
            path = one.path.partition("?")[0]
            outcome.failed_paths[path] = outcome.failed_paths.get(path, 0) + 1
        return outcome

    def _hang(self, began):
        self.search.sigstop()
        self._watch_pages(began)

    def _flood(self, began):
        flood = self.shop.flood(rate=FLOOD, seconds=PAGE_WITHIN + MORE_PAGES)
        self._watch_pages(began)
        flood.stop()

    def _deploy(self, began):
        self.shop.deploy()
        until = time.monotonic() + AFTER_DEPLOY
        wait_until(
            lambda: time.monotonic() >= until, AFTER_DEPLOY + 5, "what follows a deploy", 0.5
        )

    def _watch_pages(self, began):
        """Until PAGE_WITHIN is over, or MORE_PAGES since the first page."""

        def over():
            pages = self.pager.firing(since=began)
            last = pages[0].at + MORE_PAGES if pages else began + PAGE_WITHIN
            return time.monotonic() >= last

        wait_until(over, PAGE_WITHIN + MORE_PAGES + 5, "pages come, or time is over", 0.5)
