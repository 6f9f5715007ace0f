"""A group, as people and programs see it."""

from __future__ import annotations

from typing import Any, Final

from rich.text import Text

from parlour.cli.output import Output
from parlour.cli.safe_text import one_line
from parlour.client.client import Client
from parlour.client.groups import KINDS, SUITES, Member
from parlour.conversation.groups.records import Acceptance, GroupState
from parlour.conversation.groups.view import GroupView, LinkView
from parlour.conversation.policies import MAX_LEAVES
from parlour.errors import NotFoundError
from parlour.roster import Kind, Role

# So many people at the founding, and there may soon be hundreds.
_MANY: Final = 50
_KINDS: Final = {kind: name for name, kind in KINDS.items()}
_SUITES: Final = {int(suite): name for name, suite in SUITES.items()}
_STATES: Final = {
    GroupState.FOUNDING: "is being made",
    GroupState.JOINING: "is being joined",
    GroupState.REPAIRING: "this device finds its way back",
    GroupState.LEFT: "you are not in it any more",
}


def counted(number: int, what: str) -> str:
    """``1 device``, ``2 devices``; of people, ``1 person`` and ``2 people``."""
    if what == "person":
        return f"{number} {'person' if number == 1 else 'people'}"
    return f"{number} {what}{'' if number == 1 else 's'}"


def kind_of(group: GroupView) -> str:
    """What kind of group it is, by the name that `create` takes."""
    return _KINDS.get(group.genesis.kind, group.genesis.kind.name.lower())


def suite_of(group: GroupView) -> str:
    """Its suite, by the name that `create` takes."""
    return _SUITES.get(group.genesis.suite, f"{group.genesis.suite:#06x}")


def room_of(group: GroupView) -> str:
    """How many devices are in it, and how many can be."""
    return f"{counted(group.leaves, 'device')} of at most {group.max_leaves:,}"


def standing(group: GroupView) -> str:
    """Where this device stands in it, where that needs words."""
    if group.acceptance is Acceptance.INVITED:
        return "you were added: parlour group accept, or decline"
    if group.acceptance is Acceptance.DECLINED:
        return _STATES[GroupState.LEFT]
    if group.state is GroupState.ACTIVE and group.unconfirmed:
        return "no member has confirmed yet that it is theirs"
    return _STATES.get(group.state, "")


def document(client: Client, group: GroupView) -> dict[str, Any]:
    """A group as JSON, with its members."""
    return {
        "group": group.id.hex(),
        "name": group.name or None,
        "label": client.groups.label(group.id),
        "kind": kind_of(group),
        "suite": suite_of(group),
        "state": group.state.value,
        "acceptance": group.acceptance.value,
        "role": None if group.role is None else group.role.name.lower(),
        "generation": group.generation,
        "epoch": group.epoch,
        "devices": group.leaves,
        "max_devices": group.max_leaves,
        "members": [member_document(each) for each in client.groups.members(group.id)],
        "links": [link_document(each) for each in group.links],
        "awaited": list(client.groups.awaited(group.id)),
        "wanted": [want.value for want in group.wanted],
        "trouble": group.trouble or None,
        "confirmed": not group.unconfirmed,
    }


def member_document(member: Member) -> dict[str, Any]:
    """A member as JSON."""
    return {
        "name": member.name,
        "account_id": member.account_id.hex(),
        "role": member.role.name.lower(),
        "devices": member.devices,
        "verification": member.verification.value,
        "mine": member.mine,
    }


def link_document(link: LinkView) -> dict[str, Any]:
    """An open link as JSON; the link itself is not kept."""
    return {
        "link_id": link.link_id.hex(),
        "role": link.role.name.lower(),
        "uses_left": link.uses,
        "expires_at": link.expires_at,
    }


def row(client: Client, group: GroupView) -> Text:
    """A group in a list."""
    text = Text(one_line(client.groups.label(group.id)), style="bold")
    if group.members:
        people, devices = counted(len(group.members), "person"), counted(group.leaves, "device")
        text.append(f"  {kind_of(group)}, {people}, {devices}", style="dim")
    if group.role is not None and group.role is not Role.MEMBER:
        text.append(f"  you are {group.role.name.lower()}", style="dim")
    if words := standing(group):
        text.append(f"  {words}", style="yellow")
    return text


def note_room(group: GroupView, people: int, output: Output) -> None:
    """Tell who has founded a group for many, if its suite has no room for as many as may come.

    Two devices each are counted. A family needs no advice about its four hundredth member.
    """
    is_large = group.genesis.kind is Kind.CHANNEL or len(group.members) >= _MANY
    if is_large and people > group.max_leaves // 2:
        output.note(
            f"{suite_of(group)} has room for {group.max_leaves:,} devices, some "
            f"{group.max_leaves // 2:,} people with two each, and a group keeps its suite. If more "
            f"are to come one day, found it with --suite mls ({MAX_LEAVES:,} devices)."
        )


def note_awaited(client: Client, group: GroupView, output: Output) -> None:
    """Tell who could not be added yet."""
    for name in client.groups.awaited(group.id):
        output.note(
            f"{one_line(name)} comes in by itself later: none of their devices has been online yet."
        )


async def known_group(client: Client, name: str) -> GroupView:
    """The group of that name; where this device does not know of it, the server may."""
    try:
        return client.groups.get(name)
    except NotFoundError:
        await client.caught_up()
        return client.groups.get(name)
