"""What a server does that lies. Of each lie something has to be told, or it has harmed nobody."""

from __future__ import annotations

from typing import Final

from parlour.testing.simulation.actions import Action
from parlour.testing.simulation.trouble import begin_meddling, meddle, when
from parlour.testing.simulation.world import World

# What a device, or its sender, is told of a lie: one of these.
_GROUP: Final = frozenset({"group.repairing", "group.commit_refused", "group.forked"})
NAMES: Final[dict[str, frozenset[str]]] = {
    "tamper": frozenset({"message.unreadable", "history.mismatch", "server.misbehaved"}) | _GROUP,
    "strip": frozenset({"message.unreadable", "history.mismatch"}) | _GROUP,
    "replay": frozenset(
        {"message.unreadable", "history.mismatch", "server.misbehaved", "message.skipped"}
    )
    | _GROUP,
    "swap": frozenset(
        {"message.unreadable", "history.mismatch", "server.misbehaved", "message.skipped"}
    )
    | _GROUP,
    "wrong_tree": frozenset({"server.misbehaved", "group.refused"}) | _GROUP,
    "old_state": frozenset({"server.misbehaved", "group.refused"}) | _GROUP,
    "withhold": frozenset({"device_list.rollback", "device_list.invalid", "server.misbehaved"}),
    "count_up": frozenset(
        {"message.skipped", "message.missing", "server.misbehaved", "history.mismatch"}
    ),
    "misnumber": frozenset({"history.mismatch", "server.misbehaved"}),
    "shorten": frozenset({"device_list.rollback", "device_list.invalid", "server.misbehaved"}),
    "fork": frozenset(
        {"history.mismatch", "server.misbehaved", "message.missing", "message.skipped"}
    )
    | _GROUP,
}


def _may_fork(world: World) -> bool:
    return world.forked is None and world.server.up and world.server.readers.stale is None


def _fork(world: World) -> None:
    if _may_fork(world):
        world.fork()


def _merge(world: World) -> None:
    world.merge()


GROUP_LIES: Final = [
    Action("wrong_tree", 6, meddle("wrong_tree"), begin_meddling, lie=True, later=True),
    Action("old_state", 6, meddle("old_state"), begin_meddling, lie=True, later=True),
]
LIES: Final = [
    Action("tamper", 4, meddle("tamper"), begin_meddling, lie=True, later=True),
    Action("strip", 4, meddle("strip"), begin_meddling, lie=True, later=True),
    Action("count_up", 3, meddle("count_up"), begin_meddling, lie=True, later=True),
    Action("misnumber", 3, meddle("misnumber"), begin_meddling, lie=True, later=True),
    Action("shorten", 5, meddle("shorten"), begin_meddling, lie=True, later=True),
    Action("replay", 3, meddle("replay"), begin_meddling, lie=True, later=True),
    Action("swap", 4, meddle("swap"), begin_meddling, lie=True, later=True),
    Action("withhold", 5, meddle("withhold"), begin_meddling, lie=True, later=True),
    Action("fork", 3, when(_may_fork), _fork, lie=True, later=True),
    Action("merge", 25, when(lambda world: world.forked is not None), _merge, lie=True),
]
