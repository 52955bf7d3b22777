# SPDX-License-Identifier: Apache-2.0
"""What the lab's own tests share."""

import unittest

from ..process import Lab, Unavailable


def or_skip(make):
    """make(), or a skip with the reason why it cannot be had."""
    try:
        return make()
    except Unavailable as error:
        raise unittest.SkipTest(str(error)) from None


def in_lab(test):
    """A lab that is closed behind the test."""
    lab = Lab()
    test.addCleanup(lab.close)
    return lab
