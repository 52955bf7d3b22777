# SPDX-License-Identifier: Apache-2.0
"""The numbers of a run as one table, each with its bound and its peers."""

from dataclasses import dataclass, field

HEADER = ("number", "lagwatch", "bound", "", "peers in the same run (times lagwatch)")


@dataclass
class Number:
    """One measured value. peers: {name: value in the same unit}; note: what else to know."""

    section: str
    name: str
    value: float
    unit: str
    bound: float | None = None  # None: information
    peers: dict = field(default_factory=dict)
    note: str = ""

    @property
    def missed(self):
        return self.bound is not None and self.value > self.bound

    @property
    def verdict(self):
        if self.bound is None:
            return "info"
        return "MISSED" if self.missed else "ok"

    def cells(self):
        value = text_of(self.value, self.unit) + (f" ({self.note})" if self.note else "")
        peers = [
            f"{name} {text_of(one, self.unit)} ({ratio(one, self.value)})"
            for name, one in self.peers.items()
        ]
        bound = "" if self.bound is None else text_of(self.bound, self.unit)
        return (self.name, value, bound, self.verdict, "; ".join(peers))


def text_of(value, unit):
    """A value with three significant digits or all its whole ones."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f} {unit}"


def ratio(other, own):
    times = other / max(own, 1e-9)
    return f"{times:.2g}x" if times < 100 else f"{times:.0f}x"


@dataclass
class Report:
    numbers: list = field(default_factory=list)
    skipped: list = field(default_factory=list)  # (what, why)
    failed: list = field(default_factory=list)  # (section, why)
    remarks: list = field(default_factory=list)

    def add(self, *args, **kwargs):
        self.numbers.append(Number(*args, **kwargs))

    def skip(self, what, why):
        if (what, why) not in self.skipped:
            self.skipped.append((what, why))

    @property
    def missed(self):
        return [one for one in self.numbers if one.missed]

    def markdown(self):
        lines = [*self.remarks, ""]
        for section in dict.fromkeys(one.section for one in self.numbers):
            lines += [f"### {section}", "", row(HEADER), row(["---"] * len(HEADER))]
            lines += [row(one.cells()) for one in self.numbers if one.section == section]
            lines.append("")
        lines += [f"- skipped: {what}: {why}" for what, why in self.skipped]
        lines += [f"- FAILED: {section}: {why}" for section, why in self.failed]
        bounded = sum(one.bound is not None for one in self.numbers)
        lines.append(f"- {bounded - len(self.missed)} of {bounded} bounds kept")
        lines += [
            f"- MISSED: {one.section}: {one.name}: {text_of(one.value, one.unit)}, bound "
            f"{text_of(one.bound, one.unit)}"
            for one in self.missed
        ]
        return "\n".join(lines) + "\n"


def row(cells):
    return "| " + " | ".join(str(one).replace("|", "\\|") for one in cells) + " |"
