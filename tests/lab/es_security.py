# SPDX-License-Identifier: Apache-2.0
"""TLS, users and an API key of an Elasticsearch node (7.17 and later).

A CA of the lab's signs the node's certificate; users are in the node's own files: `lab`, who may do
everything, and `lagwatch` with the role of the same name, as the README tells operators to make it.
Passwords are drawn anew each time."""

import base64
import hashlib
import os
import secrets
import shutil
import ssl
import subprocess
from functools import cached_property

from .process import LabError, Unavailable

ROLE = {
    "cluster": ["monitor"],
    "indices": [{"names": ["products"], "privileges": ["read"]}],
}


def hashed(password):
    """The password as Elasticsearch's `pbkdf2` keeps it."""
    salt = os.urandom(32)
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 10_000, 32)
    parts = [base64.b64encode(one).decode() for one in (salt, key)]
    return f"{{PBKDF2}}10000${parts[0]}${parts[1]}"


def openssl(*argv, cwd):
    if not shutil.which("openssl"):
        raise Unavailable("certificates: no openssl (apt-get install openssl)")
    done = subprocess.run(
        ["openssl", *map(str, argv)], cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise LabError(f"openssl {argv[0]}: {done.stderr[-300:]}")


class Security:
    """Of one node. user, password: of `lagwatch`; ca_file: readable by everybody."""

    user = "lagwatch"

    def __init__(self, server):
        if server.number < 700:
            raise Unavailable(f"elasticsearch {server.version}: its distribution has no security")
        self._server = server
        self._lab_password = secrets.token_urlsafe(12)
        self.password = secrets.token_urlsafe(12)
        self.directory = server.lab.directory(f"{server.name}/certificates")
        self.ca_file = self.directory / "ca.crt"
        self._make_certificates()

    def _make_certificates(self):
        address = self._server.host.address
        key = ["-newkey", "rsa:2048", "-nodes"]
        ca = ["-subj", "/CN=lab CA", "-days", "30", "-keyout", "ca.key", "-out", "ca.crt"]
        openssl("req", "-x509", *key, *ca, cwd=self.directory)
        node = ["-subj", f"/CN={self._server.name}", "-keyout", "node.key", "-out", "node.csr"]
        openssl("req", *key, *node, cwd=self.directory)
        names = f"subjectAltName=IP:{address},DNS:localhost\n"
        (self.directory / "names").write_text(names, encoding="utf-8")
        signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-set_serial", "2", "-days", "30"]
        files = ["-in", "node.csr", "-extfile", "names", "-out", "node.crt"]
        openssl("x509", "-req", *signed, *files, cwd=self.directory)

    def write(self):
        """Writes the node's files; its settings."""
        config = self._server.config
        for one in ("node.key", "node.crt"):
            shutil.copy(self.directory / one, config / one)
        users = {"lab": self._lab_password, self.user: self.password}
        text = "".join(f"{name}:{hashed(password)}\n" for name, password in users.items())
        (config / "users").write_text(text, encoding="utf-8")
        roles = "superuser:lab\nlagwatch:lagwatch\n"
        (config / "users_roles").write_text(roles, encoding="utf-8")
        role = (
            "lagwatch:\n  cluster: [monitor]\n"
            "  indices: [{names: [products], privileges: [read]}]\n"
        )
        (config / "roles.yml").write_text(role, encoding="utf-8")
        return {
            "xpack.security.enabled": True,
            "xpack.security.http.ssl.enabled": True,
            "xpack.security.http.ssl.key": "node.key",
            "xpack.security.http.ssl.certificate": "node.crt",
            "xpack.security.authc.password_hashing.algorithm": "pbkdf2",
        }

    @cached_property
    def context(self):
        return ssl.create_default_context(cafile=str(self.ca_file))

    def authorization(self, user=None):
        """Value of the header, by default of `lab`."""
        name, password = user or ("lab", self._lab_password)
        return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()

    def api_key(self, name="lagwatch"):
        """A new API key with the rights of `lagwatch`, as `Authorization: ApiKey` takes it."""
        body = {"name": name, "role_descriptors": {"lagwatch": ROLE}}
        made = self._server.ask("POST", "/_security/api_key", body, timeout=30)
        return base64.b64encode(f"{made['id']}:{made['api_key']}".encode()).decode()
