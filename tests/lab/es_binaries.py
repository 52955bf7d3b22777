# SPDX-License-Identifier: Apache-2.0
"""Elasticsearch servers of every version the lab knows, from Maven (packages.py), and the Java
each runs on.

They are the distributions that Elastic publishes for tests of plugins: the real server, few
modules. Those of 8 and 9 do not answer `GET /` and cannot make API keys: java/LabPlugin.java is
compiled into them. 2.4 starts by java/Launch.java. 1.x needs Java 8. What cannot be had is
`Unavailable("elasticsearch 7.17: reason")`."""

import hashlib
import os
import re
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from . import packages
from .packages import Package
from .process import Unavailable

WHOLE = "org.elasticsearch.distribution.zip"  # with all modules
JAVA_HOMES = Path("/usr/lib/jvm")
PLUGIN = Path(__file__).parent / "java" / "LabPlugin.java"
LAUNCHER = Path(__file__).parent / "java" / "Launch.java"


@dataclass(frozen=True)
class Release:
    """A release of Elasticsearch. java: the oldest and the newest major version it runs on."""

    version: str  # 8.19.21
    java: tuple
    sha256: str
    group: str = "org.elasticsearch.distribution.integ-test-zip"

    @property
    def package(self):
        return Package("mvn", f"{self.group}:elasticsearch", self.version, self.sha256, "zip")


RELEASES = {
    "2.4": Release(
        "2.4.6",
        (8, 17),
        "13473542568a1805c9daf0bd97a3910746cd1922d2b283578dbc3bcef605cbcb",
        WHOLE,
    ),
    "5.6": Release(
        "5.6.16",
        (8, 17),
        "1f0c74e213c60f050ac3adf584d2bb5d5582932b93965d489bb3f3e9fff2b8bb",
        WHOLE,
    ),
    "6.2": Release(
        "6.2.4",
        (8, 17),
        "4ce495ac6db4ff720bb5b863562952efa54955e72ca454d5c4fcd9ce523c053f",
        WHOLE,
    ),
    "6.8": Release(
        "6.8.23", (8, 17), "d0499f7103d10c16c4cb575a796a509578053f21130979eda5745968f28b9928"
    ),
    "7.17": Release(
        "7.17.29", (8, 17), "841ee00be1a72ba8e707b5a2fb55f23fe7a4184369b4585393238b1c903eedaf"
    ),
    "8.19": Release(
        "8.19.21", (17, 25), "215d5f3dbf0609a149f6218a9e47b6ae2df34ebbff3c5754e35f15a5e5393c8a"
    ),
    "9.1": Release(
        "9.1.5", (21, 25), "44d43090e4e17147500ed1601c1f5688ba9a4806c8111e2367f2953235335dd9"
    ),
}
VERSIONS = tuple(RELEASES)


@dataclass(frozen=True)
class Binaries:
    """The programs of one version, which anybody can run."""

    version: str  # as asked for: 8.19
    full_version: str  # 8.19.21
    home: Path  # bin, lib, modules, config
    java: Path  # the JDK's directory

    @property
    def number(self):
        """Comparable: 5.6 is 506, 8.19 is 819."""
        major, minor = map(int, self.version.split("."))
        return major * 100 + minor

    def argv(self, config):
        """The command that starts a node with the files in `config`, in the environment that
        env() gives."""
        program = self.home / "bin" / "elasticsearch"
        if self.number >= 600:
            return [program]
        if self.number >= 500:
            return [program, f"-Epath.conf={config}"]
        options = (config / "jvm.options").read_text(encoding="utf-8").split()
        paths = [f"-Des.path.home={self.home}", f"-Des.path.conf={config}"]
        classes = ["-cp", f"{self.home}/launcher:{self.home}/lib/*"]
        return [self.java / "bin" / "java", *options, *paths, *classes, "Launch"]

    def env(self, config):
        """JAVA_HOME is read before 7.12, ES_JVM_OPTIONS before 6."""
        return {
            "ES_PATH_CONF": str(config),
            "ES_JVM_OPTIONS": str(config / "jvm.options"),
            "ES_JAVA_HOME": str(self.java),
            "JAVA_HOME": str(self.java),
        }


@cache
def binaries(version):
    """The Binaries of `version`, one of VERSIONS; fetched at the first use on this machine."""
    if version not in RELEASES:
        raise Unavailable(f"elasticsearch {version}: the lab has only {', '.join(VERSIONS)}")
    release = RELEASES[version]
    title = f"elasticsearch {version}"
    java = java_home(title, *release.java)
    source = added(release)
    mark = "-" + hashlib.sha256(source.read_bytes()).hexdigest()[:8] if source else ""
    home = packages.unpacked(
        title, release.package, lambda *where: unpack(release, java, *where), mark
    )
    return Binaries(version, release.version, home, java)


def java_home(title, oldest, newest):
    """The oldest JDK on this machine whose major version lies between these. Unavailable."""
    found = {}
    for path in sorted(JAVA_HOMES.glob("*/release")):
        match = re.search(r'JAVA_VERSION="(?:1\.)?(\d+)', path.read_text(encoding="utf-8"))
        if match and os.access(path.parent / "bin" / "javac", os.X_OK):
            found.setdefault(int(match[1]), path.parent)
    usable = [major for major in sorted(found) if oldest <= major <= newest]
    if not usable:
        raise Unavailable(f"{title}: no JDK from {oldest} to {newest} in {JAVA_HOMES}")
    return found[usable[0]]


def added(release):
    """The source that is compiled into a release, or None."""
    major = int(release.version.partition(".")[0])
    return LAUNCHER if major < 5 else PLUGIN if major >= 8 else None


def unpack(release, java, archive, work):
    """Unpacks a distribution. Its directory."""
    with zipfile.ZipFile(archive) as file:
        file.extractall(work / "tree")
    home = work / "tree" / f"elasticsearch-{release.version}"
    for program in (home / "bin").iterdir():
        program.chmod(0o755)
    (home / "plugins").mkdir(exist_ok=True)
    if added(release) is PLUGIN:
        add_plugin(home, release, java)
    elif added(release) is LAUNCHER:
        compiled(LAUNCHER, home, java, home / "launcher")
    return home


def compiled(source, home, java, classes):
    """Compiles a source against a server into `classes`. ValueError when it does not compile."""
    classes.mkdir()
    argv = [java / "bin" / "javac", "-nowarn", "-cp", f"{home}/lib/*", "-d", classes, source]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise ValueError(f"{source.name} does not compile: {done.stderr[-300:]}")


def add_plugin(home, release, java):
    """Compiles LabPlugin into a module of the server."""
    module = home / "modules" / "lab"
    classes = home / "classes"
    module.mkdir()
    compiled(PLUGIN, home, java, classes)
    with zipfile.ZipFile(module / "lab.jar", "w") as jar:
        for one in sorted(classes.glob("*.class")):
            jar.write(one, one.name)
    shutil.rmtree(classes)
    settings = {
        "description": "what the distribution lacks",
        "version": release.version,
        "name": "lab",
        "java.version": release.java[0],
        "elasticsearch.version": release.version,
        "classname": "LabPlugin",
    }
    text = "".join(f"{key}={value}\n" for key, value in settings.items())
    (module / "plugin-descriptor.properties").write_text(text, encoding="utf-8")
