"""Programs: what happens in a run, step by step, drawn from the tables or read from a file."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from parlour.testing.simulation.actions import Action, Argument
from parlour.testing.simulation.crowd import CROWD
from parlour.testing.simulation.groups import GROUPS
from parlour.testing.simulation.lies import GROUP_LIES, LIES
from parlour.testing.simulation.life import LIFE
from parlour.testing.simulation.talk import TALK
from parlour.testing.simulation.trouble import TROUBLE
from parlour.testing.simulation.world import World

TABLES: Final[dict[str, list[list[Action]]]] = {
    "pairwise": [TALK, LIFE, TROUBLE, LIES],
    "groups": [GROUPS, CROWD, TALK, LIFE, TROUBLE, LIES, GROUP_LIES],
}
"""The tables of each kind of run."""
KINDS: Final = tuple(TABLES)
# Of five seeds, each kind has some; every fourth server lies, of each kind.
_MIX: Final = ("pairwise", "groups", "pairwise", "groups", "pairwise")
_HONESTY: Final = 4
# Milliseconds between two steps: most follow at once, some after a while, a few after hours.
_PAUSES: Final = ((60, 0, 500), (28, 500, 10_000), (10, 10_000, 120_000), (2, 600_000, 14_400_000))


@dataclass(frozen=True, slots=True)
class Step:
    """One action with its arguments, and how long it is until the next (milliseconds)."""

    action: str
    arguments: list[Argument]
    pause: int

    def as_list(self) -> list[Argument]:
        """As it stands in a file."""
        return [self.pause, self.action, *self.arguments]

    @classmethod
    def of_list(cls, items: list[Argument]) -> Step:
        """Read what `as_list` wrote."""
        return cls(str(items[1]), items[2:], int(items[0]))

    def __str__(self) -> str:
        return " ".join(map(str, (self.action, *self.arguments)))


def actions_of(kind: str) -> dict[str, Action]:
    """All actions of a kind of run, by name."""
    return {action.name: action for table in TABLES[kind] for action in table}


def kind_of(seed: int) -> str:
    """Which kind of run a seed has."""
    return _MIX[seed % len(_MIX)]


def lies(seed: int) -> bool:
    """Whether the server of that seed may lie: every fourth."""
    return seed % _HONESTY == _HONESTY - 1


class Drawn:
    """Draws steps as a run goes on; the same seed and the same world, the same steps."""

    def __init__(self, seed: int, kind: str, count: int) -> None:
        self._random = random.Random(f"program {seed}")
        self._count = count
        self._actions = [
            action for action in actions_of(kind).values() if lies(seed) or not action.lie
        ]
        self._weights = [action.weight for action in self._actions]

    def steps(self, world: World) -> Iterator[Step]:
        """One step after the other; the world moves on in between."""
        for _ in range(self._count):
            yield self._next(world)

    def _next(self, world: World) -> Step:
        while True:
            (action,) = self._random.choices(self._actions, self._weights)
            arguments = action.choose(world, self._random)
            if arguments is not None:
                return Step(action.name, arguments, self._pause())

    def _pause(self) -> int:
        weights = [weight for weight, _, _ in _PAUSES]
        ((_, least, most),) = self._random.choices(_PAUSES, weights)
        return self._random.randint(least, most)
