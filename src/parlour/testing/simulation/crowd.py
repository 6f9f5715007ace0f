"""Many who come into one group at the same moment, while others speak, commit and go offline."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Final

from parlour.roster.links import JoinLink
from parlour.roster.roles import Role
from parlour.testing.simulation.actions import Action, Arguments
from parlour.testing.simulation.groups import adding, coming, in_group, open_link, refresh, tell
from parlour.testing.simulation.node import Node
from parlour.testing.simulation.world import World

_LEAST: Final = 5
# Seconds until a crowd has key packages, or its link is open.
_PATIENCE: Final = 120


def _choose(world: World, chance: random.Random) -> Arguments | None:
    """Who leads a group and is connected, and who comes."""
    if len(world.crowd) < _LEAST or world.forked is not None:
        return None
    if not world.server.up or world.server.readers.stale is not None:
        return None
    leader = in_group(Role.ADMIN)(world, chance)
    if leader is None or not world.nodes[str(leader[0])].online:
        return None
    return [*leader, *world.crowd[: chance.randint(_LEAST, len(world.crowd))]]


def _admitted(world: World, names: Sequence[str]) -> list[Node]:
    # Whoever runs a server makes room before that.
    world.server.fill(full=False)
    return [world.admit(name) for name in names if name in world.crowd]


def _is_possible(world: World, label: str, group: str) -> bool:
    return label in world.nodes and group in world.chronicle.names and world.forked is None


def _bring(world: World, label: str, group: str, *names: str) -> None:
    """Somebody brings all of them in, by one batch."""
    if _is_possible(world, label, group):
        world.nodes[label].do(_bringing(world, world.nodes[label], group, _admitted(world, names)))


async def _bringing(world: World, node: Node, group: str, crowd: Sequence[Node]) -> None:
    for _ in range(_PATIENCE):
        if all(each.ready and each.engine.machine.can_be_added for each in crowd):
            break
        await asyncio.sleep(1)
    _disturb(world, group, {node.label, *(each.label for each in crowd)})
    names = [each.name for each in crowd]
    await adding(world, node, world.chronicle.names[group], names, by="crowd_added")


def _invite(world: World, label: str, group: str, *names: str) -> None:
    """Somebody opens a link, by which all of them come at the same moment."""
    if not _is_possible(world, label, group):
        return
    links = world.chronicle.links[group]
    number = len(links)
    open_link(world, label, group, uses=len(names))
    _disturb(world, group, {label})
    for each in _admitted(world, names):
        each.process.spawn(_coming(world, each, group, number))


async def _coming(world: World, node: Node, group: str, number: int) -> None:
    """Come once the device is there and the link is open: at the same moment as the others."""
    links, group_id = world.chronicle.links[group], world.chronicle.names[group]
    for _ in range(_PATIENCE):
        await asyncio.sleep(1)
        link = JoinLink.from_text(links[number]) if len(links) > number else None
        if node.online and link is not None and world.chronicle.is_open(group_id, link.link_id):
            node.do(coming(world, node, link, "crowd_comes"))
            return


def _disturb(world: World, group: str, but: set[str]) -> None:
    """Of those who are in it already, one speaks, one renews its keys, and one goes offline."""
    group_id = world.chronicle.names[group]
    inside = [
        node
        for node in world.present()
        if node.ready and node.label not in but and group_id in node.engine.machine.group_names
    ]
    for node, deed in zip(inside, _DEEDS, strict=False):
        deed(world, node.label, group)


def _switch_off(world: World, label: str, _group: str) -> None:
    world.nodes[label].kill()


_DEEDS: Final[tuple[Callable[[World, str, str], None], ...]] = (tell, refresh, _switch_off)

CROWD: Final = [
    Action("crowd_added", 30, _choose, _bring, later=True),
    Action("crowd_comes", 30, _choose, _invite, later=True),
]
