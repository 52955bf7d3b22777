# SPDX-License-Identifier: Apache-2.0
"""The exposition reader: what it must refuse, with the line, and what it must take."""

import math
import unittest

from ..exposition import ExpositionError, parse

GAUGE = "# HELP a_b help\n# TYPE a_b gauge\n"

WRONG_TEXT = [
    ("no line feed at the end", GAUGE + "a_b 1", 3),
    ("no HELP", "# TYPE a gauge\na 1\n", 1),
    ("no TYPE", "# HELP a x\na 1\n", 1),
    ("sample before metadata", "a 1\n# HELP a x\n# TYPE a gauge\n", 1),
    ("second HELP", "# HELP a x\n# HELP a y\n# TYPE a gauge\na 1\n", 2),
    ("second TYPE", "# HELP a x\n# TYPE a gauge\n# TYPE a gauge\na 1\n", 3),
    ("metadata after samples", GAUGE + "a_b 1\n# HELP a_b help\n", 4),
    (
        "family in two places",
        GAUGE + "a_b 1\n# HELP c x\n# TYPE c gauge\nc 1\n# HELP a_b help\n",
        7,
    ),
    (
        "sample away from its family",
        GAUGE + 'a_b 1\n# HELP c x\n# TYPE c gauge\nc 1\na_b{x="1"} 1\n',
        7,
    ),
    ("same series twice", GAUGE + 'a_b{x="1",y="2"} 1\na_b{y="2",x="1"} 1\n', 4),
    ("label twice", GAUGE + 'a_b{x="1",x="2"} 1\n', 3),
    ("bad label name", GAUGE + 'a_b{0x="1"} 1\n', 3),
    ("bad escape", GAUGE + 'a_b{x="\\t"} 1\n', 3),
    ("label not closed", GAUGE + 'a_b{x="1} 1\n', 3),
    ("no comma between labels", GAUGE + 'a_b{x="1"y="2"} 1\n', 3),
    ("bad value", GAUGE + "a_b 1,5\n", 3),
    ("hexadecimal value", GAUGE + "a_b 0x10\n", 3),
    ("underscore in value", GAUGE + "a_b 1_000\n", 3),
    ("no value", GAUGE + "a_b\n", 3),
    ("two spaces", GAUGE + "a_b  1\n", 3),
    ("carriage return", GAUGE + "a_b 1\r\n", 3),
    ("unknown type", "# HELP a x\n# TYPE a number\na 1\n", 2),
    ("OpenMetrics type", "# HELP a x\n# TYPE a unknown\na 1\n", 2),
    ("negative counter", "# HELP a x\n# TYPE a counter\na -1\n", 3),
    ("HELP without space", "#HELP a x\n#TYPE a gauge\na 1\n", 1),
    ("bad escape in HELP", '# HELP a x\\"\n# TYPE a gauge\na 1\n', 1),
    ("fraction in timestamp", GAUGE + "a_b 1 12.5\n", 3),
    ("exemplar", '# HELP a x\n# TYPE a counter\na 1 # {id="1"} 1\n', 3),
    (
        "histogram without +Inf",
        '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_sum 1\nh_count 1\n',
        3,
    ),
    (
        "falling buckets",
        '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\n'
        "h_count 1\n",
        4,
    ),
    (
        "count unlike +Inf",
        '# HELP h x\n# TYPE h histogram\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 2\n',
        3,
    ),
    ("suffix of a gauge", GAUGE + "a_b_total 1\n", 3),
]

