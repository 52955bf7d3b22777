# SPDX-License-Identifier: Apache-2.0
"""The rules as the programs they are for read them."""

import subprocess
import unittest

from ..agent import SOURCE_DIRECTORY
from ..process import Unavailable
from ..prometheus import program

RULES = SOURCE_DIRECTORY / "rules"


class RuleFiles(unittest.TestCase):
    def run_tool(self, name, *arguments):
        try:
            binary = program(
                name, "prometheus" if name == "promtool" else "prometheus-alertmanager"
            )
        except Unavailable as error:
            self.skipTest(str(error))
        done = subprocess.run([binary, *arguments], check=False, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_rules_are_read(self):
        files = sorted(RULES.glob("*.rules.yml"))
        self.assertTrue(files)
        self.run_tool("promtool", "check", "rules", *files)

    def test_unit_tests_of_rules(self):
        files = sorted((RULES / "tests").glob("*_test.yml"))
        self.assertTrue(files)
        said = self.run_tool("promtool", "test", "rules", *files)
        self.assertEqual(said.count("SUCCESS"), len(files), said)

    def test_alertmanager_configuration_is_read(self):
        self.run_tool("amtool", "check-config", RULES / "alertmanager.yml")

    def test_runbooks_exist(self):
        for file in RULES.glob("*.rules.yml"):
            lines = file.read_text().splitlines()
            named = [one.rpartition("/")[2] for one in lines if "runbook_url:" in one]
            self.assertEqual(len(named), sum("- alert:" in one for one in lines))
            for name in named:
                self.assertTrue((RULES / "runbooks" / name).is_file(), name)
