# SPDX-License-Identifier: Apache-2.0
"""lagwatch on real servers, as a site runs it: tests/integration/run.py runs them all."""
