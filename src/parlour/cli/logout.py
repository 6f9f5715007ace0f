"""``parlour logout``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from parlour.cli.options import HomeOptions
from parlour.client.client import Client


async def logout(
    *,
    everywhere: Annotated[bool, Parameter(negative=())] = False,
    others: Annotated[bool, Parameter(negative=())] = False,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """End the login of this device. What is here stays; `parlour login` goes on with it.

    Parameters
    ----------
    everywhere
        End every login of your account, also on your other devices.
    others
        End all logins but this one.
    """
    password = await options.password()
    async with Client.open(options.folder(), password) as client:
        await client.connected()
        if everywhere or others:
            await client.log_out_everywhere(but_this=others and not everywhere)
        else:
            await client.log_out()
    output = options.output()
    kept = others and not everywhere
    output.document({"everywhere": everywhere or others, "this_kept": kept})
    what = "Every login of your account has ended" if everywhere else "This device is logged out"
    output.text("✓ All other logins have ended." if kept else f"✓ {what}.")
    output.text("  To log in again: parlour login")
    return 0
