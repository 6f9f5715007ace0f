"""``parlour inbox``."""

from __future__ import annotations

from parlour.cli import failures
from parlour.cli.notices import tell_of_devices, tell_of_others
from parlour.cli.options import HomeOptions
from parlour.cli.shown import People, message_document, message_rows
from parlour.client.client import Client


async def inbox(*, options: HomeOptions = HomeOptions()) -> int:  # noqa: B008 - frozen
    """Fetch and show what is new: messages, and what happened to keys and devices.

    Each message is shown once; `parlour history` shows them again.
    """
    password = await options.password()
    output = options.output()
    count = 0
    async with Client.open(options.folder(), password) as client:
        await client.caught_up()
        if client.invites.problem is not None:
            failures.show(client.invites.problem, json=options.json)
        count += await tell_of_devices(client, output)
        count += tell_of_others(client, output)
        while page := await client.unread():
            people = People.of(client)
            count += len(page)
            for said in page:
                output.document(message_document(said, said.sender))
                for row in message_rows(said, people):
                    output.text(row)
    if not count:
        output.note("Nothing new.")
    return 0
