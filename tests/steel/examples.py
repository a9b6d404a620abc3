"""How many random examples a fuzz test tries: some in the suite, thousands where they are asked for.

STEEL_EXAMPLES=5000 python -m pytest --timeout 0 tests/steel
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("STEEL_EXAMPLES", "25"))
few = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="STEEL_EXAMPLES" not in os.environ,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
"""Derandomised in the suite, so that a run of it is the same as the one before."""
