"""What happens to a server that means no harm: it dies, forgets, mixes up and runs full."""

from __future__ import annotations

import random
from typing import Final

from parlour.testing.simulation.actions import Action, Arguments, Choose, always
from parlour.testing.simulation.meddling import Meddling
from parlour.testing.simulation.world import World

_STEPS: Final = 60
_SHARES: Final = (20, 50, 100)


def when(holds: object) -> Choose:
    """Choose without arguments, where something holds of the world."""
    return lambda world, _chance: [] if holds(world) else None  # type: ignore[operator]


def _choose_fuse(world: World, chance: random.Random) -> Arguments | None:
    return [chance.randint(1, _STEPS)] if world.server.up else None


def _arm(world: World, steps: int) -> None:
    world.server.process.arm(steps, "crash_at")


def _start(world: World) -> None:
    if not world.server.up:
        world.server.start()


def _go_stale(world: World) -> None:
    if world.forked is None:
        world.server.go_stale(world.server.backup())


def _may_restore(world: World) -> bool:
    backup = world.backup
    return (
        backup is not None
        and backup.list_changes == world.list_changes
        and world.forked is None
        and world.server.readers.stale is None
    )


def _restore(world: World) -> None:
    if _may_restore(world):
        world.restore()


def _take_backup(world: World) -> None:
    if world.forked is None:
        world.take_backup()


def meddle(name: str) -> Choose:
    """Choose whom a fault touches, and how much of theirs."""

    def choose(world: World, chance: random.Random) -> Arguments | None:
        if name in world.meddler.active:
            return None
        labels = sorted(node.label for node in world.present())
        touched = chance.sample(labels, chance.randint(1, len(labels)))
        return [name, chance.choice(_SHARES), *touched]

    return choose


def begin_meddling(world: World, name: str, share: int, *labels: str) -> None:
    """Begin a fault in what some devices are told."""
    devices = frozenset(world.nodes[label].device_id for label in labels if label in world.nodes)
    chance = random.Random(f"{world.seed} {name} {world.loop.time()}")
    world.meddler.begin(Meddling(name, share / 100, devices, chance))


def _choose_end(world: World, chance: random.Random) -> Arguments | None:
    active = sorted(world.meddler.active)
    return [chance.choice(active)] if active else None


def _end_meddling(world: World, name: str) -> None:
    world.meddler.end(name)


TROUBLE: Final = [
    Action("crash", 3, when(lambda world: world.server.up), lambda world: world.server.stop()),
    Action("crash_at", 8, _choose_fuse, _arm, later=True),
    Action("start", 60, when(lambda world: not world.server.up), _start),
    Action("stale", 4, when(lambda world: world.server.up), _go_stale, later=True),
    Action(
        "fresh",
        40,
        when(lambda world: world.server.readers.stale is not None),
        lambda world: world.server.go_stale(None),
    ),
    Action("backup", 4, always, _take_backup),
    Action("restore", 2, when(_may_restore), _restore),
    Action("disk_full", 3, always, lambda world: world.server.fill(full=True), later=True),
    Action("disk_room", 15, always, lambda world: world.server.fill(full=False)),
    Action("hide", 4, meddle("hide"), begin_meddling, later=True),
    Action("repeat", 4, meddle("repeat"), begin_meddling, later=True),
    Action("drop_pushes", 4, meddle("drop_pushes"), begin_meddling, later=True),
    Action("reorder", 6, meddle("reorder"), begin_meddling, later=True),
    Action("shuffle", 4, meddle("shuffle"), begin_meddling, later=True),
    Action("behave", 36, _choose_end, _end_meddling),
]
