"""``parlour group add``, ``remove``, ``role``, ``rename``, ``members``: who is in a group."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Literal, TypeAlias

from cyclopts import App
from rich.text import Text

from parlour.cli.group.described import counted, document, member_document, note_awaited
from parlour.cli.group.progress import progress
from parlour.cli.group.waiting import patient
from parlour.cli.options import HomeOptions
from parlour.cli.safe_text import one_line
from parlour.cli.shown import MARKS
from parlour.client.client import Client
from parlour.client.group_waiting import Progress
from parlour.client.groups import Member
from parlour.conversation.groups.view import GroupView
from parlour.errors import Code, UsageError
from parlour.roster import Role

RoleName: TypeAlias = Literal["member", "moderator", "admin", "owner"]
_Act: TypeAlias = Callable[[Client, Progress | None], Awaitable[GroupView]]


def register(group: App) -> None:
    """Make these commands of ``parlour group``."""
    for command in (add, remove, role, rename):
        group.command(command)
    group.command(list_, name="members")


async def add(
    name: str,
    /,
    *people: str,
    role: RoleName = "member",
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Bring people into a group, with all their devices. They read what is said from then on.

    Parameters
    ----------
    name
        The group's name, or its id.
    people
        Their exact names.
    role
        What they are in it.
    """
    _some(people)
    return await _change(
        name,
        options,
        lambda client, shown: client.groups.add(
            name, people, role=Role[role.upper()], progress=shown
        ),
        f"✓ {_names(people)} {_is(people)} invited to {{label}}.",
    )


async def remove(
    name: str,
    /,
    *people: str,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Put people out of a group: they read nothing that is said there from then on.

    Parameters
    ----------
    name
        The group's name, or its id.
    people
        Their exact names.
    """
    _some(people)
    return await _change(
        name,
        options,
        lambda client, _shown: client.groups.remove(name, people),
        f"✓ {_names(people)} {_is(people)} not in {{label}} any more.",
    )


async def role(
    name: str,
    person: str,
    role: RoleName,
    /,
    *,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Give somebody in a group another role. docs/roster.md says what each may do.

    Parameters
    ----------
    name
        The group's name, or its id.
    person
        Their exact name.
    role
        What they are from now on: member, moderator, admin or owner.
    """
    return await _change(
        name,
        options,
        lambda client, _shown: client.groups.set_role(name, person, Role[role.upper()]),
        f"✓ {one_line(person)} is {role} of {{label}} now.",
    )


async def rename(
    name: str,
    new_name: str,
    /,
    *,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Give a group another name.

    Parameters
    ----------
    name
        The group's name, or its id.
    new_name
        What to call it from now on.
    """
    return await _change(
        name,
        options,
        lambda client, _shown: client.groups.rename(name, new_name.removeprefix("#")),
        "✓ It is {label} now.",
    )


async def list_(
    name: str,
    /,
    *,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """List who is in a group, in which role, and with how many devices.

    Parameters
    ----------
    name
        The group's name, or its id.
    """
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password, connect=False) as client:
        found = client.groups.members(name)
        label = client.groups.label(client.groups.find(name))
    output.document({"label": label, "members": [member_document(each) for each in found]})
    for each in rows(found):
        output.text(each)
    return 0


def rows(members: Sequence[Member]) -> Iterable[Text]:
    """Members for people, a line each."""
    width = max((len(one_line(each.name)) for each in members), default=0)
    for each in members:
        mark, style = ("·", "dim") if each.mine else MARKS[each.verification]
        text = Text(one_line(each.name).ljust(width), style="bold").append(f" {mark}", style=style)
        text.append(f"  {each.role.name.lower():<9}", style="default")
        text.append(f"  {counted(each.devices, 'device')}", style="dim")
        yield text.append("  you", style="cyan") if each.mine else text


async def _change(name: str, options: HomeOptions, act: _Act, sentence: str) -> int:
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password) as client:
        await client.caught_up()
        with progress(output) as shown, patient(output):
            changed = await act(client, shown)
        await client.told()
        output.document(document(client, changed))
        note_awaited(client, changed, output)
        label = one_line(client.groups.label(changed.id))
    output.text(sentence.replace("{label}", label))
    return 0


def _some(people: Sequence[str]) -> None:
    if not people:
        raise UsageError(Code.USAGE_INVALID, "name at least one person")


def _names(people: Sequence[str]) -> str:
    *others, last = [one_line(each) for each in people]
    return f"{', '.join(others)} and {last}" if others else last


def _is(people: Sequence[str]) -> str:
    return "is" if len(people) == 1 else "are"
