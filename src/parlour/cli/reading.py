"""What is new, shown to a person, who has seen it then: all their devices learn how far."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text

from parlour.cli.output import Output
from parlour.cli.safe_text import one_line
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
            output.document(message_document(said, said.where))
            for row in message_rows(said, people):
                output.text(placed(row, said))
        count += len(page)
        await mark_seen(client, page)
    if count:
        await client.told(_TELLING)
    return count


async def mark_seen(client: Client, page: Iterable[Said]) -> None:
    """A person has seen these messages of others."""
    seen: dict[tuple[bool, bytes], int] = {}
    for said in page:
        if not said.mine and said.seq is not None:
            place = said.in_group, said.conversation
            seen[place] = max(said.seq, seen.get(place, 0))
    for (in_group, conversation), seq in seen.items():
        if in_group:
            await client.groups.mark_read(conversation, seq)
        else:
            await client.people.mark_read(client.conversation_name(conversation), seq)


def placed(row: Text, said: Said) -> Text:
    """A row of what was said in a group says so."""
    if not said.in_group:
        return row
    return Text.assemble((f"[{one_line(said.where)}] ", "magenta"), row)
