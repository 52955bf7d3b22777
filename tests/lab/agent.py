# SPDX-License-Identifier: Apache-2.0
"""lagwatch itself, run as on a site: as an unprivileged user, from a configuration file, stopped
by SIGTERM.

The binary is $LAGWATCH_BIN, by default build/lagwatch of this source tree. Sizes in bytes, times
in seconds."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import exposition
from .fetch import fetch
from .host import LOCAL
from .process import LabError, Unavailable, free_ports, unprivileged_user, wait_until

SOURCE_DIRECTORY = Path(__file__).resolve().parent.parent.parent
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
TEXT = "text/plain; version=0.0.4"
PORT = 10093


def find_binary():
    """The lagwatch to test; Unavailable when it is not built."""
    path = Path(os.environ.get("LAGWATCH_BIN") or SOURCE_DIRECTORY / "build" / "lagwatch").resolve()
    if not os.access(path, os.X_OK) or path.is_dir():
        raise Unavailable(f"no lagwatch binary at {path} (build it, or set LAGWATCH_BIN)")
    return path


def reachable_binary(lab, user):
    """The binary where `user` can run it: itself, or a copy in the lab's directory."""
    binary = find_binary()
    if user is None:
        return binary
    tried = subprocess.run(
        ["setpriv", f"--reuid={user}", "--clear-groups", "test", "-x", str(binary)],
        check=False,
        cwd="/",
    )
    if tried.returncode == 0:
        return binary
    copy = lab.directory("bin") / "lagwatch"
    if not copy.exists() or copy.stat().st_mtime < binary.stat().st_mtime:
        copy.unlink(missing_ok=True)  # one that runs cannot be written to
        shutil.copy2(binary, copy)
        copy.chmod(0o755)
    return copy


def target(name, *sockets, **settings):
    """An entry of `haproxy:`; sockets are paths, tcp://host:port or
    http://host:port/stats;csv."""
    return {"name": name, "sockets": [str(one) for one in sockets], **settings}


def configuration(haproxy=(), site="lab", interval="1s", timeout="3s", host=True, **more):
    """The configuration as a dict. Kinds that are not asked for are turned off, so that nothing
    is discovered."""
    return {
        "site": site,
        "interval": interval,
        "timeout": timeout,
        "haproxy": list(haproxy),
        "postgres": [],
        "passenger": [],
        "apache": [],
        "elasticsearch": [],
        "host": {"enabled": host},
        **more,
    }


def to_yaml(value, indent=0):
    """Dicts, lists and scalars as YAML block style, strings quoted."""
    pad = "  " * indent
    if isinstance(value, dict) and value:
        lines = []
        for name, one in value.items():
            if isinstance(one, (dict, list, tuple)) and one:
                lines.append(f"{pad}{name}:\n{to_yaml(one, indent + 1)}")
            else:
                lines.append(f"{pad}{name}: {to_yaml(one)}")
        return "\n".join(lines)
    if isinstance(value, (list, tuple)) and value:
        return "\n".join(f"{pad}- {to_yaml(one, indent + 1).lstrip()}" for one in value)
    if isinstance(value, tuple):
        value = []
    return json.dumps(value)


@dataclass(frozen=True)
class Memory:
    rss: int
    pss: int
    private_dirty: int
    peak: int  # highest rss since the start


@dataclass(frozen=True)
class Exit:
    code: int  # negative: the signal that ended it
    log: str  # what it wrote to stderr


