# SPDX-License-Identifier: Apache-2.0
"""The site of the incident, of real servers: visitors, HAProxy, web servers with Passenger, and
the Elasticsearch that each search asks.

    with Lab() as lab:
        search = Elasticsearch(lab).start()
        search.fill()
        site = ShopSite(lab, "coupled", search)
        visitors, flood = site.visitors(), site.flood()
        site.lb.wait_states("web", "DOWN", 60)

coupled: the health check asks Elasticsearch too. decoupled: it does not. remediated: besides, what
asks Elasticsearch gives up in time, and searches have a backend and an application group of their
own. Times in seconds."""

from .fetch import fetch
from .haproxy import Balancing, HAProxy
from .passenger import App, Limits, PassengerApache
from .process import LabError, wait_until
from .traffic import Traffic

VARIANTS = ("coupled", "decoupled", "remediated")
PROCESSES = 2  # for each application group of a web server
QUEUE = 20
WORKERS = 60  # of Apache: more than run and wait in Passenger
ES_TIMEOUT = 1.0
VISITS = ("/", "/search?q=amber", "/", "/save?title=red+shoes", "/", "/search?q=maple")
LETTERS = tuple(f"/search?q={letter}" for letter in "aeinrst")
SEARCH_GROUP = ('<Location "/search">', "    PassengerAppGroupName shop-search", "</Location>")


class ShopSite:
    """Runs, with every web server up, when the constructor returns.

    elasticsearch: an object with `url`, or the URL. servers: how many web servers. clauses: how
    dear a search for one letter is, see rackapp; 300 take about a second where nothing else runs.
    balancing: further arguments of Balancing. Owns webs ([PassengerApache]) and lb (HAProxy)."""

    def __init__(
        self, lab, variant="coupled", elasticsearch=None, servers=2, clauses=300, **balancing
    ):
        if variant not in VARIANTS:
            raise LabError(f"no variant {variant!r}")
        self.lab = lab
        self.variant = variant
        self.es_url = getattr(elasticsearch, "url", elasticsearch)
        old = getattr(elasticsearch, "number", 819) < 700
        environment = {
            "ES_URL": self.es_url,
            "ES_TYPE": "product" if old else "_doc",
            "SEARCH_CLAUSES": clauses,
            "HEALTHCHECK": "coupled" if variant == "coupled" else "decoupled",
        }
        self.webs = [self._web(f"web{n + 1}", environment) for n in range(servers)]
        self.lb = HAProxy(lab, "lb", self._balancing(balancing)).start()
        self.wait_up()

    @property
    def remediated(self):
        return self.variant == "remediated"

    @property
    def url(self):
        return self.lb.www_url.rstrip("/")

    def _web(self, name, environment):
        app = App(dict(environment))
        limits = Limits(pool=PROCESSES, queue=QUEUE, workers=WORKERS)
        extra = ()
        if self.remediated:
            app.environment["ES_TIMEOUT"] = ES_TIMEOUT
            app.extra = SEARCH_GROUP
            limits.pool = 2 * PROCESSES
            extra = (f"PassengerMaxInstancesPerApp {PROCESSES}",)  # Apache takes it for all only
        return PassengerApache(
            self.lab, name, {"shop": app}, limits=limits, account=True, extra=extra
        ).start()

    def _balancing(self, more):
        servers = {one.name: one.address() for one in self.webs}
        checked = {"inter": "1s", "fall": 3, "maxconn": None}
        return Balancing(
            servers,
            servers if self.remediated else {},
            extra_web=("    timeout check 2s",),
            **{**checked, **more},
        )

    def wait_up(self, timeout=30.0):
        """Waits until HAProxy has found every web server up."""
        self.lb.wait_states("web", "UP", timeout)

    def get(self, path="/", timeout=10.0):
        """The Response to a visitor's request."""
        return fetch(self.url + path, timeout=timeout)

    # traffic

    def visitors(self, rate=5.0, seconds=60.0, **more):
        """Who looks at pages, searches for words, and now and then saves something."""
        return Traffic(self.lab, self.lb.www, rate, seconds, paths=VISITS, name="visitors", **more)

    def flood(self, rate=5.0, seconds=60.0, **more):
        """Searches for one letter each."""
        return Traffic(self.lab, self.lb.www, rate, seconds, paths=LETTERS, name="flood", **more)

    # deploys

    def deploy(self, state="drain", timeout=20.0, warm=True):
        """One web server after the other: out of the rotation by `state` (drain or maint), reloaded
        when its requests are done, with `warm` asked for its first page, back again, up; each
        within `timeout`. Without `warm` visitors wait for its first process, and may fill its
        queue."""
        for web in self.webs:
            self._set_state(web, state)
            wait_until(lambda: self._is_idle(web), timeout, f"{web.name} is drained")
            web.reload()
            if warm:
                wait_until(lambda: self._is_warm(web, timeout), timeout, f"{web.name} is warm")
            self._set_state(web, "ready")
            self.lb.wait_states("web", {web.name: "UP"}, timeout)

    @staticmethod
    def _is_warm(web, timeout):
        return fetch(web.url() + "/", timeout=timeout).status == 200

    def _proxies(self):
        return ("web", "search") if self.remediated else ("web",)

    def _set_state(self, web, state):
        for proxy in self._proxies():
            said = self.lb.command(f"set server {proxy}/{web.name} state {state}").strip()
            if said:
                raise LabError(f"{self.lb.name}: {said}")

    def _is_idle(self, web):
        return all(self.lb.row(proxy, web.name)["scur"] == "0" for proxy in self._proxies())
