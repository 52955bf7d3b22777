# SPDX-License-Identifier: Apache-2.0
"""Compares lagwatch with HAProxy's own exporter, series by series.

Two looks at the native exporter with one at lagwatch between them: what did not change between the
two looks must be the same in lagwatch, what changed (only what looking or time changes may) must
lie between. So nothing is compared with a tolerance, and a moment that was not quiet is tried
again."""

import math
import re
import time

from lab.agent import OPENMETRICS, TEXT
from lab.exposition import parse
from lab.fetch import fetch
from lab.process import wait_until

# Native families that neither `show stat` nor `show info` tells of.
NO_SOURCE = ("haproxy_sticktable_", "haproxy_resolver_")

# Values that asking changes, on whichever side: each scrape of the native exporter is a request of
# HAProxy's frontend `promex`, each collect of lagwatch a connection to a stats socket. Counters of
# these must still lie between the two looks; gauges are momentary and are only required to exist.
MOVED_BY_LOOKING = {
    "haproxy_process_bytes_out_rate",
    "haproxy_process_bytes_out_total",
    "haproxy_process_connections_total",
    "haproxy_process_requests_total",
    "haproxy_process_current_connection_rate",
    "haproxy_process_current_connections",
    "haproxy_process_current_run_queue",
    "haproxy_process_current_session_rate",
    "haproxy_process_current_tasks",
    "haproxy_process_idle_time_percent",
    "haproxy_process_jobs",
    "haproxy_process_max_connection_rate",
    "haproxy_process_max_session_rate",
    "haproxy_process_pool_allocated_bytes",
    "haproxy_process_pool_used_bytes",
    "haproxy_process_uptime_seconds",
}
ASKED_PROXY = "promex"

# Values that time changes: seconds since something, and what the latest health check took. Where
# the two looks differ, lagwatch's must lie between them.
MOVED_BY_TIME = (
    "_check_last_change_seconds",
    "_last_session_seconds",
    "_downtime_seconds_total",
    "_check_duration_seconds",
)

# Averages over the last 1024 requests: before there were so many, HAProxy's own exporter divides by
# 1024 nevertheless, `show stat` by their number. lagwatch says what `show stat` says.
AVERAGES = {
    "_queue_time_average_seconds": "qtime",
    "_connect_time_average_seconds": "ctime",
    "_response_time_average_seconds": "rtime",
    "_total_time_average_seconds": "ttime",
}

# Metrics of HTTP, which the native exporter leaves out for TCP proxies, while `show stat` has a 0
# in these cells (not an empty cell), and so has lagwatch.
ZERO_FOR_TCP = re.compile(r"haproxy_(frontend|backend)_http_(comp_.*|requests_.*)")


class NotQuiet(Exception):
    """Something changed between the two looks that looking does not change."""


def plain(samples, name=None):
    """{series: value} of HAProxy's metrics, without the labels target and site; of target `name`
    where the exposition has several."""
    found = {}
    for (family, labels), value in samples.items():
        if not family.startswith("haproxy_"):
            continue
        if name and ("target", name) not in labels:
            continue
        own = frozenset(item for item in labels if item[0] not in ("target", "site"))
        found[family, own] = value
    return found


def sourced(native):
    """The native series that have a source in `show stat` or `show info`."""
    return {key: value for key, value in native.items() if not key[0].startswith(NO_SOURCE)}


def moved_by_looking(key):
    return key[0] in MOVED_BY_LOOKING or ("proxy", ASKED_PROXY) in key[1]


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


def show(key):
    labels = ",".join(f'{name}="{value}"' for name, value in sorted(key[1]))
    return f"{key[0]}{{{labels}}}"


def told_by_rows(key, rows):
    """What `show stat` says, where the native exporter has its own mind. None: nothing else."""
    labels = dict(key[1])
    row = rows.get((labels.get("proxy"), labels.get("server", "BACKEND")))
    column = next((cell for end, cell in AVERAGES.items() if key[0].endswith(end)), None)
    if column is not None:
        return int(row[column]) / 1000 if row[column] else math.nan
    if key[0] == "haproxy_server_check_duration_seconds" and not row["check_duration"]:
        # In maintenance there are no checks, and the cell is empty: the native exporter goes on to
        # show the last one's.
        return math.nan
    if key[0] == "haproxy_backend_agg_check_status":
        # Until 2023-09 the native exporter counted servers in maintenance too.
        own = [one for (proxy, _), one in rows.items() if proxy == labels["proxy"]]
        states = [one["check_status"].removeprefix("* ") for one in own if one["type"] == "2"]
        return states.count(labels["state"])
    return None


