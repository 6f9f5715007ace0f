"""What may happen in a step, as tables: each action has a weight, a choice and a deed.

`choose` looks at the world and gives the action's arguments, or None where it makes no sense now.
Arguments are words and numbers, so that a program can be written down, cut and run again; `act`
does nothing where they make no sense any more. To add actions, list them in a table of one's own
and name it in `TABLES`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from parlour.testing.simulation.node import Node
from parlour.testing.simulation.world import World

Argument: TypeAlias = str | int
Arguments: TypeAlias = list[Argument]
Choose: TypeAlias = Callable[[World, random.Random], Arguments | None]


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that may happen. `lie` where no honest server would let it happen.

    What it really does is counted in `World.effects`: when it is done, or with `later` by whoever
    sees that it has had an effect.
    """

    name: str
    weight: int
    choose: Choose
    act: Callable[..., None]
    lie: bool = False
    later: bool = False


def pick(chance: random.Random, nodes: Sequence[Node]) -> Node | None:
    """One of them, if there are any."""
    return chance.choice(nodes) if nodes else None


def of_one(which: Callable[[Node], bool]) -> Choose:
    """Choose a device that is on its list and of which something holds."""

    def choose(world: World, chance: random.Random) -> Arguments | None:
        node = pick(chance, [node for node in world.present() if which(node)])
        return None if node is None else [node.label]

    return choose


def always(_world: World, _chance: random.Random) -> Arguments:
    """No arguments, at any time."""
    return []


def on_node(deed: Callable[[Node], None]) -> Callable[[World, str], None]:
    """A deed of the device that the argument names."""

    def act(world: World, label: str) -> None:
        node = world.nodes.get(label)
        if node is not None:
            deed(node)

    return act
