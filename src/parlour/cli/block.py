"""``parlour block``, ``parlour unblock`` and ``parlour forget``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from parlour.cli import asking
from parlour.cli.deciding import decide
from parlour.cli.options import HomeOptions
from parlour.cli.safe_text import one_line
from parlour.client.client import Client
from parlour.errors import Code, UsageError


async def block(
    name: str,
    /,
    *,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Hear nothing more of somebody, on all your devices. They are not told.

    Your profile gets a new key at once, which they don't get. They keep what they have seen of it,
    and what you said to them before.

    Parameters
    ----------
    name
        Their exact name.
    """
    found = await decide(name, options, lambda client, known: client.people.block(known))
    output = options.output()
    output.document({"blocked": found})
    output.text(f"✓ You hear nothing more of {found}.")
    output.text(f"  To let them ask again: parlour unblock {found}")
    return 0


async def unblock(
    name: str,
    /,
    *,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Let somebody whom you have blocked ask again.

    Parameters
    ----------
    name
        Their exact name.
    """
    found = await decide(name, options, lambda client, known: client.people.unblock(known))
    output = options.output()
    output.document({"unblocked": found})
    output.text(f"✓ {found} is a stranger again, who may ask.")
    return 0


async def forget(
    name: str,
    /,
    *,
    yes: Annotated[bool, Parameter(negative=())] = False,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Delete somebody from all your devices, with everything that was said and that you compared.

    It is also the way to meet whoever has that name now, if the account is another one.

    Parameters
    ----------
    name
        Their exact name.
    yes
        Don't ask.
    """
    password = await options.password()
    output = options.output()
    if not yes:
        if options.json or not asking.somebody():
            raise UsageError(Code.USAGE_STATE, "nobody is there to ask: give --yes")
        question = f"Delete {one_line(name)}, and all messages, on all your devices?"
        if not await asking.yes(question):
            output.note("Nothing was changed.")
            return 0
    async with Client.open(options.folder(), password) as client:
        await client.people.forget(name)
        await client.told()
    output.document({"forgotten": name})
    output.text(f"✓ {one_line(name)} is forgotten. A backup file may still hold what was said.")
    return 0
