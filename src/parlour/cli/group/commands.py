"""``parlour group``: found groups, look at them, come and go."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import App, Parameter
from rich.text import Text

from parlour.cli.group import links, members
from parlour.cli.group.described import (
    counted,
    document,
    kind_of,
    note_awaited,
    note_room,
    room_of,
    row,
    standing,
    suite_of,
)
from parlour.cli.group.progress import progress
from parlour.cli.group.waiting import patient
from parlour.cli.options import HomeOptions
from parlour.cli.output import Output
from parlour.cli.reading import show_unread
from parlour.cli.safe_text import one_line
from parlour.client.client import Client
from parlour.conversation.groups.view import GroupView
from parlour.conversation.presets import DEFAULT, PRESET, policy_of
from parlour.errors import Code, UsageError

group = App(name="group", help="Talk among several: found groups, invite people, leave.")
links.register(group)
members.register(group)


@group.command
async def create(
    name: str,
    /,
    *people: str,
    family: Annotated[bool, Parameter(negative=())] = False,
    room: Annotated[bool, Parameter(negative=())] = False,
    suite: Literal["mls", "mls-xwing", "mls-xwing-256"] | None = None,
    preset: str | None = None,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Found a group, and bring people in with all their devices.

    Parameters
    ----------
    name
        What to call it. The server does not learn it.
    people
        Exact names of who is in it from the beginning.
    family
        A family: everybody may bring somebody in.
    room
        A room: for many, looked after by moderators.
    suite
        How it is encrypted, for good. mls-xwing is post-quantum and has room for 700 devices, mls
        for 4,096. [default: mls-xwing, where all devices have it and there are no more than that]
    preset
        What the group is; see parlour policy list. [default: yours, by parlour policy use]
    """
    if family and room:
        raise UsageError(Code.USAGE_INVALID, "a group is a family or a room, not both")
    kind = "family" if family else "room" if room else "group"
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password) as client:
        await client.caught_up()
        with progress(output) as shown, patient(output):
            made = await client.groups.create(
                name.removeprefix("#"),
                people,
                kind=kind,
                suite=suite,
                preset=preset,
                progress=shown,
            )
        await client.told()
        output.document(document(client, made))
        _describe(output, client, made)
        policy = policy_of(preset or client.settings.get(PRESET, DEFAULT), made.genesis.kind)
        note_room(made, policy.max_members, output)
        note_awaited(client, made, output)
        label = one_line(client.groups.label(made.id))
        output.note(f"Talk there: parlour chat '{label}'")
    return 0


@group.command(name="list")
async def list_(
    *,
    past: Annotated[bool, Parameter(negative=())] = False,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """List the groups that you are in.

    Parameters
    ----------
    past
        Also those that you were in.
    """
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password, connect=False) as client:
        found = client.groups.list(over=past)
        output.document({"groups": [document(client, each) for each in found]})
        for each in found:
            output.text(row(client, each))
    if not found:
        output.note("None. To found one: parlour group create NAME PEOPLE")
    return 0


@group.command
async def info(
    name: str,
    /,
    *,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Tell about a group: what kind it is, how it is encrypted, who is in it, which links are open.

    Parameters
    ----------
    name
        The group's name, or its id.
    """
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password, connect=False) as client:
        found = client.groups.get(name)
        output.document(document(client, found))
        _describe(output, client, found)
        for each in members.rows(client.groups.members(found.id)):
            output.text(Text("  ").append_text(each))
        for link in found.links:
            output.text(Text("  ").append_text(links.row(link)))
    return 0


def _describe(output: Output, client: Client, found: GroupView) -> None:
    output.text(Text(one_line(client.groups.label(found.id)), style="bold"))
    _line(output, "kind", f"{kind_of(found)}, encrypted by {suite_of(found)}")
    _line(output, "in it", f"{counted(len(found.members), 'person')}, {room_of(found)}")
    if found.role is not None:
        _line(output, "you", found.role.name.lower())
    if words := standing(found):
        _line(output, "now", words)
    if found.trouble:
        _line(output, "trouble", found.trouble)
    _line(output, "id", found.id.hex())


def _line(output: Output, label: str, text: str) -> None:
    output.text(Text(f"  {label:<8}", style="dim").append(text, style="default"))


@group.command
async def join(
    link: str | None = None,
    /,
    *,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Come into a group by a link that somebody gave you.

    Parameters
    ----------
    link
        The line that begins with parlour:group#. Without it, it is asked for.
    """
    text = await links.pasted(link)
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password) as client:
        await client.caught_up()
        with progress(output) as shown, patient(output, kept=False):
            joined = await client.groups.join(text, progress=shown)
        await client.told()
        output.document(document(client, joined))
        label = one_line(client.groups.label(joined.id))
        output.text(f"✓ You are in {label}, with {counted(len(joined.members) - 1, 'other')}.")
        output.note(f"Talk there: parlour chat '{label}'")
    return 0


@group.command
async def leave(
    name: str,
    /,
    *,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Go from a group. What was said there stays on this device.

    The next member who is there takes your devices out; nothing is shown to you from now on.

    Parameters
    ----------
    name
        The group's name, or its id.
    """

    async def act(client: Client, found: GroupView) -> str:
        await client.groups.leave(found.id)
        return "left"

    return await _decide(name, options, act, "✓ You have left {label}.")


@group.command
async def accept(
    name: str,
    /,
    *,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Say yes to a group into which a stranger has put you, and show what was said there.

    Parameters
    ----------
    name
        The group's name, or its id.
    """

    async def act(client: Client, found: GroupView) -> str:
        await client.groups.accept(found.id)
        await show_unread(client, options.output())
        return "accepted"

    return await _decide(name, options, act, "✓ You hear what is said in {label} from now on.")


@group.command
async def decline(
    name: str,
    /,
    *,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Say no to a group into which a stranger has put you. What was said there is deleted unread.

    Parameters
    ----------
    name
        The group's name, or its id.
    """

    async def act(client: Client, found: GroupView) -> str:
        await client.groups.decline(found.id)
        return "declined"

    return await _decide(name, options, act, "✓ You are not in {label}.")


async def _decide(name: str, options: HomeOptions, act: Any, sentence: str) -> int:
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password) as client:
        await client.caught_up()
        found = client.groups.get(name)
        label = client.groups.label(found.id)
        with patient(output):
            what = await act(client, found)
        await client.told()
    output.document({what: label, "group": found.id.hex()})
    output.text(sentence.format(label=one_line(label)))
    return 0
