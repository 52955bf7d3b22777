# SPDX-License-Identifier: Apache-2.0
"""What of the quickstart's site makes visitors wait: Apache with Passenger and an application, and
the Elasticsearch that its searches ask. Either may be missing; then it is said, and not watched.

Times in seconds."""

import threading

from .elasticsearch import Elasticsearch
from .fetch import fetch
from .passenger import App, Limits, PassengerApache
from .process import LabError, Unavailable

SLOW = 3  # requests that are held: two run, one waits
HELD = 30.0
ROUTES = [{"name": "search", "match": "^/search", "query_param": "q", "short_below": 3}]


class Shop:
    """web: PassengerApache or None; search: Elasticsearch or None. Runs when the constructor
    returns. say: takes lines for people."""

    def __init__(self, lab, say):
        self.lab = lab
        self.search = self._had(say, "Elasticsearch", self._start_search)
        self.web = self._had(say, "Passenger", self._start_web)

    @staticmethod
    def _had(say, name, start):
        try:
            return start()
        except Unavailable as reason:
            say(f"no {name}: {reason}")
            return None

    def _start_search(self):
        server = Elasticsearch(self.lab).start()
        server.fill(2000)
        return server

    def _start_web(self):
        environment = {"HEALTHCHECK": "decoupled"}
        if self.search:
            environment["ES_URL"] = self.search.url
        limits = Limits(pool=2, queue=20, workers=30)
        web = PassengerApache(
            self.lab, "web9", {"shop": App(environment)}, limits=limits, account=True
        )
        web.start()
        fetch(web.url() + "/", timeout=30.0)  # the application starts with its first request
        return web

    def targets(self):
        """The configuration's kinds."""
        out = {"routes": ROUTES, "passenger": [], "apache": [], "probes": [], "elasticsearch": []}
        if self.web:
            out["passenger"] = [self.web.entry()]
            out["apache"] = [{"name": "web9-apache", "url": self.web.status_url}]
            out["probes"] = [{"name": "healthcheck", "url": f"{self.web.url()}/healthcheck"}]
        if self.search:
            out["elasticsearch"] = [
                {"name": "search9", "url": self.search.url, "probe": {"index": "products"}}
            ]
        return out

    def checks(self, agent):
        """[(name, function)] of what is there."""
        web = [
            ("Passenger", lambda: self.passenger(agent)),
            ("Apache", lambda: self.apache(agent)),
            ("probe of a health check", lambda: self.probe(agent)),
        ]
        search = [("Elasticsearch", lambda: self.elasticsearch(agent))]
        return [*(web if self.web else []), *(search if self.search else [])]

    def hold(self):
        """Slow requests, which end by themselves."""
        url = f"{self.web.url()}/slow?seconds={HELD:g}"

        def visit():
            try:
                fetch(url, timeout=2 * HELD)
            except OSError:
                pass  # the site is ended while it waits

        for _ in range(SLOW):
            threading.Thread(target=visit, daemon=True).start()

    def passenger(self, agent):
        self.hold()

        def seen(samples):
            own = {"target": "web9", "route": "/slow"}
            running = samples.value("passenger_requests_in_flight", state="running", **own)
            queued = samples.value("passenger_requests_in_flight", state="queued", **own)
            return (running, queued) == (2, SLOW - 2)

        agent.wait_metric(seen, "two slow requests run and one waits", 20)
        reply = agent.fetch("/api/v1/inflight").json()["data"]["targets"]
        requests = [one for target in reply for one in target["requests"]]
        if len([one for one in requests if one["path"] == "/slow"]) != SLOW:
            raise LabError(f"/api/v1/inflight: {requests}")
        return f"2 of {SLOW} slow requests run, the others wait, each at /api/v1/inflight"

    @staticmethod
    def apache(agent):
        samples = agent.metrics()
        busy, idle = (
            samples.value("apache_workers", target="web9-apache", state=state)
            for state in ("busy", "idle")
        )
        if not busy or idle is None:
            raise LabError(f"apache_workers: busy {busy}, idle {idle}")
        return f"{busy:g} workers busy, {idle:g} idle"

    @staticmethod
    def probe(agent):
        samples = agent.wait_metric(
            lambda samples: samples.value("probe_http_status_code", target="healthcheck")
            is not None,
            "the probe was made",
        )
        return f"status {samples.value('probe_http_status_code', target='healthcheck'):g}"

    @staticmethod
    def elasticsearch(agent):
        samples = agent.wait_metric(
            lambda samples: samples.value(
                "elasticsearch_probe_success", target="search9", probe="search"
            )
            == 1,
            "a search succeeds",
        )
        if samples.value("elasticsearch_up", target="search9") != 1:
            raise LabError('elasticsearch_up{target="search9"} is not 1')
        nodes = samples.value("elasticsearch_cluster_health_number_of_nodes", target="search9")
        return f"{nodes:g} node, a search succeeds"
