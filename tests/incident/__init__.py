# SPDX-License-Identifier: Apache-2.0
"""The incident, replayed on real servers."""
