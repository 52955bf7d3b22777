# SPDX-License-Identifier: Apache-2.0
"""One HTTP request from any host of the site, with its time. Times in seconds, sizes in bytes."""

import gzip
import http.client
import json
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from .host import LOCAL


@dataclass(frozen=True)
class Response:
    status: int
    headers: http.client.HTTPMessage
    body: bytes  # decoded when Content-Encoding was gzip
    wire_bytes: int  # body as it came
    seconds: float

    @property
    def text(self):
        return self.body.decode("utf-8")

    def json(self):
        return json.loads(self.body)


def fetch(url, host=LOCAL, headers=None, timeout=5.0, method="GET", body=None, tls=None):
    """Fetches http://ip:port/path from `host`, https:// with the SSLContext `tls`. `timeout` holds
    for connecting and for each read."""
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=timeout)
    started = time.monotonic()
    try:
        connection.sock = host.connect((parts.hostname, parts.port or 80), timeout)
        if tls:
            connection.sock = tls.wrap_socket(connection.sock, server_hostname=parts.hostname)
        connection.request(method, path, body=body, headers=headers or {})
        reply = connection.getresponse()
        raw = reply.read()
    finally:
        connection.close()
    seconds = time.monotonic() - started
    plain = gzip.decompress(raw) if reply.headers.get("Content-Encoding") == "gzip" else raw
    return Response(reply.status, reply.headers, plain, len(raw), seconds)
