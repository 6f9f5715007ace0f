"""What is new, shown to a person, who has seen it then: all their devices learn how far."""

from __future__ import annotations

from collections.abc import Iterable

from parlour.cli.output import Output
from parlour.cli.shown import People, message_document, message_rows
from parlour.client.client import Client, Said

# Seconds for the other devices to be told. What does not leave in time leaves next time.
_TELLING = 3.0


async def show_unread(client: Client, output: Output) -> int:
    """Show all that no program has shown; returns how many messages that were."""
    count = 0
    while page := await client.unread():
        people = People.of(client)
        for said in page:
            output.document(message_document(said, said.sender))
            for row in message_rows(said, people):
                output.text(row)
        count += len(page)
        await mark_seen(client, page)
    if count:
        await client.told(_TELLING)
    return count


async def mark_seen(client: Client, page: Iterable[Said]) -> None:
    """A person has seen these messages of others."""
    seen: dict[str, int] = {}
    for said in page:
        if not said.mine and said.seq is not None:
            seen[said.sender] = max(said.seq, seen.get(said.sender, 0))
    for name, seq in seen.items():
        await client.people.mark_read(name, seq)
