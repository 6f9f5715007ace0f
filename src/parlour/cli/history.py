"""``parlour history NAME``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter, validators
from rich.text import Text

from parlour.cli.options import HomeOptions
from parlour.cli.shown import People, day, message_document, message_rows
from parlour.client.client import Client
from parlour.client.group_names import MARK
from parlour.errors import Code, error


async def history(
    name: str,
    /,
    *,
    last: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=100_000))] = 50,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Show the last messages with somebody, from this device, without the network.

    Parameters
    ----------
    name
        With whom; a group by its name after "#".
    last
        How many.
    """
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password, connect=False) as client:
        people = People.of(client)
        shown = ""
        if not name.startswith(MARK) and client.people.known_as(name) is None:
            raise error(Code.ACCOUNT_UNKNOWN, "on this device; to look on the server: parlour chat")
        for said in await client.history(name, limit=last):
            output.document(message_document(said, said.where))
            if day(said.at) != shown:
                shown = day(said.at)
                output.text(Text(f"── {shown} ──", style="dim"))
            for row in message_rows(said, people):
                output.text(row)
    return 0
