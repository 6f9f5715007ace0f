"""``parlour send NAME TEXT…``."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from parlour.cli.group.described import counted, known_group
from parlour.cli.notices import tell_of_others
from parlour.cli.options import HomeOptions
from parlour.cli.safe_text import one_line
from parlour.cli.shown import MARKS, message_document
from parlour.client.client import Client
from parlour.client.group_names import MARK
from parlour.errors import AccessError, Code, ParlourError, TransportError, UsageError


async def send(
    name: str,
    /,
    *words: Annotated[str, Parameter(allow_leading_hyphen=True)],
    wait: Annotated[float, Parameter(negative=())] = 30.0,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Send one message, and wait until the server has it.

    When the server can't be reached, the message stays on this device and goes out the next time
    that you use Parlour; the exit code is 5.

    Parameters
    ----------
    name
        Whom to send it to, by their exact name; a group by its name after "#".
    words
        The message. Without any, or with "-", it is read from standard input.
    wait
        Seconds to wait for the server.
    """
    text = _message(words)
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password) as client:
        where, sent_to = await _receiver(client, name)
        message_id = await client.send(where, text)
        failure: ParlourError | None = None
        try:
            await client.sent(wait)
        except (TransportError, AccessError) as problem:
            failure = problem
        page = await client.history(where, limit=50)
        said = next((said for said in page if said.message_id == message_id), None)
        if said is not None:
            output.document(message_document(said, said.where))
        await tell_of_others(client, output, documents=False)
        if failure is not None:
            if isinstance(failure, TransportError):
                output.note("It waits on this device and goes out the next time you use Parlour.")
            raise failure
        output.note(f"Sent to {sent_to}")
    return 0


async def _receiver(client: Client, name: str) -> tuple[str, str]:
    """Whom `send` names, for `Client.send` and for people."""
    if name.startswith(MARK):
        group = await known_group(client, name)
        label = client.groups.label(group.id)
        return label, f"{one_line(label)}, {counted(len(group.members), 'person')}"
    contact = await client.contact(name)
    mark, _ = MARKS[contact.verification]
    return contact.name, f"{one_line(contact.name)} {mark}"


def _message(words: tuple[str, ...]) -> str:
    if words and words != ("-",):
        return " ".join(words)
    if not words and sys.stdin.isatty():
        raise UsageError(Code.USAGE_INVALID, "say what to send: parlour send NAME TEXT")
    text = sys.stdin.read().removesuffix("\n")
    if not text:
        raise UsageError(Code.USAGE_INVALID, "the message is empty")
    return text
