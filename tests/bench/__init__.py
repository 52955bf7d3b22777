# SPDX-License-Identifier: Apache-2.0
"""What lagwatch costs, each number beside its peers' in the same run."""
