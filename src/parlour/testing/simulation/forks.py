"""Two halves of the devices that are shown two histories, and whether that is noticed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from parlour.testing.simulation.agreement import orphans
from parlour.testing.simulation.chronicle import Epochs, groups_of

if TYPE_CHECKING:
    from parlour.testing.simulation.world import World

# What else says that something is no more as it was.
_NAMES: Final = frozenset({"group.restarted", "group.left", "server.restored"})


@dataclass(slots=True)
class Fork:
    """One time of that. `told` is how often which device was told what when it began.

    `followed` are devices, by label, with the groups of which they had seen something by its end
    that is gone since.
    """

    timeline: int
    half: frozenset[str]
    told: dict[str, Counter[str]]
    heads: dict[bytes, tuple[int, int, bytes]]
    followed: list[tuple[str, bytes]] = field(default_factory=list)


def begin(world: World, timeline: int, half: frozenset[str], epochs: Epochs) -> Fork:
    """Half of the devices are shown another side from now on."""
    told = {label: Counter(world.oracle.heard[label].names) for label in world.nodes}
    return Fork(timeline, half, told, dict(epochs.heads))


def end(world: World, fork: Fork, epochs: Epochs) -> None:
    """What was on the other side is gone; some have followed it."""
    ahead = {group: head for group, head in epochs.heads.items() if fork.heads.get(group) != head}
    for label in sorted(fork.half):
        node = world.nodes[label]
        chats = node.chats() if node.ready else {}
        for group in sorted(ahead.keys() & chats.keys()):
            chat, before = chats[group], fork.heads.get(group, (0, -1, b""))
            if chat.group is not None and (chat.record.generation, chat.epoch) > before[:2]:
                fork.followed.append((label, group))


def unnamed(world: World, names: frozenset[str]) -> list[str]:
    """What was shown to one half alone, and of which nobody was told by one of these `names`."""
    names |= _NAMES
    present = {node.label: node for node in world.present() if node.ready}
    groups, gone = groups_of(world.server.connection), orphans(world)
    found = []
    for fork in world.forks:
        for label, group in fork.followed:
            if label not in present or group not in groups or group in gone:
                continue
            members = groups[group].roster.members
            devices = {each.label for each in present.values() if each.account_id in members}
            if not _is_told(world, fork, devices | {label}, names):
                name = world.chronicle.name_of(group)
                found.append(f"nobody is told that {label} saw what is no more of {name}")
        found += _unnamed_messages(world, fork, set(present), names)
    return found


def _unnamed_messages(
    world: World, fork: Fork, present: set[str], names: frozenset[str]
) -> list[str]:
    labels = {node.device_id: node.label for node in world.nodes.values()}
    found = []
    for said in world.oracle.messages.values():
        entries = world.oracle.numbered.get(said.message_id, [])
        if not entries or any(entry.timeline != fork.timeline for entry in entries):
            continue
        owed = {labels.get(device, "") for device in entries[-1].owed} & present
        got = {label for label in owed if _has(world, label, said.message_id)}
        if owed - got - {said.label} and not _is_told(world, fork, owed | {said.label}, names):
            found.append(f"nobody is told that {said.text!r} was shown to one half alone")
    return found


def _has(world: World, label: str, message_id: bytes) -> bool:
    return any(key[2] == message_id for key in world.oracle.heard[label].delivered)


def _is_told(world: World, fork: Fork, labels: Iterable[str], names: frozenset[str]) -> bool:
    """Whether one of these devices was told of something since it began."""
    return any(
        world.oracle.heard[label].names[name] > fork.told.get(label, Counter())[name]
        for label in labels
        for name in names
    )
