# SPDX-License-Identifier: Apache-2.0
"""test_postgres_versions with the versions before 10, where a site's own functions show what only a
superuser may see; and whether each version of the lab has its tests."""

import unittest

from lab.pg_binaries import VERSIONS

from integration import test_postgres_versions
from integration.pg_support import WithCluster
from integration.test_postgres_versions import Version


class OldVersion(Version):
    """Before 9.6 a replication connection tells the cluster's identifier."""

    role_more = {"replication": True}
    settings = {"identify": True}


class Version9_3(OldVersion, WithCluster):
    version = "9.3"


class Version9_5(OldVersion, WithCluster):
    version = "9.5"


class Version9_6(Version, WithCluster):
    version = "9.6"


class EveryVersion(unittest.TestCase):
    def test_each_version_of_the_lab_has_its_tests(self):
        modules = (vars(test_postgres_versions), globals())
        found = {
            one.version
            for module in modules
            for one in module.values()
            if isinstance(one, type) and issubclass(one, Version) and hasattr(one, "version")
        }
        self.assertEqual(found, set(VERSIONS))