def one_difference(key, first, second, own):
    """What is wrong with one series, or None."""
    value = own.get(key)
    if math.isnan(first) or math.isnan(second):
        # The cell is empty: the native exporter writes NaN, lagwatch leaves it out.
        if value is not None and math.isnan(first) and math.isnan(second):
            return f"{show(key)} is {value}, native NaN"
        return None
    if key[0] == "haproxy_server_check_code" and first == 0:
        # HAProxy's exporter writes 0 for an empty cell, and for L7STS while the next check is
        # under way; lagwatch leaves it out, or keeps the code of the check before.
        return None if value != 0 else f"{show(key)} is 0"
    if value is None:
        return f"{show(key)} is missing, native {second}"
    if moved_by_looking(key):
        counter = key[0].endswith("_total")
        if counter and not first <= value <= second:
            return f"{show(key)} is {value}, native {first} to {second}"
        return None
    if min(first, second) <= value <= max(first, second):
        return None
    return f"{show(key)} is {value}, native {first} to {second}"


def differences(first, second, own, rows):
    """Everything that is wrong in `own`, between the two native looks. rows: of `show stat`."""
    if first.keys() != second.keys():
        changed = [show(key) for key in first.keys() ^ second.keys()]
        raise NotQuiet(f"series came or went: {changed[:3]}")
    for key in first:
        if same(first[key], second[key]) or moved_by_looking(key):
            continue
        if not key[0].endswith(MOVED_BY_TIME):
            raise NotQuiet(f"{show(key)} went from {first[key]} to {second[key]}")
    found = []
    for key in first:
        told = told_by_rows(key, rows)
        before, after = (first[key], second[key]) if told is None else (told, told)
        found.append(one_difference(key, before, after, own))
    families = {key[0] for key in first}
    invented = [
        key
        for key, value in own.items()
        if key[0] in families
        and key not in first
        and not (value == 0 and ZERO_FOR_TCP.fullmatch(key[0]))
    ]
    return [one for one in found if one] + [f"{show(key)} is not native" for key in invented]


def wait_collected(agent, name, after):
    """Waits until the agent's samples of the target were complete after the instant `after`."""
    pattern = re.compile(
        rf'^lagwatch_target_last_success_timestamp_seconds\{{target="{name}".*\}} (\S+)$',
        re.MULTILINE,
    )

    def collected():
        found = pattern.search(agent.fetch("/metrics").text)
        return found and float(found[1]) > after

    wait_until(collected, what=f"{name} is asked again", interval=0.01)


def look(balancer):
    """HAProxy's own exporter, not read yet: the looks are to be close together."""
    return fetch(balancer.promex_url, balancer.host, timeout=10).body


def compare(agent, balancer, name):
    """One comparison of all four expositions. ({exposition: differences}, number of native
    series); NotQuiet when it was not."""
    first = look(balancer)
    wait_collected(agent, name, time.time())
    bodies = {
        (path, accept): agent.fetch(path, accept).body
        for path in ("/metrics", f"/probe?target={name}")
        for accept in (TEXT, OPENMETRICS)
    }
    rows = {(row["pxname"], row["svname"]): row for row in balancer.stat()}
    first, second = (sourced(plain(parse(body))) for body in (first, look(balancer)))
    found = {}
    for (path, accept), body in bodies.items():
        samples = parse(body, accept == OPENMETRICS)
        found[path, accept] = differences(first, second, plain(samples, name), rows)
    return found, len(first)


def compare_when_quiet(agent, balancer, name, timeout):
    """Compares until a moment was quiet. (differences, number of native series)."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            found, count = compare(agent, balancer, name)
            if not any(found.values()) or time.monotonic() > deadline:
                return found, count
        except NotQuiet:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)
