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
_HOUR: Final = 3_600_000
# Clocks differ by minutes; now and then one is set wrong by hours.
_CLOCKS: Final = (0, -60_000, 90_000, 8 * 60_000, -9 * 60_000, 3 * _HOUR, -5 * _HOUR)


def _choose_fuse(world: World, chance: random.Random) -> Arguments | None:
    chosen = of_one(lambda node: node.on)(world, chance)
    return None if chosen is None else [*chosen, chance.randint(1, _STEPS)]


def _arm(world: World, label: str, steps: int) -> None:
    node = world.nodes.get(label)
    if node is not None:
        node.process.arm(steps)


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


def _restart(node: Node) -> None:
    node.kill()
    node.start()


LIFE: Final = [
    Action("restart", 20, of_one(lambda node: node.failure is not None), on_node(_restart)),
    Action("on", 60, of_one(lambda node: not node.on), on_node(Node.start)),
    Action("kill", 12, of_one(lambda node: node.on), on_node(Node.kill)),
    Action("kill_at", 20, _choose_fuse, _arm),
    Action("cut", 15, of_one(lambda node: node.online), on_node(Node.cut)),
    Action("unplug", 10, of_one(lambda node: node.line.up), on_node(_unplug)),
    Action("hole", 8, of_one(lambda node: node.online), on_node(Node.fall_into_hole)),
    Action("lose", 8, of_one(lambda node: node.online), on_node(_lose)),
    Action("delay", 8, of_one(lambda node: node.online), on_node(_delay)),
    Action("slow", 6, of_one(lambda node: node.online), on_node(_stop_reading)),
    Action("heal", 40, of_one(_is_bad), on_node(lambda node: node.line.heal())),
    Action("clock", 8, _choose_clock, _set_clock),
    Action("full", 5, of_one(lambda node: node.on), on_node(lambda node: node.fill(full=True))),
    Action("room", 20, of_one(lambda node: node.is_full), on_node(lambda n: n.fill(full=False))),
]
