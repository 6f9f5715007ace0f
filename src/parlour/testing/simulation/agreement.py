"""Whether the members of every group agree, and have what they wished."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING

from parlour.conversation.groups.branches import BRANCH, rules
from parlour.conversation.groups.chat import Chat
from parlour.roster.roles import FIXED_KINDS
from parlour.testing.simulation.chronicle import GroupOnDisk, groups_of

if TYPE_CHECKING:
    from parlour.testing.simulation.node import Node
    from parlour.testing.simulation.world import World


def differences(world: World) -> list[str]:
    """What keeps the groups from being at rest: each device that is not where its group is."""
    present = [node for node in world.present() if node.ready]
    groups = groups_of(world.server.connection)
    found = []
    for group, on_disk in groups.items():
        found += _differences_in(world, group, on_disk, present)
    for node in present:
        for group, chat in node.chats().items():
            # What was founded since the backup is gone; its members are told of the restore.
            told = world.oracle.heard[node.label].names["server.restored"]
            if group not in groups and not chat.is_left and not told:
                found.append(f"{node.label} is {chat.record.state} in a group that is not there")
    return found


def _differences_in(
    world: World, group: bytes, on_disk: GroupOnDisk, present: list[Node]
) -> list[str]:
    name = world.chronicle.name_of(group)
    members = [node for node in present if node.account_id in on_disk.roster.members]
    found = []
    devices = {node.device_id for node in members}
    if is_orphaned(on_disk, devices) or is_parted(group, on_disk, present):
        return []
    if _is_abandoned(group, on_disk, members):
        return []
    if devices != on_disk.leaves:
        without = sorted(node.label for node in members if node.device_id not in on_disk.leaves)
        found.append(
            f"{name} has {len(on_disk.leaves)} leaves for {len(devices)} devices, "
            f"none for {without}"
        )
    seen = set()
    for node in members:
        chat = node.chats().get(group)
        state = _where(chat)
        if chat is None or state != f"active at {on_disk.generation}.{on_disk.epoch}":
            found.append(f"{node.label} is {state} in {name}, at {on_disk.epoch}")
        else:
            seen.add(chat.live().epoch_authenticator.reveal())
            if {owner.device_id for owner in chat.devices()} != on_disk.leaves:
                found.append(f"{node.label} sees other leaves in {name}")
    if len(seen) > 1:
        found.append(f"{name} is in {len(seen)} epochs of the number {on_disk.epoch}")
    for node in present:
        chat = node.chats().get(group)
        outside = node.account_id not in on_disk.roster.members
        if outside and chat is not None and not chat.is_left:
            found.append(f"{node.label} is {_where(chat)} in {name}, of which it is no member")
    return found


def settings_apart(world: World) -> list[str]:
    """Accounts whose devices have not told each other what was chosen on one of them."""
    found = []
    for name in world.names:
        nodes = [node for node in world.of_account(name) if node.ready]
        settings = {node.label: dict(node.engine.machine.settings) for node in nodes}
        if any(each != settings[nodes[0].label] for each in settings.values()):
            found.append(f"{name}'s devices have settings of their own: {settings}")
    return found


def orphans(world: World) -> set[bytes]:
    """The groups in which nobody can do anything any more: `is_orphaned`, or `is_parted`."""
    listed = world.listed()
    groups = groups_of(world.server.connection)
    present = [node for node in world.nodes.values() if node.device_id in listed and node.ready]
    return {
        group
        for group, on_disk in groups.items()
        if is_orphaned(on_disk, listed) or is_parted(group, on_disk, present)
    }


def is_orphaned(on_disk: GroupOnDisk, devices: Set[bytes]) -> bool:
    """Whether all that had its keys were taken off their lists: nobody can let anybody in.

    One of a fixed kind is begun again then.
    """
    is_fixed = on_disk.roster.kind in FIXED_KINDS
    return bool(on_disk.leaves) and not (is_fixed or on_disk.leaves & devices)


def is_parted(group: bytes, on_disk: GroupOnDisk, present: list[Node]) -> bool:
    """Whether the server went on another way than some of its people, and no admin is on both.

    They are told, and found the group anew (decision 0051).
    """
    beside = []
    for node in present:
        chat = node.chats().get(group)
        trouble = None if chat is None else chat.record.trouble
        if chat is not None and trouble is not None and trouble.reason == BRANCH:
            beside.append((chat.known_roster().state, node.account_id))
    return bool(beside) and not any(
        rules(state, account) and rules(on_disk.roster, account) for state, account in beside
    )


def _is_abandoned(group: bytes, on_disk: GroupOnDisk, members: list[Node]) -> bool:
    """Whether the last one in it has gone: nobody is left who would enter that."""
    chats = [node.chats().get(group) for node in members]
    left = all(chat is not None and chat.is_left for chat in chats)
    return len(on_disk.roster.members) == 1 and left


def _where(chat: Chat | None) -> str:
    """Where a device is in a group, in words."""
    if chat is None:
        return "nowhere"
    record = chat.record
    where = f"{record.state.value} at {record.generation}.{chat.epoch}"
    if record.trouble is not None:
        where += f", in trouble ({record.trouble.reason}, {record.trouble.step.value})"
    if record.pending is not None:
        where += f", with a {record.pending.what.value} under way"
    if chat.waiting:
        where += f", {len(chat.waiting)} waiting"
    return where


def unfulfilled(world: World) -> list[str]:
    """Wishes that are still open, or that were dropped without a word."""
    found = []
    nodes = {node.device_id: node for node in world.present() if node.ready}
    groups, gone = groups_of(world.server.connection), orphans(world)
    for node in nodes.values():
        machine = node.engine.machine
        for group in node.chats():
            known = groups.get(group)
            if known is None or group in gone:
                continue
            if machine.group(group).wanted:
                wanted = ", ".join(machine.group(group).wanted)
                found.append(
                    f"{node.label} still wants {wanted} in {world.chronicle.name_of(group)}"
                )
    for wish in world.chronicle.wishes:
        wisher = nodes.get(wish.device_id)
        if wisher is None or wish.group not in groups or wish.group in gone:
            continue
        if world.chronicle.came_true(wish) or world.chronicle.is_superseded(wish):
            continue
        heard = world.oracle.heard[wisher.label]
        if (wish.group, wish.want.value) in heard.refused:
            continue
        if wish.group in heard.left or heard.names["server.restored"]:
            continue
        found.append(
            f"{wish.label} wished {wish.want.value} in {world.chronicle.name_of(wish.group)}, "
            "which neither came true nor was refused"
        )
    return found
