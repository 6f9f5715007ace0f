"""What people do in groups: found them, come and go, rename them, and speak."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from parlour.conversation.groups.records import Want
from parlour.conversation.groups.view import GroupView
from parlour.conversation.machine import Machine
from parlour.conversation.policies import SUITE_1, XWING
from parlour.roster.genesis import Kind
from parlour.roster.links import JoinLink
from parlour.roster.roles import Role
from parlour.testing.randomness import seeded
from parlour.testing.simulation import population
from parlour.testing.simulation.actions import Action, Arguments, Choose, of_one
from parlour.testing.simulation.chronicle import Wish
from parlour.testing.simulation.node import Node
from parlour.testing.simulation.server import NAME
from parlour.testing.simulation.world import World

MAX_GROUPS: Final = 4
_MOST_AT_ONCE: Final = 6
_LINK_MS: Final = 30 * 24 * 3_600_000
_USES: Final = 3
_DAYS: Final = 4
_KINDS: Final = (Kind.GROUP, Kind.GROUP, Kind.FAMILY, Kind.CHANNEL)
_SUITES: Final = (SUITE_1, SUITE_1, SUITE_1, XWING)
_ROLES: Final = (Role.MEMBER, Role.MODERATOR, Role.ADMIN, Role.OWNER)

Deed = Callable[[Machine, bytes, int], Wish | None]


def _views(node: Node) -> list[tuple[str, GroupView]]:
    """The groups that a device is in, with their names in programs."""
    machine = node.engine.machine
    over = machine.group_names
    return [
        (name, machine.group(group))
        for name, group in node.world.chronicle.names.items()
        if group in over and not over[group].is_over
    ]


def in_group(least: Role = Role.MEMBER) -> Choose:
    """Choose a device that is on, and a group in which its account has such a role."""

    def choose(world: World, chance: random.Random) -> Arguments | None:
        nodes = [node for node in world.present() if node.ready]
        chance.shuffle(nodes)
        for node in nodes:
            found = [name for name, view in _views(node) if (view.role or 0) >= least]
            if found:
                return [node.label, chance.choice(found)]
        return None

    return choose


def _with(choose: Choose, more: Callable[[World, random.Random, str], Arguments | None]) -> Choose:
    """Choose as `choose` does, and further arguments for that group."""

    def both(world: World, chance: random.Random) -> Arguments | None:
        chosen = choose(world, chance)
        if chosen is None:
            return None
        further = more(world, chance, str(chosen[1]))
        return None if further is None else [*chosen, *further]

    return both


def _names(accounts: frozenset[bytes] | set[bytes], world: World) -> list[str]:
    return [name for name in world.accounts() if population.account_id(name) in accounts]


def _members(world: World, group: str) -> list[str]:
    """The names of those on the newest roster."""
    rosters = world.chronicle.rosters[world.chronicle.names[group]]
    return _names(set(rosters[-1].members), world) if rosters else []


def _outside(world: World, chance: random.Random, group: str) -> Arguments | None:
    inside = _members(world, group)
    outside = [name for name in world.accounts() if name not in inside]
    return chance.sample(outside, chance.randint(1, len(outside))) if outside else None


def _inside(world: World, chance: random.Random, group: str) -> Arguments | None:
    inside = _members(world, group)
    return [chance.choice(inside)] if inside else None


def _do(world: World, label: str, group: str, deed: Deed) -> None:
    """Do something in a group, and remember what was wished."""
    node, group_id = world.nodes.get(label), world.chronicle.names.get(group)
    if node is not None and group_id is not None:
        node.do(_wish(world, node, group_id, deed))


async def _wish(world: World, node: Node, group: bytes, deed: Deed) -> None:
    if not node.engine.machine.has_group(group):
        return
    wish = await node.step(lambda machine, now: deed(machine, group, now))
    if wish is not None:
        world.chronicle.wish(wish)
        world.trace.note(node.label, "wished", wish.want.value)


def _wished(
    world: World,
    label: str,
    group: bytes,
    want: Want,
    *names: str,
    by: str,
    role: int = 0,
    link: bytes = b"",
) -> Wish:
    accounts = tuple(population.account_id(name) for name in names)
    chat = world.nodes[label].chats().get(group)
    seen = None if chat is None or chat.roster is None else chat.roster.state
    place = world.chronicle.place(group, seen)
    device_id = world.nodes[label].device_id
    return Wish(label, device_id, group, want, place, accounts, role, link, by)


# --- Founding ----------------------------------------------------------------------------


def _choose_founding(world: World, chance: random.Random) -> Arguments | None:
    if len(world.chronicle.names) >= MAX_GROUPS or world.forked is not None:
        return None
    chosen = of_one(lambda node: node.online)(world, chance)
    if chosen is None:
        return None
    own = world.nodes[str(chosen[0])].name
    others = [name for name in world.names if name != own]
    people = chance.sample(others, chance.randint(1, len(others)))
    name = f"g{len(world.chronicle.names) + 1}"
    return [*chosen, name, int(chance.choice(_KINDS)), chance.choice(_SUITES), *people]


def _choose_first(world: World, chance: random.Random) -> Arguments | None:
    return None if world.chronicle.names else _choose_founding(world, chance)


def _found(world: World, label: str, name: str, kind: int, suite: int, *people: str) -> None:
    node = world.nodes.get(label)
    if node is not None and name not in world.chronicle.names:
        node.do(_founding(world, node, name, Kind(kind), suite, people))


async def _founding(
    world: World, node: Node, name: str, kind: Kind, suite: int, people: tuple[str, ...]
) -> None:
    accounts = [await node.find(each) for each in people]
    group = await node.step(
        lambda machine, now: machine.create_group(kind, name, accounts, now, suite=suite)
    )
    world.chronicle.names.setdefault(name, group)
    world.chronicle.wish(_wished(world, node.label, group, Want.ADD, *people, by="found"))


# --- Speaking ----------------------------------------------------------------------------


def _burst(_world: World, chance: random.Random, _group: str) -> Arguments | None:
    return [chance.randint(2, _MOST_AT_ONCE)]


def tell(world: World, label: str, group: str, count: int = 1) -> None:
    """Say something in a group, or some things at once."""
    node, group_id = world.nodes.get(label), world.chronicle.names.get(group)
    if node is None or group_id is None:
        return
    for _ in range(count):
        node.do(node.tell(group_id, world.next_text(label)))


# --- Who is in it ------------------------------------------------------------------------


def _add(world: World, label: str, group: str, *names: str) -> None:
    node, group_id = world.nodes.get(label), world.chronicle.names.get(group)
    if node is not None and group_id is not None:
        node.do(adding(world, node, group_id, names))


async def adding(
    world: World, node: Node, group: bytes, names: Sequence[str], by: str = "add"
) -> None:
    """Look people up, and bring them in, all at once."""
    accounts = [await node.find(name) for name in names]

    def deed(machine: Machine, group: bytes, now: int) -> Wish:
        machine.group_add(group, accounts, now)
        return _wished(world, node.label, group, Want.ADD, *names, by=by)

    await _wish(world, node, group, deed)


def put_out(world: World, label: str, group: str, name: str, by: str = "put_out") -> None:
    """Put somebody out."""

    def deed(machine: Machine, group: bytes, now: int) -> Wish:
        machine.group_remove(group, [population.account_id(name)], now)
        return _wished(world, label, group, Want.REMOVE, name, by=by)

    _do(world, label, group, deed)


def _leave(world: World, label: str, group: str) -> None:
    def deed(machine: Machine, group: bytes, now: int) -> Wish:
        machine.group_leave(group, now)
        return _wished(world, label, group, Want.LEAVE, world.nodes[label].name, by="leave")

    _do(world, label, group, deed)


def _choose_role(world: World, chance: random.Random, group: str) -> Arguments | None:
    inside = _inside(world, chance, group)
    return None if inside is None else [*inside, int(chance.choice(_ROLES))]


def _set_role(world: World, label: str, group: str, name: str, role: int, by: str = "role") -> None:
    def deed(machine: Machine, group: bytes, now: int) -> Wish:
        machine.group_set_role(group, population.account_id(name), Role(role), now)
        return _wished(world, label, group, Want.ROLE, name, role=role, by=by)

    _do(world, label, group, deed)


def _rename(world: World, label: str, group: str) -> None:
    name = world.next_text(group)

    def deed(machine: Machine, group: bytes, now: int) -> None:
        machine.group_rename(group, name, now)

    _do(world, label, group, deed)


def refresh(world: World, label: str, group: str) -> None:
    """Renew a device's keys."""

    def deed(machine: Machine, group: bytes, now: int) -> None:
        machine.group_refresh(group, now)

    _do(world, label, group, deed)


