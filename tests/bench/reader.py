# SPDX-License-Identifier: Apache-2.0
"""Reads HAProxy's statistics once a second as fast as they come: a process of its own, which ends
by itself.  bench.reader socket|http ADDRESS SECONDS"""

import socket
import sys
import time

from .measure import get


def read_socket(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(path)
        connection.sendall(b"show info;show stat\n")
        while connection.recv(1 << 18):
            pass


def main():
    kind, address, seconds = sys.argv[1:]
    read = read_socket if kind == "socket" else get
    until = time.monotonic() + min(float(seconds), 600)
    due = time.monotonic()
    while due < until:
        read(address)
        print("read", flush=True)
        due += 1
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()
