# SPDX-License-Identifier: Apache-2.0
"""A small Rails-like site made of real servers, for the quickstart, the integration tests and the
benches."""
