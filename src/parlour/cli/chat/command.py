"""``parlour chat NAME``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from parlour.cli.chat.editor import Editor
from parlour.cli.chat.faces import Face, JsonFace, LineFace, ScreenFace
from parlour.cli.chat.session import ChatSession
from parlour.cli.chat.terminal import drivable
from parlour.cli.group.described import known_group
from parlour.cli.options import HomeOptions
from parlour.client.client import Client
from parlour.client.group_names import MARK


async def chat(
    name: str,
    /,
    *,
    earlier: Annotated[int, Parameter(negative=())] = 20,
    lines: Annotated[bool, Parameter(negative=())] = False,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Talk with somebody, or in a group, live. If they asked to be heard, this says yes.

    On a terminal you write below what is said. Without one, or with --lines, each line of standard
    input is a message, and each message is a line of standard output.

    Parameters
    ----------
    name
        Whom to talk with, by their exact name; a group by its name after "#".
    earlier
        How many earlier messages to show.
    lines
        Plain lines, also on a terminal.
    """
    password = await options.password()
    async with Client.open(options.folder(), password) as client:
        peer = await _peer(client, name)
        face: Face
        if options.json:
            face = JsonFace()
        elif lines or not drivable():
            face = LineFace()
        else:
            face = ScreenFace(Editor())
        return await ChatSession(client, peer, face).run(earlier=earlier)


async def _peer(client: Client, name: str) -> str:
    """What `Client.send` takes. Whoever opens a conversation wants to hear what is said there."""
    if name.startswith(MARK):
        group = await known_group(client, name)
        await client.groups.accept(group.id)
        return client.groups.label(group.id)
    contact = await client.contact(name)
    await client.people.accept(contact.name)
    return contact.name