class Agent:
    """One lagwatch on `host`. `config` is a dict (see configuration()) or the text of the file.

    Listens on `address`, by default the host's, and on `port`, by default any free one. `flags`
    are added to the command line. user: None for the caller's own; by default lagwatch or nobody
    when the caller is root."""

    def __init__(
        self,
        lab,
        config,
        host=LOCAL,
        name="agent",
        address=None,
        port=None,
        flags=(),
        env=None,
        user="unprivileged",
    ):
        self.name = name
        self.host = host
        self.user = unprivileged_user() if user == "unprivileged" else user
        self.address = address or host.address
        self.port = port or (PORT if host.namespace else free_ports(1)[0])
        self.flags = list(flags)
        self.env = env
        self.directory = lab.directory(name)
        self.storage = lab.directory(f"{name}/storage", self.user, 0o700)
        self.config_file = self.directory / "lagwatch.yml"
        self.child = None
        self._lab = lab
        self.write_config(config)

    @property
    def url(self):
        return f"http://{self.address}:{self.port}"

    @property
    def pid(self):
        return self.child.pid

    def write_config(self, config):
        """Replaces the configuration file. A running agent notices when it is told to reload."""
        text = config if isinstance(config, str) else to_yaml(config) + "\n"
        new = self.config_file.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.replace(self.config_file)

    def argv(self):
        return [
            reachable_binary(self._lab, self.user),
            f"--config.file={self.config_file}",
            f"--web.listen-address={self.address}:{self.port}",
            f"--storage.path={self.storage}",
            *self.flags,
        ]

    def start(self, ready=True, timeout=10.0):
        """Starts it; with `ready`, waits for 200 from /-/ready."""
        self.child = self._lab.spawn(
            self.name, self.argv(), host=self.host, user=self.user, env=self.env
        )
        if ready:
            self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout=10.0):
        try:
            wait_until(
                lambda: self.child.require_alive()
                and self.fetch("/-/ready", timeout=1).status == 200,
                timeout,
                f"{self.name}: 200 from {self.url}/-/ready",
            )
        except LabError as error:
            raise LabError(f"{error}\n{self.child.tail()}") from None

    def fetch(
        self, path, accept=None, encoding=None, headers=None, timeout=5.0, method="GET", body=None
    ):
        """A request to this agent from its own host. `encoding`: Accept-Encoding; gzip is
        undone."""
        own = dict(headers or {})
        if accept:
            own["Accept"] = accept
        own["Accept-Encoding"] = encoding or "identity"
        return fetch(self.url + path, self.host, own, timeout, method, body)

    def metrics(self, path="/metrics", openmetrics=False, encoding=None, timeout=5.0):
        """/metrics read strictly, as Samples. LabError when status or Content-Type are not as
        asked."""
        wanted = OPENMETRICS if openmetrics else TEXT
        response = self.fetch(path, wanted, encoding, timeout=timeout)
        kind = response.headers.get("Content-Type", "")
        if response.status != 200:
            raise LabError(
                f"{self.name}: status {response.status} from {path}: {response.body[:200]!r}"
            )
        if not kind.replace(" ", "").startswith(wanted.replace(" ", "")):
            raise LabError(f"{self.name}: Content-Type {kind!r}, wanted {wanted!r}")
        return exposition.parse(response.body, openmetrics)

    def wait_metric(self, predicate, what, timeout=10.0, interval=0.1):
        """Polls /metrics until predicate(samples) is true; the samples."""

        def asked():
            samples = self.child.require_alive() and self.metrics()
            return samples if predicate(samples) else None

        return wait_until(asked, timeout, f"{self.name}: {what}", interval)

    def _proc(self, name):
        return Path(f"/proc/{self.pid}/{name}").read_text(encoding="utf-8", errors="replace")

    def memory(self):
        fields = {
            line.split(":")[0]: int(line.split()[1]) * 1024
            for line in (self._proc("smaps_rollup") + self._proc("status")).splitlines()
            if line.endswith(" kB")
        }
        return Memory(fields["Rss"], fields["Pss"], fields["Private_Dirty"], fields["VmHWM"])

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def threads(self):
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def cpu_seconds(self):
        """CPU time of all threads that still live, in nanosecond steps."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def uid(self):
        """Effective user id of the process."""
        return int(
            next(
                line for line in self._proc("status").splitlines() if line.startswith("Uid:")
            ).split()[2]
        )

    def stop(self, timeout=10.0):
        """SIGTERM. Exit with code and log; LabError when it does not end within `timeout`."""
        self.child.signal(15)
        code = self.child.wait(timeout)
        self.child.kill()
        return Exit(code, self.child.log_text())

    def kill9(self):
        return Exit(self.child.kill(), self.child.log_text())

    def log(self):
        """Its stderr so far."""
        return self.child.log_text()
