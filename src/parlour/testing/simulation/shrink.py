"""Make a program that fails shorter, as long as it still fails: delta debugging over its steps.

Spec: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002 (ddmin).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from parlour.testing.simulation.program import Step
from parlour.testing.simulation.run import Run, run
from parlour.testing.simulation.world import World

_HALVES: Final = 2

Fails = Callable[[Sequence[Step]], bool]


class Written:
    """A program that is there already."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = list(steps)

    def steps(self, _world: World) -> Iterator[Step]:
        """Its steps, whatever the world is like."""
        return iter(self._steps)


def again(seed: int, kind: str, steps: Sequence[Step], *, show: bool = False) -> Run:
    """Run these steps in the world of a seed."""
    return run(seed, kind, len(steps), Written(steps), show=show)


def shrink(steps: Sequence[Step], fails: Fails) -> list[Step]:
    """The steps without those that the failure does not need, one chunk after the other."""
    left, chunks = list(steps), _HALVES
    while len(left) > 1:
        size = -(-len(left) // chunks)
        for first in range(0, len(left), size):
            shorter = left[:first] + left[first + size :]
            if fails(shorter):
                left, chunks = shorter, max(chunks - 1, _HALVES)
                break
        else:
            if size == 1:
                break
            chunks = min(2 * chunks, len(left))
    return left


def write(path: Path, seed: int, kind: str, steps: Sequence[Step]) -> None:
    """Write a program to a file."""
    lines = [json.dumps(step.as_list()) for step in steps]
    body = ",\n    ".join(lines)
    path.write_text(f'{{"seed": {seed}, "kind": "{kind}", "steps": [\n    {body}\n]}}\n', "utf-8")


def read(path: Path) -> tuple[int, str, list[Step]]:
    """Read what `write` wrote: seed, kind and steps."""
    document = json.loads(path.read_text("utf-8"))
    steps = [Step.of_list(items) for items in document["steps"]]
    return document["seed"], document["kind"], steps
