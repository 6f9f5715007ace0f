"""What people do in conversations of two, and with their own devices."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Final

from parlour.conversation.machine import Machine
from parlour.identity.device_list import next_entry
from parlour.testing.simulation import population
from parlour.testing.simulation.actions import Action, Arguments, of_one
from parlour.testing.simulation.node import Node
from parlour.testing.simulation.world import World
from parlour.wire.directory import AppendDeviceList, DevicePrekeys
from parlour.wire.kinds import Kind
from parlour.wire.server import Nothing

MAX_DEVICES: Final = 4
_MOST_AT_ONCE: Final = 6
# A login does not let a clock pass that is further off, in milliseconds.
_GOOD_CLOCK: Final = 10 * 60_000
_SETTINGS: Final = ("theme", "language")


def _pair(world: World, chance: random.Random) -> Arguments | None:
    """A device that is on, and an account that is not its own."""
    chosen = of_one(lambda node: node.ready)(world, chance)
    if chosen is None:
        return None
    own = world.nodes[str(chosen[0])].name
    return [*chosen, chance.choice([name for name in world.names if name != own])]


def _burst(world: World, chance: random.Random) -> Arguments | None:
    chosen = _pair(world, chance)
    return None if chosen is None else [*chosen, chance.randint(2, _MOST_AT_ONCE)]


def say(world: World, label: str, name: str, count: int = 1) -> None:
    """Say something to an account, or some things at once."""
    node = world.nodes.get(label)
    if node is None or name not in world.names:
        return
    for _ in range(count):
        node.do(node.say(name, world.next_text(label)))


def _verify(world: World, label: str, name: str) -> None:
    node = world.nodes.get(label)
    if node is not None:
        node.do(_with_contact(node, name, Machine.verify))


async def _with_contact(node: Node, name: str, deed: object) -> None:
    contact = node.engine.machine.contact_named(name)
    if contact is not None:
        await node.step(lambda machine, now: deed(machine, contact.account_id, now))  # type: ignore[operator]
        node.world.effects["verify" if deed is Machine.verify else "read"] += 1


def _read(world: World, label: str, name: str) -> None:
    node = world.nodes.get(label)
    if node is not None:
        node.do(_with_contact(node, name, Machine.mark_all_read))


def _choose_setting(world: World, chance: random.Random) -> Arguments | None:
    chosen = of_one(lambda node: node.ready)(world, chance)
    return None if chosen is None else [*chosen, chance.choice(_SETTINGS), str(chance.random())]


def _set(world: World, label: str, key: str, value: str) -> None:
    node = world.nodes.get(label)
    if node is not None:
        node.do(node.step(lambda machine, now: machine.set_setting(key, value, now)))


def _choose_profile(world: World, chance: random.Random) -> Arguments | None:
    chosen = of_one(lambda node: node.ready)(world, chance)
    return None if chosen is None else [*chosen, f"status {chance.randint(0, 999)}"]


def _profile(world: World, label: str, status: str) -> None:
    node = world.nodes.get(label)
    if node is not None:
        node.do(node.step(lambda machine, _now: machine.set_profile(node.name, status)))


# --- Devices -----------------------------------------------------------------------------


def _may_link(node: Node) -> bool:
    world = node.world
    known = [each for each in world.nodes.values() if each.name == node.name]
    return (
        node.online
        and abs(node.offset) <= _GOOD_CLOCK
        and len(world.of_account(node.name)) < MAX_DEVICES
        and len(known) < population.DEVICES
        and world.forked is None
    )


def _link(world: World, label: str) -> None:
    node = world.nodes.get(label)
    if node is not None and _may_link(node):
        node.do(link(world, node))


async def link(world: World, node: Node) -> None:
    """Put a further device on the list, and switch it on with what this one hands it."""
    machine = await node.engine.current()
    number = sum(each.name == node.name for each in world.nodes.values()) + 1
    kit = population.kit(node.name, number)
    owner = population.member(node.name)
    seconds = node.clock() // 1000
    state = machine.contacts[owner.account_id].state
    listed = replace(kit.listed, added_at=seconds)
    entry = next_entry(state, owner.key, (*state.devices, listed), seconds)
    prekeys = [DevicePrekeys(kit.device_id, kit.uploaded)]
    world.list_changes += 1
    body = AppendDeviceList(entry=entry.encode(), prekeys=prekeys)
    # As the product does: what gets a number after the list is not in it, and is read.
    snapshot = machine.snapshot()
    await node.link.ask(Kind.APPEND_DEVICE_LIST, body, Nothing)
    records = owner.records(kit, entry, first=False, snapshot=snapshot)
    if kit.device_id in world.listed() and kit.label not in world.nodes:
        world.list_changes += 1
        world.log_in(kit)
        world.oracle.linked(kit.label, node.label)
        world.add(Node.made(world, node.name, kit, records))
        world.effects["link"] += 1


def _choose_removal(world: World, chance: random.Random) -> Arguments | None:
    if world.forked is not None:
        return None
    nodes = [node for node in world.present() if node.online]
    chance.shuffle(nodes)
    for node in nodes:
        others = [each for each in world.of_account(node.name) if each is not node]
        if others:
            return [node.label, chance.choice(others).label]
    return None


def _remove(world: World, label: str, other: str) -> None:
    node, leaving = world.nodes.get(label), world.nodes.get(other)
    if node is not None and leaving is not None and node.online and node is not leaving:
        node.do(remove(world, node, leaving))


async def remove(world: World, node: Node, leaving: Node) -> None:
    """Take another device of the account off its list."""
    machine = await node.engine.current()
    owner = population.member(node.name)
    state = machine.contacts[owner.account_id].state
    left = tuple(each for each in state.devices if each.device_id != leaving.device_id)
    if len(left) == len(state.devices) or not left:
        return
    entry = next_entry(state, owner.key, left, node.clock() // 1000)
    world.list_changes += 1
    await node.link.ask(Kind.APPEND_DEVICE_LIST, AppendDeviceList(entry=entry.encode()), Nothing)
    world.effects["remove"] += 1


# --- Copies ------------------------------------------------------------------------------


def _copy(world: World, label: str) -> None:
    """Somebody copies the home of a device."""
    node = world.nodes.get(label)
    if node is not None and not world.copies and world.forked is None:
        copy = Node(world, node.name, node.kit, node.disk.copy())
        copy.label = f"{label}'"
        world.copies.append((copy, node, world.times_up(node)))


def may_be_used(world: World, node: Node, times_up: int) -> bool:
    """Whether a copy is too old by now, whatever happens."""
    return world.times_up(node) >= times_up + 2


def _choose_copy(world: World, _chance: random.Random) -> Arguments | None:
    due = [copy for copy, node, times in world.copies if may_be_used(world, node, times)]
    return [due[0].label] if due and not due[0].on else None


def _use_copy(world: World, label: str) -> None:
    for copy, node, times in world.copies:
        if copy.label == label and may_be_used(world, node, times):
            copy.start()


TALK: Final = [
    Action("say", 300, _pair, say),
    Action("burst", 40, _burst, say),
    Action("read", 20, _pair, _read, later=True),
    Action("verify", 4, _pair, _verify, later=True),
    Action("set", 6, _choose_setting, _set),
    Action("profile", 4, _choose_profile, _profile),
    Action("link", 4, of_one(_may_link), _link, later=True),
    Action("remove", 3, _choose_removal, _remove, later=True),
    Action("copy", 3, of_one(lambda node: node.online), _copy),
    Action("use_copy", 20, _choose_copy, _use_copy, later=True),
]
