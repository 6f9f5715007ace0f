"""``parlour invite``: members invite people."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.text import Text

from parlour.cli import qr
from parlour.cli.lasting import days
from parlour.cli.options import HomeOptions
from parlour.client.client import Client
from parlour.client.workers import run_slow

invite = App(name="invite", help="Invite somebody to your server.")


@invite.default
async def create(
    *,
    uses: int = 1,
    expires: str = "7d",
    qr_code: Annotated[bool, Parameter(name="--qr", negative=())] = False,
    qr_file: Path | None = None,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Print an invite: a line to hand over to somebody.

    It holds the server's address, the pin of its key, a secret that allows to register, and your
    account's key: whoever registers with it knows you from the first moment, whatever the server
    does. Hand it over in a way that you trust.

    Parameters
    ----------
    uses
        How many accounts may be made with it.
    expires
        For how long it holds: days ("7d") or weeks ("2w"), at most 30 days.
    qr_code
        Show it as a QR code too.
    qr_file
        Write the QR code to this PNG or SVG file. Whoever sees it may register.
    """
    if qr_file is not None:
        qr.check_file(qr_file)
    lasting = days(expires)
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password) as client:
        await client.connected()
        made = await client.invites.create(uses=uses, days=lasting)
    line = made.to_text()
    output.document(
        {
            "invite": line,
            "server": made.server,
            "inviter": made.account_name,
            "uses": uses,
            "expires_at": made.expires_at * 1000,
        }
    )
    output.text(line)
    if qr_code:
        output.text()
        output.text(qr.drawn(line))
    if qr_file is not None:
        await run_slow(qr.save, line, qr_file)
        output.note(f"The code is in {qr_file}.")
    until = datetime.fromtimestamp(made.expires_at, UTC)
    times = "once" if uses == 1 else f"{uses} times"
    output.note(f"Good {times} until {until:%Y-%m-%d %H:%M} UTC. To end it: parlour invite revoke")
    output.note("Whoever gets it runs: parlour register NAME")
    return 0


@invite.command(name="list")
async def list_(*, options: HomeOptions = HomeOptions()) -> int:  # noqa: B008 - frozen
    """List your invites that can still be used."""
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password) as client:
        found = await client.invites.list()
    output.document(
        {
            "invites": [
                {
                    "hash": each.hash.hex(),
                    "uses_left": each.uses,
                    "expires_at": each.expires_at,
                }
                for each in found
            ]
        }
    )
    for each in found:
        until = datetime.fromtimestamp(each.expires_at / 1000, UTC)
        row = Text(each.hash.hex()[:8], style="bold")
        row.append(f"  {each.uses} left  until {until:%Y-%m-%d %H:%M} UTC")
        output.text(row)
    if not found:
        output.note("None. To make one: parlour invite")
    return 0


@invite.command
async def revoke(
    number: str,
    /,
    *,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """End an invite. Who has registered with it stays.

    Parameters
    ----------
    number
        As `parlour invite list` shows it.
    """
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password) as client:
        await client.invites.revoke(number)
    output.document({"revoked": number})
    output.text("✓ Nobody can register with that invite any more.")
    return 0
