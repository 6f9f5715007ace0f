"""``parlour requests``: strangers who have written."""

from __future__ import annotations

from cyclopts import App
from rich.text import Text

from parlour.cli.deciding import decide
from parlour.cli.options import HomeOptions
from parlour.cli.reading import show_unread
from parlour.cli.safe_text import one_line
from parlour.client.client import Client
from parlour.conversation.contact import Contact

requests = App(name="requests", help="Say yes or no to strangers who have written.")


@requests.command(name="list")
async def list_(*, options: HomeOptions = HomeOptions()) -> int:  # noqa: B008 - frozen
    """List who has written and waits for your answer. What they said is not shown before it."""
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password) as client:
        await client.caught_up()
        waiting = client.people.requests()
    output.document({"requests": [document(contact) for contact in waiting]})
    for contact in waiting:
        output.text(row(contact))
    if waiting:
        output.note("parlour requests accept NAME, or decline NAME, or: parlour block NAME")
    else:
        output.note("Nobody waits for an answer.")
    return 0


@requests.command
async def accept(
    name: str,
    /,
    *,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Hear somebody who has written, and show what they have said.

    Parameters
    ----------
    name
        Their exact name.
    """
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password) as client:
        await client.caught_up()
        contact = await client.contact(name)
        await client.people.accept(contact.name)
        output.text(f"✓ You hear {one_line(contact.name)} from now on.")
        await show_unread(client, output)
        await client.told()
    output.document({"accepted": contact.name})
    output.note(f"Whose key it is you know when you have compared: parlour verify {contact.name}")
    return 0


@requests.command
async def decline(
    name: str,
    /,
    *,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Say no. What they said is deleted unread; they are not told, and may ask again after a day.

    Parameters
    ----------
    name
        Their exact name.
    """
    found = await decide(name, options, _decline)
    output = options.output()
    output.document({"declined": found})
    output.text(f"✓ {found} is declined. For good: parlour block {found}")
    return 0


async def _decline(client: Client, name: str) -> None:
    # What they wrote a moment ago goes with it.
    await client.caught_up()
    await client.people.decline(name)


def document(contact: Contact) -> dict[str, object]:
    """A request as JSON: the name, and nothing that the stranger chose."""
    return {
        "name": contact.name,
        "account_id": contact.account_id.hex(),
        "verification": contact.verification.value,
    }


def row(contact: Contact) -> Text:
    """A request for people."""
    text = Text(one_line(contact.name), style="bold")
    return text.append(" ?  would like to write to you", style="yellow")
