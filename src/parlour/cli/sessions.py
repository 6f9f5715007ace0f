"""``parlour sessions list`` and ``parlour sessions revoke``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter
from rich.text import Text

from parlour.cli.options import HomeOptions
from parlour.cli.shown import utc_date
from parlour.client.client import Client

sessions = App(name="sessions", help="List logins, or end one.")


@sessions.command(name="list")
async def list_sessions(*, options: HomeOptions = HomeOptions()) -> int:  # noqa: B008 - frozen
    """List every login of your account."""
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password) as client:
        found = await client.sessions()
    output.document(
        {
            "sessions": [
                {
                    "handle": session.handle,
                    "device_id": session.device_id.hex(),
                    "created_at": session.created_at,
                    "last_used": session.last_used,
                    "current": session.current,
                }
                for session in found
            ]
        }
    )
    for session in found:
        row = Text(session.handle, style="bold")
        row.append(f"  device {session.device_id.hex()[:8]}")
        row.append(f"  since {utc_date(session.created_at)}")
        row.append(f"  last used {utc_date(session.last_used)}", style="dim")
        if session.current:
            row.append("  this one", style="green")
        output.text(row)
    return 0


@sessions.command
async def revoke(
    handle: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """End a login. Its connections are closed within a second.

    Parameters
    ----------
    handle
        As `parlour sessions list` shows it.
    """
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password) as client:
        await client.revoke(handle)
    output.document({"revoked": handle})
    output.text(f"✓ The login {handle} has ended.")
    return 0
