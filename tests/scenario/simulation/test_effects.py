"""Every action of the tables takes effect in some run: none is there for show.

These few seeds see all of it (`docs/simulation.md` has the figures of more); whoever changes the
tables may have to look for others.
"""

from collections import Counter

from parlour.testing.simulation.program import KINDS, actions_of
from parlour.testing.simulation.run import run

STEPS = 200
SEEDS = {
    "pairwise": (27, 30, 67, 85, 88),
    "groups": (11, 12, 21, 26, 33, 38, 63, 86, 91),
}
# How far many lists go is asked for together where more than eight are wanted at once.
NEVER = {"withhold"}


def test_every_action_takes_effect() -> None:
    effects: Counter[str] = Counter()
    for kind in KINDS:
        for seed in SEEDS[kind]:
            result = run(seed, kind, STEPS)
            assert result.problems == [], f"--seed {seed} --kind {kind} --steps {STEPS} --trace"
            assert result.effects.keys() <= actions_of(kind).keys()
            effects += Counter(result.effects)
    known = {name for kind in KINDS for name in actions_of(kind)}
    assert known - effects.keys() == NEVER
