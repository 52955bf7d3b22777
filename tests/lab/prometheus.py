# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus that scrapes lagwatch, evaluates rules and tells an Alertmanager. Debian's
2.42. Intervals in Prometheus' own notation, times in seconds."""

import shutil
import urllib.parse
from pathlib import Path

from .fetch import fetch
from .process import Unavailable, free_ports, unprivileged_user, wait_until


def program(name, package):
    """Path of a program that `package` brings; Unavailable without it."""
    found = shutil.which(name)
    if not found:
        raise Unavailable(f"{package}: no {name} (apt-get install {package})")
    return found


class Prometheus:
    """Started when made, has applied its configuration.

    targets {job: ip:port, or the URL of an http_sd list}; rules: files, copied so that the server
    may read them; alertmanager: an Alertmanager."""

    def __init__(
        self, lab, targets, rules=(), alertmanager=None, scrape_interval="5s", name="prometheus"
    ):
        binary = program("prometheus", "prometheus")
        user = unprivileged_user()
        self.home = lab.directory(name, user)
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        for rule in map(Path, rules):
            shutil.copyfile(rule, self.home / rule.name)
        config = self.home / "prometheus.yml"
        names = [Path(rule).name for rule in rules]
        config.write_text(configuration(targets, names, alertmanager, scrape_interval))
        flags = {
            "config.file": config,
            "storage.tsdb.path": self.home / "data",
            "web.listen-address": f"127.0.0.1:{self.port}",
        }
        argv = [binary, *[f"--{flag}={value}" for flag, value in flags.items()]]
        self.child = lab.spawn(name, argv, user=user)
        wait_until(self._ready, 20, f"{name} is ready at {self.url}")

    def _ready(self):
        """Ready, and knows its Alertmanager: what fires before is lost."""
        self.child.require_alive()
        if fetch(self.url + "/-/ready", timeout=1).status != 200:
            return False
        wanted = "alertmanagers:" in (self.home / "prometheus.yml").read_text()
        return not wanted or self.api("alertmanagers")["activeAlertmanagers"]

    def api(self, path, **parameters):
        """`data` of an answer of /api/v1."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        return fetch(f"{self.url}/api/v1/{path}{query}").json()["data"]

    def query(self, expression):
        """[(labels, value)] of an instant query."""
        self.child.require_alive()
        result = self.api("query", query=expression)["result"]
        return [(one["metric"], float(one["value"][1])) for one in result]

    def wait_query(self, expression, wanted, timeout=15.0):
        """Polls until wanted([(labels, value)]); what it returned."""
        return wait_until(lambda: wanted(self.query(expression)), timeout, expression, 0.2)

    def alerts(self):
        """Alerts that are pending or firing, as /api/v1/alerts tells."""
        return self.api("alerts")["alerts"]

    def rule_errors(self):
        """{rule: why its last evaluation failed}."""
        rules = [one for group in self.api("rules")["groups"] for one in group["rules"]]
        return {one["name"]: one["lastError"] for one in rules if one.get("lastError")}


def configuration(targets, rules, alertmanager, scrape_interval):
    """prometheus.yml."""
    lines = [
        "global:",
        f"  scrape_interval: {scrape_interval}",
        f"  scrape_timeout: {scrape_interval}",
        f"  evaluation_interval: {scrape_interval}",
        "scrape_configs:",
    ]
    for job, where in targets.items():
        lines.append(f"  - job_name: {job}")
        if "://" in where:
            lines.append(f'    http_sd_configs: [{{url: "{where}", refresh_interval: 1s}}]')
        else:
            lines.append(f'    static_configs: [{{targets: ["{where}"]}}]')
    if rules:
        lines += ["rule_files:", *[f"  - {rule}" for rule in rules]]
    if alertmanager:
        lines += [
            "alerting:",
            "  alertmanagers:",
            f'    - static_configs: [{{targets: ["{alertmanager.address}"]}}]',
        ]
    return "\n".join(lines) + "\n"
