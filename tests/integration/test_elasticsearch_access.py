# SPDX-License-Identifier: Apache-2.0
"""TLS, users and API keys of a real Elasticsearch: what lets lagwatch in, and what it says when it
is not let in."""

import base64
import hashlib
import subprocess

from lab.elasticsearch import Elasticsearch
from lab.process import unprivileged_user

from integration.es_support import NAME, WithElasticsearch, entry, only, private_file
from integration.support import cli, config_file


def pinned_key(certificate):
    """The certificate's key as `pinned_key` takes it."""
    done = subprocess.run(
        ["openssl", "x509", "-in", certificate, "-pubkey", "-noout"],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [one for one in done.stdout.splitlines() if "-----" not in one]
    digest = hashlib.sha256(base64.b64decode("".join(lines))).digest()
    return "sha256//" + base64.b64encode(digest).decode()


class Access(WithElasticsearch):
    @staticmethod
    def make(lab):
        server = Elasticsearch(lab, "8.19", security=True).start()
        server.fill(100)
        return server

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        security = cls.server.security
        cls.user = unprivileged_user()
        cls.ca = str(security.ca_file)
        cls.certificate = security.directory / "node.crt"
        cls.password = private_file(cls.lab, "password", security.password + "\n")
        cls.wrong = private_file(cls.lab, "wrong", "not this one\n")

    def check(self, **settings):
        """`lagwatch check --live` on this entry."""
        path = config_file(self.lab, only(entry(self.server.url, **settings)))
        done = cli(self.lab, "check", "--live", f"--config.file={path}")
        self.assertEqual(done.err, "")
        return done

    def assert_fails(self, done, *words):
        self.assertEqual(done.code, 1, done.out)
        for word in words:
            self.assertIn(word, done.out)

    def test_user_and_authority(self):
        done = self.check(username="lagwatch", password_file=self.password, ca_file=self.ca)
        self.assertEqual(done.code, 0, done.out)

    def test_api_key_and_pinned_key(self):
        key = private_file(self.lab, "key", self.server.security.api_key() + "\n")
        pinned = pinned_key(self.certificate)
        done = self.check(api_key_file=key, pinned_key=pinned)
        self.assertEqual(done.code, 0, done.out)
        done = self.check(api_key_file=self.wrong, pinned_key=pinned)
        self.assert_fails(done, f"elasticsearch {NAME}: auth:", "api_key_file")

    def test_without_credentials_the_fix_is_the_role(self):
        done = self.check(ca_file=self.ca)
        self.assert_fails(done, ": auth: ", '"cluster":["monitor"]', "password_file")

    def test_a_wrong_password_is_said_to_be_wrong(self):
        done = self.check(username="lagwatch", password_file=self.wrong, ca_file=self.ca)
        self.assert_fails(done, ": auth: ", "fix: check username and password_file")

    def test_another_authority_and_another_key_are_tls(self):
        done = self.check(username="lagwatch", password_file=self.password)
        self.assert_fails(done, ": tls: ", "ca_file")
        other = "sha256//" + base64.b64encode(bytes(32)).decode()
        done = self.check(username="lagwatch", password_file=self.password, pinned_key=other)
        self.assert_fails(done, ": tls: ", "pinned_key")

    def test_plain_http_is_told_to_use_tls(self):
        path = config_file(self.lab, only(entry(self.server.url.replace("https:", "http:"))))
        done = cli(self.lab, "check", "--live", f"--config.file={path}")
        self.assertEqual(done.code, 1, done.out)
        self.assertIn("https://", done.out)