COUNTER = "# HELP a x\n# TYPE a counter\n"
WRONG_OPENMETRICS = [
    ("no EOF", GAUGE + "a_b 1\n", 3),
    ("text after EOF", GAUGE + 'a_b 1\n# EOF\na_b{x="1"} 1\n', 5),
    ("EOF in between", GAUGE + "# EOF\na_b 1\n# EOF\n", 3),
    ("counter without _total", COUNTER + "a 1\n# EOF\n", 3),
    ("family named _total", "# HELP a_total x\n# TYPE a_total counter\na_total 1\n# EOF\n", 3),
    ("NaN counter", COUNTER + "a_total NaN\n# EOF\n", 3),
    ("untyped", "# HELP a x\n# TYPE a untyped\na 1\n# EOF\n", 2),
    ("empty line", GAUGE + "\na_b 1\n# EOF\n", 3),
    ("plain comment", "# a comment\n" + GAUGE + "a_b 1\n# EOF\n", 1),
    ("unit not in the name", "# HELP a x\n# TYPE a gauge\n# UNIT a seconds\na 1\n# EOF\n", 3),
    ("comma after the last label", GAUGE + 'a_b{x="1",} 1\n# EOF\n', 3),
    ("info that is not 1", "# HELP a x\n# TYPE a info\na_info 2\n# EOF\n", 3),
    ("stateset without its label", '# HELP a x\n# TYPE a stateset\na{b="x"} 1\n# EOF\n', 3),
    (
        "name in two families",
        COUNTER + 'a_total 1\n# HELP a_total x\n# TYPE a_total gauge\na_total{x="1"} 1\n# EOF\n',
        6,
    ),
]


class Refused(unittest.TestCase):
    def check(self, cases, openmetrics):
        for name, text, line in cases:
            with self.subTest(name):
                with self.assertRaises(ExpositionError) as caught:
                    parse(text, openmetrics)
                self.assertEqual(caught.exception.line, line, caught.exception)

    def test_text(self):
        self.check(WRONG_TEXT, openmetrics=False)

    def test_openmetrics(self):
        self.check(WRONG_OPENMETRICS, openmetrics=True)

    def test_not_utf8(self):
        with self.assertRaisesRegex(ExpositionError, "line 3: not UTF-8"):
            parse(GAUGE.encode() + b'a_b{x="\xff"} 1\n')


class Taken(unittest.TestCase):
    def test_escapes_are_undone(self):
        samples = parse(GAUGE + 'a_b{x="a\\\\b\\"c\\nd,}e{",y=""} 1\n')
        self.assertEqual(
            dict(samples), {("a_b", frozenset({("x", 'a\\b"c\nd,}e{'), ("y", "")})): 1.0}
        )

    def test_help_is_unescaped(self):
        self.assertEqual(
            parse('# HELP a one\\ntwo \\\\ "\n# TYPE a gauge\n').families["a"].help, 'one\ntwo \\ "'
        )

    def test_values(self):
        samples = parse(
            GAUGE
            + "".join(
                f'a_b{{x="{text}"}} {text}\n'
                for text in ("1", "-1", "+1", "1.5", "1e3", "1E-3", ".5", "+Inf", "-Inf", "NaN")
            )
        )
        self.assertEqual(samples.value("a_b", x="1e3"), 1000)
        self.assertEqual(samples.value("a_b", x="-Inf"), -math.inf)
        self.assertTrue(math.isnan(samples.value("a_b", x="NaN")))
        self.assertIsNone(samples.value("a_b", x="none"))
        self.assertIsNone(samples.total("other"))

    def test_text_comments_empty_lines_and_timestamps(self):
        self.assertEqual(parse("# comment\n\n" + GAUGE + "a_b 1 1700000000000\n").value("a_b"), 1)

    def test_histograms_in_both_formats(self):
        text = (
            '# HELP h x\n# TYPE h histogram\nh_bucket{p="1",le="0.1"} 1\n'
            'h_bucket{p="1",le="+Inf"} 2\n'
            'h_sum{p="1"} 1.5\nh_count{p="1"} 2\n'
        )
        self.assertEqual(parse(text), parse(text + "# EOF\n", openmetrics=True))

    def test_openmetrics(self):
        text = (
            '# TYPE a counter\n# UNIT a \n# HELP a x\na_total{x="1"} 1 # {id="7"} 0.5 1.5\n'
            'a_created{x="1"} 1.5\n'
            "# TYPE b unknown\n# HELP b \nb_without_total 1\n# EOF"
        )
        with self.assertRaises(ExpositionError):
            parse(text, openmetrics=True)
        samples = parse(text.replace("b_without_total", "b"), openmetrics=True)
        self.assertEqual(samples.value("a_total"), 1)
        self.assertEqual(samples.families["b"].type, "unknown")
