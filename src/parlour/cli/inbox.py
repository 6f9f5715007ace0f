"""``parlour inbox``."""

from __future__ import annotations

from parlour.cli import failures
from parlour.cli.notices import tell_of_devices, tell_of_others
from parlour.cli.options import HomeOptions
from parlour.cli.reading import show_unread
from parlour.client.client import Client

# Seconds for a new device to leave keys on the server; others are not kept waiting by it.
_READY = 5.0


async def inbox(*, options: HomeOptions = HomeOptions()) -> int:  # noqa: B008 - frozen
    """Fetch and show what is new: messages, and what happened to keys and devices.

    Each message is shown once, on one of your devices; `parlour history` shows them again.
    """
    password = await options.password()
    output = options.output()
    count = 0
    async with Client.open(options.folder(), password) as client:
        await client.caught_up()
        if client.invites.problem is not None:
            failures.show(client.invites.problem, json=options.json)
        count += await tell_of_devices(client, output)
        count += await tell_of_others(client, output)
        count += await show_unread(client, output)
        await client.ready(_READY)
    if not count:
        output.note("Nothing new.")
    return 0
