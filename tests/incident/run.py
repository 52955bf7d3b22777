#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Replays the incident and others on real servers, and says who was paged when, and why.

    LAGWATCH_BIN=build/lagwatch tests/incident/run.py [--variant V] [--replay R] [--interval 5s]

Variants of the shop: coupled (its health check asks Elasticsearch), decoupled, remediated (searches
have a timeout and a pool of their own besides). Replays: hang (Elasticsearch stops answering),
flood (searches for one letter), deploy (one web server after the other). Without an option: all,
about 3 minutes each. One line a check: `ok|FAIL|skip NAME [reason]`, a table, and a last line
`N passed, N failed, N skipped`. Exit code 0 when nothing failed, 1 otherwise, 2 for a wrong command
line or no binary."""

import argparse
import os
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lab.agent import find_binary
from lab.process import Lab, Unavailable, exit_on_signals

from incident.replay import REPLAYS, VARIANTS, Replay

WORDS = "coupled health check"
PAGED_WITHIN = {"5s": 45.0, "15s": 90.0}  # s after users fail, by interval


class Checks:
    """Counts checks and says each."""

    def __init__(self):
        self.counts = {"ok": 0, "FAIL": 0, "skip": 0}

    def say(self, word, name, reason=""):
        self.counts[word] += 1
        print(f"{word:4} {name}" + (f"  [{reason}]" if reason else ""), flush=True)

    def check(self, name, holds, seen):
        """One check that must hold; `seen` says what was there instead."""
        self.say("ok" if holds else "FAIL", name, "" if holds else str(seen)[:300])


def judge(outcome, checks, interval):
    """What must be true of each variant and replay."""
    name = f"{outcome.variant}.{outcome.replay}"
    summaries = [page.summary for _, page in outcome.pages]
    checks.check(f"{name}.rules_evaluate", not outcome.rule_errors, outcome.rule_errors)
    if outcome.replay == "deploy":
        checks.check(f"{name}.silence", not outcome.pages and not outcome.tickets, summaries)
        checks.check(f"{name}.users_are_well", outcome.failing is None, outcome.failed_paths)
        return
    if outcome.variant == "remediated" and outcome.failing is None:
        checks.check(f"{name}.silence", not outcome.pages, summaries)
        return
    checks.check(f"{name}.users_fail", outcome.failing is not None, outcome.failed_paths)
    checks.check(f"{name}.one_page", len(outcome.pages) == 1, summaries)
    if not outcome.pages or outcome.failing is None:
        return
    bound = PAGED_WITHIN.get(interval)
    if bound:
        checks.check(f"{name}.paged_within_{bound:g}s", outcome.delay <= bound, outcome.delay)
    page = outcome.pages[0][1]
    checks.check(f"{name}.one_cause", len(page.firing("alertname")) == 1, page.firing("alertname"))
    judge_words(name, outcome, checks, page)


def judge_words(name, outcome, checks, page):
    """The cause that the page names, and no other."""
    coupled = outcome.variant == "coupled" and outcome.replay == "hang"
    wanted = {"elasticsearch"} if outcome.replay == "hang" else {"route"}
    if coupled:
        wanted = {"elasticsearch_coupled_health_check"}
    elif outcome.variant == "remediated":
        wanted.add("elasticsearch")  # searches give up before they hold the pool
    causes = page.firing("cause")
    checks.check(f"{name}.cause", len(causes) == 1 and causes[0] in wanted, causes)
    named = "route search" if causes == ["route"] else "Elasticsearch"
    checks.check(f"{name}.names_it", named in page.summary, page.summary)
    checks.check(f"{name}.coupled_or_not", (WORDS in page.text) == coupled, page.text)
    if outcome.variant == "remediated":
        checks.check(
            f"{name}.pages_are_well", "/" not in outcome.failed_paths, outcome.failed_paths
        )


def seconds(value):
    return "-" if value is None else f"{value:.0f} s"


def row(outcome):
    """A line of the table for each page, or one."""
    head = [outcome.variant, outcome.replay, seconds(outcome.failing), str(len(outcome.pages))]
    if not outcome.pages:
        return [[*head, "-", "-", "-", "-"]]
    lines = []
    for at, page in outcome.pages:
        after = None if outcome.failing is None else at - outcome.failing
        names = [",".join(page.firing(one)) for one in ("alertname", "cause")]
        lines.append([*head, seconds(after), *names, page.summary])
        head = ["", "", "", ""]
    return lines


def print_table(outcomes):
    head = ["variant", "replay", "users fail", "pages", "after", "alert", "cause", "summary"]
    lines = [head, *[line for outcome in outcomes for line in row(outcome)]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip(), flush=True
        )


def replay_one(variant, replay, interval, checks):
    """Outcome, or None when it could not be had."""
    name = f"{variant}.{replay}"
    try:
        with Lab() as lab:
            outcome = Replay(lab, variant, interval).run(replay)
    except Unavailable as error:
        checks.say("skip", name, str(error))
        return None
    except Exception as error:  # the others have their turn
        checks.say("FAIL", name, f"{type(error).__name__}: {error}".splitlines()[0][:300])
        traceback.print_exc()
        return None
    judge(outcome, checks, interval)
    return outcome


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--variant", choices=VARIANTS, action="append")
    parser.add_argument("--replay", choices=REPLAYS, action="append")
    parser.add_argument("--interval", default="5s", help="of lagwatch and Prometheus (default 5s)")
    arguments = parser.parse_args()
    try:
        binary = find_binary()
    except Unavailable as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    exit_on_signals()
    with tempfile.TemporaryDirectory(prefix="lagwatch-bin-") as directory:
        # A copy: whoever builds meanwhile does not change what is tested.
        os.chmod(directory, 0o755)
        copy = Path(directory, "lagwatch")
        shutil.copy2(binary, copy)
        os.environ["LAGWATCH_BIN"] = str(copy)
        return replay_all(arguments)


def replay_all(arguments):
    """Exit code."""
    checks = Checks()
    outcomes = []
    for variant in arguments.variant or VARIANTS:
        for replay in arguments.replay or REPLAYS:
            outcomes.append(replay_one(variant, replay, arguments.interval, checks))
    outcomes = [one for one in outcomes if one]
    if outcomes:
        print_table(outcomes)
    print("{ok} passed, {FAIL} failed, {skip} skipped".format(**checks.counts), flush=True)
    return 1 if checks.counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
