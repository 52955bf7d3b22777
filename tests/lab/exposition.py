# SPDX-License-Identifier: Apache-2.0
"""A strict reader of Prometheus text 0.0.4 and OpenMetrics 1.0, independent of what lagwatch is
written with.

parse() returns Samples: {(name, frozenset of (label, value)): value}, and raises ExpositionError
with the line number for text that a lenient reader might still take: a family without exactly one
HELP and one TYPE before its samples, a family in two places, the same series twice, a wrong
escape, value or suffix, a missing "# EOF"."""

import math
import re
from dataclasses import dataclass, field

TYPES = {"counter", "gauge", "histogram", "summary", "untyped"}
OPENMETRICS_TYPES = {
    "counter",
    "gauge",
    "histogram",
    "summary",
    "unknown",
    "info",
    "stateset",
    "gaugehistogram",
}
SUFFIXES = {
    "histogram": ("_bucket", "_sum", "_count"),
    "summary": ("", "_sum", "_count"),
}
OPENMETRICS_SUFFIXES = {
    "counter": ("_total", "_created"),
    "histogram": ("_bucket", "_sum", "_count", "_created"),
    "summary": ("", "_sum", "_count", "_created"),
    "gaugehistogram": ("_bucket", "_gsum", "_gcount"),
    "info": ("_info",),
}
ESCAPES = {"\\\\": "\\", "\\n": "\n", '\\"': '"'}

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABELS = r'\{((?:[^"{}]|"(?:[^"\\]|\\.)*")*)\}'
NUMBER = r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[Ii]nf|[Nn]a[Nn])"
METADATA = re.compile(rf"# (HELP|TYPE|UNIT) ({NAME})(?: (.*))?", re.DOTALL)
SAMPLE = re.compile(
    rf"({NAME})(?:{LABELS})? ({NUMBER})(?: (-?[\d.]+))?(?: # {LABELS} ({NUMBER})(?: [\d.]+)?)?",
    re.ASCII,
)
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(,|$)', re.ASCII)


class ExpositionError(ValueError):
    """The text is wrong; `line` counts from 1."""

    def __init__(self, line, message):
        super().__init__(f"line {line}: {message}")
        self.line = line


@dataclass
class Family:
    name: str
    line: int  # where it begins
    type: str | None = None
    help: str | None = None
    unit: str | None = None
    samples: list = field(default_factory=list)  # (line, name, labels as dict, value)


class Samples(dict):
    """{(name, frozenset(labels)): value}, with `families` by name and a few ways to ask. Absent
    is None, not 0."""

    def __init__(self):
        super().__init__()
        self.families = {}
        self._by_name = {}  # name -> [(labels as dict, value)]

    def add(self, name, labels, value):
        self[name, frozenset(labels.items())] = value
        self._by_name.setdefault(name, []).append((labels, value))

    def names(self):
        return set(self._by_name)

    def select(self, name, **labels):
        """[(labels as dict, value)] of all series of `name` with these labels (others may
        vary)."""
        return [
            (own, value)
            for own, value in self._by_name.get(name, ())
            if labels.items() <= own.items()
        ]

    def value(self, name, **labels):
        """The value of the one series that matches; None when there is none."""
        found = self.select(name, **labels)
        if len(found) > 1:
            raise KeyError(f"{name} {labels}: {len(found)} series")
        return found[0][1] if found else None

    def total(self, name, **labels):
        """The sum over all that match; None when there is none."""
        found = self.select(name, **labels)
        return sum(value for _, value in found) if found else None


def parse(data, openmetrics=False):
    """Reads a whole exposition (bytes or str)."""
    if isinstance(data, bytes):
        try:
            data = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ExpositionError(data.count(b"\n", 0, error.start) + 1, "not UTF-8") from None
    return _Reader(openmetrics).read(data)


