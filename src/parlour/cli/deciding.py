"""A decision about somebody, made by one command and told to one's other devices."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from parlour.cli.options import HomeOptions
from parlour.cli.safe_text import one_line
from parlour.client.client import Client


async def decide(
    name: str, options: HomeOptions, act: Callable[[Client, str], Awaitable[None]]
) -> str:
    """Find an account by its exact name, let `act` decide, and tell; the name, to be shown."""
    password = await options.password()
    async with Client.open(options.folder(), password) as client:
        contact = await client.contact(name)
        await act(client, contact.name)
        await client.told()
    return one_line(contact.name)