# --- Links -------------------------------------------------------------------------------


def open_link(
    world: World, label: str, group: str, uses: int = _USES, by: str = "open_link"
) -> None:
    """Open a link, for so many people."""

    def deed(machine: Machine, group_id: bytes, now: int) -> Wish:
        number = len(world.chronicle.links[group])
        chance = seeded(f"{world.seed} {group} link {number}")
        founded = machine.group(group_id).genesis.hash()
        link = JoinLink.create(NAME, None, group_id, founded, chance)
        until = now + _LINK_MS
        machine.group_open_link(link, now, role=Role.MEMBER, uses=uses, expires_at=until)
        world.chronicle.links[group].append(link.to_text())
        return _wished(world, label, group_id, Want.OPEN_LINK, link=link.link_id, by=by)

    _do(world, label, group, deed)


def _choose_link(world: World, chance: random.Random, group: str) -> Arguments | None:
    links = world.chronicle.links[group]
    return [chance.randrange(len(links))] if links else None


def _close_link(world: World, label: str, group: str, number: int) -> None:
    def deed(machine: Machine, group_id: bytes, now: int) -> Wish:
        link = JoinLink.from_text(world.chronicle.links[group][number])
        machine.group_close_link(group_id, link.link_id, now)
        link_id = link.link_id
        return _wished(world, label, group_id, Want.CLOSE_LINK, link=link_id, by="close_link")

    if number < len(world.chronicle.links[group]):
        _do(world, label, group, deed)


