"""What happens to devices: they are switched off and killed, their lines and clocks are bad."""

from __future__ import annotations

import random
from typing import Final

from parlour.testing.simulation.actions import Action, Arguments, of_one, on_node
from parlour.testing.simulation.node import Node
from parlour.testing.simulation.wire import TARDY
from parlour.testing.simulation.world import World

_STEPS: Final = 40
_LOSS: Final = 5
_LEAST_APART: Final = 2
_HOUR: Final = 3_600_000
# Clocks differ by minutes; now and then one is set wrong by hours.
_CLOCKS: Final = (0, -60_000, 90_000, 8 * 60_000, -9 * 60_000, 3 * _HOUR, -5 * _HOUR)


def _choose_fuse(world: World, chance: random.Random) -> Arguments | None:
    chosen = of_one(lambda node: node.on)(world, chance)
    return None if chosen is None else [*chosen, chance.randint(1, _STEPS)]


def _arm(world: World, label: str, steps: int) -> None:
    node = world.nodes.get(label)
    if node is not None:
        node.process.arm(steps, "kill_at")


def _choose_clock(world: World, chance: random.Random) -> Arguments | None:
    chosen = of_one(lambda _node: True)(world, chance)
    return None if chosen is None else [*chosen, chance.choice(_CLOCKS)]


def _set_clock(world: World, label: str, offset: int) -> None:
    node = world.nodes.get(label)
    if node is not None:
        node.offset = offset
        if node.ready:
            node.engine.changed.notify()


def _unplug(node: Node) -> None:
    node.line.up = False
    node.cut()


def _lose(node: Node) -> None:
    node.line.loss = _LOSS / 100


def _delay(node: Node) -> None:
    node.line.delay = TARDY


def _stop_reading(node: Node) -> None:
    node.line.slow = True


def _is_bad(node: Node) -> bool:
    line = node.line
    return not line.up or line.hole or line.slow or bool(line.loss) or line.delay == TARDY


def _fill(node: Node) -> None:
    node.fill(full=True)


def _choose_parts(world: World, chance: random.Random) -> Arguments | None:
    """Two or more devices that are connected, but not all of them."""
    online = [node.label for node in world.present() if node.online]
    if world.parted or len(online) <= _LEAST_APART:
        return None
    return [*chance.sample(online, chance.randint(_LEAST_APART, len(online) - 1))]


def _part(world: World, *labels: str) -> None:
    """The network falls apart: some devices reach the server, and the others do not."""
    world.parted = [label for label in labels if label in world.nodes]
    for label in world.parted:
        _unplug(world.nodes[label])


def _join(world: World) -> None:
    """It is one network again: all that were cut off come back at the same moment."""
    parted, world.parted = world.parted, []
    for label in parted:
        world.nodes[label].line.up = True


def _restart(node: Node) -> None:
    node.kill()
    node.start()


LIFE: Final = [
    Action("restart", 20, of_one(lambda node: node.failure is not None), on_node(_restart)),
    Action("on", 60, of_one(lambda node: not node.on), on_node(Node.start)),
    Action("kill", 12, of_one(lambda node: node.on), on_node(Node.kill)),
    Action("kill_at", 20, _choose_fuse, _arm, later=True),
    Action("cut", 15, of_one(lambda node: node.online), on_node(Node.cut)),
    Action("unplug", 10, of_one(lambda node: node.line.up), on_node(_unplug), later=True),
    Action("hole", 8, of_one(lambda node: node.online), on_node(Node.fall_into_hole), later=True),
    Action("lose", 8, of_one(lambda node: node.online), on_node(_lose), later=True),
    Action("delay", 8, of_one(lambda node: node.online), on_node(_delay), later=True),
    Action("slow", 6, of_one(lambda node: node.online), on_node(_stop_reading), later=True),
    Action("part", 5, _choose_parts, _part),
    Action("join", 25, lambda world, _chance: [] if world.parted else None, _join),
    Action("heal", 40, of_one(_is_bad), on_node(lambda node: node.line.heal())),
    Action("clock", 8, _choose_clock, _set_clock),
    Action("full", 5, of_one(lambda node: node.on), on_node(_fill), later=True),
    Action("room", 20, of_one(lambda node: node.is_full), on_node(lambda n: n.fill(full=False))),
]