class _Reader:
    def __init__(self, openmetrics):
        self.openmetrics = openmetrics
        self.samples = Samples()
        self.owners = {}  # sample name -> family it was seen in
        self.current = None
        self.line = 0

    def fail(self, message):
        raise ExpositionError(self.line, message)

    def read(self, text):
        lines = text.split("\n")
        if lines[-1] != "" and not (self.openmetrics and lines[-1] == "# EOF"):
            self.line = len(lines)
            self.fail("the text does not end with a line feed")
        if lines[-1] == "":
            lines.pop()
        if self.openmetrics and (not lines or lines.pop() != "# EOF"):
            self.line = len(lines) + 1
            self.fail('"# EOF" is not the last line')
        for self.line, line in enumerate(lines, 1):
            if line.startswith("#"):
                self.comment(line)
            elif line:
                self.sample(line)
            elif self.openmetrics:
                self.fail("empty line")
        self.close()
        return self.samples

    def comment(self, line):
        found = METADATA.fullmatch(line)
        if not found:
            if self.openmetrics or re.match(r"#\s*(HELP|TYPE|UNIT)\b", line):
                self.fail(f"not a metadata line: {line[:80]!r}")
            return
        kind, name, text = found.groups()
        if self.current is None or self.current.name != name:
            self.open(name)
        if self.current.samples:
            self.fail(f"{kind} of {name} after its samples")
        attribute = kind.lower()
        if getattr(self.current, attribute) is not None:
            self.fail(f"second {kind} of {name}")
        setattr(self.current, attribute, self.metadata(kind, name, text or ""))

    def metadata(self, kind, name, text):
        if kind == "TYPE" and text not in (OPENMETRICS_TYPES if self.openmetrics else TYPES):
            self.fail(f"unknown type {text!r} of {name}")
        if kind == "UNIT" and text and not name.endswith("_" + text):
            self.fail(f"{name} does not end in its unit {text}")
        if kind == "HELP":
            return self.unescape(text, ESCAPES if self.openmetrics else {"\\\\": "\\", "\\n": "\n"})
        return text

    def unescape(self, text, known):
        def one(match):
            if match[0] not in known:
                self.fail(f"wrong escape {match[0]!r}")
            return known[match[0]]

        return re.sub(r"\\.?", one, text, flags=re.DOTALL) if "\\" in text else text

    def open(self, name):
        self.close()
        if name in self.samples.families:
            self.fail(f"family {name} again, first at line {self.samples.families[name].line}")
        self.current = self.samples.families[name] = Family(name, self.line)

    def suffixes(self, kind):
        table = OPENMETRICS_SUFFIXES if self.openmetrics else SUFFIXES
        return table.get(kind, ("",))

    def sample(self, line):
        found = SAMPLE.fullmatch(line)
        if not found:
            self.fail(f"not a sample: {line[:120]!r}")
        name, label_text, number, stamp, exemplar, _ = found.groups()
        labels = self.labels(label_text or "")
        value = float(number)
        family = self.current
        if family is None or name not in {family.name + one for one in self.suffixes(family.type)}:
            known = self.owners.get(name)
            self.fail(
                f"{name} is not of the family {family.name if family else '(none)'} it stands in"
                + (f"; first seen in {known}" if known else "")
            )
        if self.owners.setdefault(name, family.name) != family.name:
            self.fail(f"{name} is in two families: {self.owners[name]} and {family.name}")
        if stamp and not self.openmetrics and not re.fullmatch(r"-?\d+", stamp):
            self.fail(f"timestamp {stamp} is not in whole milliseconds")
        if exemplar is not None and not (self.openmetrics and name.endswith(("_total", "_bucket"))):
            self.fail(f"exemplar on {name}")
        if (name, frozenset(labels.items())) in self.samples:
            self.fail(f"series twice: {line[:160]}")
        self.check_value(name, family, labels, value)
        family.samples.append((self.line, name, labels, value))
        self.samples.add(name, labels, value)

    def labels(self, text):
        labels, at = {}, 0
        while at < len(text):
            found = LABEL.match(text, at)
            if not found:
                self.fail(f"wrong label at {text[at:at + 60]!r}")
            if found[1] in labels:
                self.fail(f"label {found[1]} twice")
            labels[found[1]] = self.unescape(found[2], ESCAPES)
            at = found.end()
        if self.openmetrics and text.endswith(","):
            self.fail("comma after the last label")
        return labels

    def check_value(self, name, family, labels, value):
        if family.type == "counter" and not name.endswith("_created"):
            if value < 0 or (self.openmetrics and math.isnan(value)):
                self.fail(f"counter {name} is {value}")
        if family.type == "info" and value != 1:
            self.fail(f"info {name} is {value}")
        if family.type == "stateset" and (value not in (0, 1) or family.name not in labels):
            self.fail(f"stateset {name} is {value}")
        if name == family.name + "_bucket" and "histogram" in (family.type or ""):
            if not re.fullmatch(NUMBER, labels.get("le", "")):
                self.fail(f"{name} without a numeric le")

    def close(self):
        family, self.current = self.current, None
        if family is None:
            return
        for kind in ("type", "help"):
            if getattr(family, kind) is None:
                raise ExpositionError(family.line, f"family {family.name} has no {kind.upper()}")
        if family.type == "histogram":
            self.check_histogram(family)

    def check_histogram(self, family):
        """Buckets rise in le and in count, the last is +Inf and equals _count; one label set at a
        time."""
        buckets, counts, order = {}, {}, []
        for line, name, labels, value in family.samples:
            key = frozenset(item for item in labels.items() if item[0] != "le")
            if not order or order[-1][0] != key:
                order.append((key, line))
            if name.endswith("_bucket"):
                buckets.setdefault(key, []).append((float(labels["le"]), value, line))
            elif name.endswith("_count"):
                counts[key] = value
        if len({key for key, _ in order}) != len(order):
            raise ExpositionError(order[-1][1], f"label sets of {family.name} are interleaved")
        for key, line in order:
            own = buckets.get(key, [])
            for (low, low_count, _), (high, high_count, at) in zip(own, own[1:]):
                if not low < high or low_count > high_count:
                    raise ExpositionError(at, f"buckets of {family.name} do not rise")
            if not own or own[-1][0] != math.inf or counts.get(key) != own[-1][1]:
                raise ExpositionError(line, f"{family.name}: no +Inf bucket equal to _count")