def _choose_coming(world: World, chance: random.Random) -> Arguments | None:
    names = [name for name, links in world.chronicle.links.items() if links]
    chosen = of_one(lambda node: node.online)(world, chance)
    if not names or chosen is None:
        return None
    group = chance.choice(names)
    return [*chosen, group, chance.randrange(len(world.chronicle.links[group]))]


def _come(world: World, label: str, group: str, number: int) -> None:
    node = world.nodes.get(label)
    if node is not None and number < len(world.chronicle.links[group]):
        link = JoinLink.from_text(world.chronicle.links[group][number])
        node.do(coming(world, node, link, "come"))


async def coming(world: World, node: Node, link: JoinLink, by: str) -> None:
    """Come in by a link."""
    rosters = world.chronicle.rosters[link.stream]
    is_member = bool(rosters) and node.account_id in rosters[-1].members
    await node.step(lambda machine, now: machine.join_by_link(link, now))
    if not is_member:
        coming = _wished(world, node.label, link.stream, Want.ADD, node.name, by=by)
        world.chronicle.comings.append(replace(coming, place=max(len(rosters) - 1, 0)))


# --- At once -----------------------------------------------------------------------------


def _choose_race(world: World, chance: random.Random) -> Arguments | None:
    """Two devices that lead the same group."""
    first = in_group(Role.ADMIN)(world, chance)
    if first is None:
        return None
    group = str(first[1])
    others = [
        node.label
        for node in world.present()
        if node.ready and node.label != first[0] and group in dict(_views(node))
    ]
    if not others:
        return None
    return [*first, chance.choice(others), chance.choice(("rename", "refresh"))]


def _race(world: World, label: str, group: str, other: str, what: str) -> None:
    if label not in world.nodes or other not in world.nodes:
        return
    deed = _rename if what == "rename" else refresh
    deed(world, label, group)
    deed(world, other, group)


def _peers(world: World, chance: random.Random) -> Arguments | None:
    """Two people who lead the same group, and may do as much in it."""
    first = in_group(Role.ADMIN)(world, chance)
    if first is None:
        return None
    node, group = world.nodes[str(first[0])], str(first[1])
    role = node.engine.machine.group(world.chronicle.names[group]).role
    others = [
        each.label
        for each in world.present()
        if each.ready and each.name != node.name
        for name, view in _views(each)
        if name == group and view.role == role
    ]
    return [*first, chance.choice(others)] if others else None


def _duel(world: World, label: str, group: str, other: str) -> None:
    """Two put each other out, at the same moment."""
    if label in world.nodes and other in world.nodes:
        put_out(world, label, group, world.nodes[other].name, by="duel")
        put_out(world, other, group, world.nodes[label].name, by="duel")


def _choose_heir(world: World, chance: random.Random) -> Arguments | None:
    """Who leads a group, and somebody else who is in it."""
    first = in_group(Role.ADMIN)(world, chance)
    if first is None:
        return None
    node = world.nodes[str(first[0])]
    role = node.engine.machine.group(world.chronicle.names[str(first[1])]).role
    others = [name for name in _members(world, str(first[1])) if name != node.name]
    return [*first, chance.choice(others), int(role or Role.ADMIN)] if others else None


def _raise(world: World, label: str, group: str, name: str, role: int) -> None:
    """Give somebody as much to say as one has."""
    _set_role(world, label, group, name, role, by="raise")


def _choose_absence(world: World, chance: random.Random) -> Arguments | None:
    chosen = of_one(lambda node: node.on)(world, chance)
    return None if chosen is None else [*chosen, chance.randint(1, _DAYS)]


def _vanish(world: World, label: str, days: int) -> None:
    """A device is switched off, and days pass until the next step."""
    node = world.nodes.get(label)
    if node is not None:
        node.kill()
        world.days += days


_ADMIN: Final = in_group(Role.ADMIN)
_ANYBODY: Final = in_group()

GROUPS: Final = [
    Action("found_first", 3000, _choose_first, _found),
    Action("found", 10, _choose_founding, _found, later=True),
    Action("tell", 260, _ANYBODY, tell),
    Action("tell_much", 40, _with(_ANYBODY, _burst), tell),
    Action("add", 30, _with(_ADMIN, _outside), _add, later=True),
    Action("put_out", 12, _with(_ADMIN, _inside), put_out, later=True),
    Action("leave", 4, _ANYBODY, _leave, later=True),
    Action("role", 14, _with(_ADMIN, _choose_role), _set_role, later=True),
    Action("raise", 6, _choose_heir, _raise, later=True),
    Action("rename", 12, _ADMIN, _rename),
    Action("refresh", 12, _ANYBODY, refresh),
    Action("open_link", 6, _ADMIN, open_link, later=True),
    Action("close_link", 3, _with(_ADMIN, _choose_link), _close_link, later=True),
    Action("come", 10, _choose_coming, _come, later=True),
    Action("race", 10, _choose_race, _race),
    Action("duel", 8, _peers, _duel, later=True),
    Action("vanish", 2, _choose_absence, _vanish),
]
