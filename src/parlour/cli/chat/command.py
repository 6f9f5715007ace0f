"""``parlour chat NAME``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from parlour.cli.chat.editor import Editor
from parlour.cli.chat.faces import Face, JsonFace, LineFace, ScreenFace
from parlour.cli.chat.session import ChatSession
from parlour.cli.chat.terminal import drivable
from parlour.cli.options import HomeOptions
from parlour.client.client import Client


async def chat(
    name: str,
    /,
    *,
    earlier: Annotated[int, Parameter(negative=())] = 20,
    lines: Annotated[bool, Parameter(negative=())] = False,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Talk with somebody, live. If they asked to be heard, this says yes.

    On a terminal you write below what is said. Without one, or with --lines, each line of standard
    input is a message, and each message is a line of standard output.

    Parameters
    ----------
    name
        Whom to talk with, by their exact name.
    earlier
        How many earlier messages to show.
    lines
        Plain lines, also on a terminal.
    """
    password = await options.password()
    async with Client.open(options.folder(), password) as client:
        contact = await client.contact(name)
        # Whoever opens a conversation with somebody wants to hear them.
        await client.people.accept(contact.name)
        face: Face
        if options.json:
            face = JsonFace()
        elif lines or not drivable():
            face = LineFace()
        else:
            face = ScreenFace(Editor())
        return await ChatSession(client, contact.name, face).run(earlier=earlier)
