"""Short runs of many seeds: what is owed arrives once, in order, or there is a name for why not.

Whoever sees one fail runs the line that stands in the failure.
"""

import pytest

from parlour.testing.simulation.program import KINDS
from parlour.testing.simulation.run import run

SEEDS = 100
STEPS = 200


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_is_lost(seed: int) -> None:
    kind = KINDS[seed % len(KINDS)]
    result = run(seed, kind, STEPS)
    again = f"python -m parlour.testing.simulation --seed {seed} --kind {kind} --steps {STEPS}"
    assert result.problems == [], f"{again} --trace"
    assert (result.verdict.lost, result.verdict.unreadable_without_reason) == (0, 0)
    assert result.verdict.delivered > 0
