# SPDX-License-Identifier: Apache-2.0
"""Tests of the lab itself: tests/lab/run selftest. What cannot run here is skipped by name."""
