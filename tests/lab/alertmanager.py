# SPDX-License-Identifier: Apache-2.0
"""A real Alertmanager (Debian's 0.25) and the pager it tells: what would have woken somebody up.

Times are time.monotonic()'s."""

import json
import re
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from .fetch import fetch
from .process import free_ports, unprivileged_user, wait_until
from .prometheus import program


@dataclass(frozen=True)
class Page:
    """One notification, as Alertmanager's webhook sends it (version 4)."""

    at: float
    path: str  # of the URL it was sent to: /page, /ticket
    body: dict

    @property
    def status(self):
        return self.body["status"]  # firing, resolved

    @property
    def alerts(self):
        return self.body["alerts"]

    @property
    def group(self):
        """What a pager takes for one incident."""
        return self.body["groupKey"]

    @property
    def common_labels(self):
        return self.body["commonLabels"]

    def firing(self, label):
        """A label's values over the alerts that fire, sorted."""
        alerts = [one for one in self.alerts if one["status"] == "firing"]
        return sorted({one["labels"].get(label, "") for one in alerts})

    @property
    def summary(self):
        """The summaries of the alerts that fire, one after the other."""
        alerts = [one for one in self.alerts if one["status"] == "firing"]
        return "; ".join(one["annotations"].get("summary", "") for one in alerts)

    @property
    def text(self):
        """Everything of it that somebody would read."""
        values = [one["annotations"] | one["labels"] for one in self.alerts]
        return "\n".join(str(value) for one in values for value in one.values())


class Receiver:
    """The pager: takes Alertmanager's webhooks on loopback and keeps every one."""

    def __init__(self, lab):
        self.pages = []
        self.status = 200  # what it answers
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if receiver.status == 200:
                    receiver.pages.append(Page(time.monotonic(), self.path, body))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        lab.on_close(self.close)

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def firing(self, path="/page", since=0.0):
        """Pages that say that something fires."""
        return [
            one
            for one in self.pages
            if one.path == path and one.at >= since and one.status == "firing"
        ]

    def wait_page(self, timeout=60.0, since=0.0, path="/page"):
        """The first page since then."""
        found = wait_until(lambda: self.firing(path, since), timeout, f"a page at {path}", 0.1)
        return found[0]

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class Alertmanager:
    """Started when made, ready.

    config: file or text; every webhook URL in it goes to `receiver`, its path kept."""

    def __init__(self, lab, config, receiver, name="alertmanager"):
        binary = program("prometheus-alertmanager", "prometheus-alertmanager")
        user = unprivileged_user()
        home = lab.directory(name, user)
        self.port = free_ports(1)[0]
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"
        text = config.read_text() if isinstance(config, Path) else config
        file = home / "alertmanager.yml"
        file.write_text(re.sub(r"http://[^/\s\"']+(?=/)", receiver.url, text))
        flags = {
            "config.file": file,
            "storage.path": home / "data",
            "web.listen-address": self.address,
            "cluster.listen-address": "",
        }
        argv = [binary, *[f"--{flag}={value}" for flag, value in flags.items()]]
        self.child = lab.spawn(name, argv, user=user)
        wait_until(
            lambda: self.child.require_alive()
            and fetch(self.url + "/-/ready", timeout=1).status == 200,
            20,
            f"{name} is ready at {self.url}",
        )

    def alerts(self):
        """[(labels, state)]: state is active, suppressed or unprocessed."""
        found = fetch(self.url + "/api/v2/alerts").json()
        return [(one["labels"], one["status"]["state"]) for one in found]
