"""``parlour group invite``, ``links`` and ``close-link``: links into a group."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter
from rich.text import Text

from parlour.cli import asking, qr
from parlour.cli.group.described import link_document
from parlour.cli.group.waiting import patient
from parlour.cli.lasting import days
from parlour.cli.options import HomeOptions
from parlour.cli.safe_text import one_line
from parlour.client.client import Client
from parlour.client.group_names import SHORT_ID
from parlour.client.workers import run_slow
from parlour.conversation.groups.view import LinkView
from parlour.roster import Role


def register(group: App) -> None:
    """Make these commands of ``parlour group``."""
    group.command(invite)
    group.command(list_, name="links")
    group.command(close, name="close-link")


async def invite(
    name: str,
    /,
    *,
    role: Literal["member", "moderator"] = "member",
    uses: int = 1,
    expires: str = "7d",
    qr_code: Annotated[bool, Parameter(name="--qr", negative=())] = False,
    qr_file: Path | None = None,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Print a link into a group: a line to hand over to people who have an account on the server.

    Whoever has it can come in, and nobody is asked. It is shown this once and kept nowhere.

    Parameters
    ----------
    name
        The group's name, or its id.
    role
        What they are in it.
    uses
        How many people may come in by it.
    expires
        For how long it holds: days ("7d") or weeks ("2w"), at most 30 days.
    qr_code
        Show it as a QR code too.
    qr_file
        Write the QR code to this PNG or SVG file. Whoever sees it may come in.
    """
    if qr_file is not None:
        qr.check_file(qr_file)
    lasting = days(expires)
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password) as client:
        await client.caught_up()
        with patient(output, kept=False):
            link = await client.groups.open_link(
                name, role=Role[role.upper()], uses=uses, days=lasting
            )
        label = client.groups.label(link.stream)
        opened = next(
            each for each in client.groups.links(link.stream) if each.link_id == link.link_id
        )
    line = link.to_text()
    output.document(
        {"link": line, "label": label, "group": link.stream.hex(), **link_document(opened)}
    )
    output.text(line)
    if qr_code:
        output.text()
        output.text(qr.drawn(line))
    if qr_file is not None:
        await run_slow(qr.save, line, qr_file)
        output.note(f"The code is in {qr_file}.")
    short = link.link_id.hex()[:SHORT_ID]
    output.note(f"{_good(opened)} To end it: parlour group close-link '{one_line(label)}' {short}")
    output.note("Whoever gets it runs: parlour group join")
    return 0


async def list_(
    name: str,
    /,
    *,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """List the links by which people may still come into a group.

    Parameters
    ----------
    name
        The group's name, or its id.
    """
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password, connect=False) as client:
        found = client.groups.links(name)
    output.document({"links": [link_document(each) for each in found]})
    for each in found:
        output.text(row(each))
    if not found:
        output.note("None. To make one: parlour group invite NAME")
    return 0


async def close(
    name: str,
    link: str,
    /,
    *,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Let nobody come in by a link any more. Who has come by it stays.

    Parameters
    ----------
    name
        The group's name, or its id.
    link
        The link, or the beginning of its id, as `parlour group links` shows it.
    """
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password) as client:
        await client.caught_up()
        with patient(output):
            await client.groups.close_link(name, link)
        label = client.groups.label(client.groups.find(name))
    output.document({"closed": link, "label": label})
    output.text(f"✓ Nobody can come into {one_line(label)} by that link any more.")
    return 0


async def pasted(link: str | None) -> str:
    """The link, as it was given, or is typed now."""
    if link is not None and link != "-":
        return link
    if asking.somebody():
        asking.note("Paste the link, and press Enter:")
    return await asking.line()


def row(link: LinkView) -> Text:
    """An open link for people."""
    text = Text(f"link {link.link_id.hex()[:SHORT_ID]}", style="bold")
    return text.append(f"  {link.role.name.lower()}  {_good(link)}", style="default")


def _good(link: LinkView) -> str:
    until = datetime.fromtimestamp(link.expires_at / 1000, UTC)
    times = "once" if link.uses == 1 else f"{link.uses} times"
    return f"Good {times} until {until:%Y-%m-%d %H:%M} UTC."
