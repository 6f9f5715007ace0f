"""``parlour contacts``."""

from __future__ import annotations

from rich.text import Text

from parlour.cli.options import HomeOptions
from parlour.cli.safe_text import one_line
from parlour.cli.shown import MARKS
from parlour.client.client import Client
from parlour.conversation.contact import Contact, Verification
from parlour.conversation.standing import Standing

_WORDS = {
    Verification.VERIFIED: "verified",
    Verification.UNVERIFIED: "not verified",
    Verification.CHANGED: "KEY CHANGED: parlour verify",
}
# Talking with somebody is what needs no words.
_STANDINGS = {
    Standing.REQUESTED: "wants to talk: parlour requests",
    Standing.DECLINED: "declined",
    Standing.BLOCKED: "blocked",
}


async def contacts(*, options: HomeOptions = HomeOptions()) -> int:  # noqa: B008 - frozen
    """List the people you know, and how far you verified them."""
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password, connect=False) as client:
        known = client.contacts()
    output.document({"contacts": [_document(contact, client) for contact in known]})
    width = max((len(contact.name) for contact in known), default=0)
    for contact in known:
        mark, style = MARKS[contact.verification]
        row = Text(one_line(contact.name).ljust(width), style="bold")
        row.append(f"  {mark} {_WORDS[contact.verification]}", style=style)
        count = len(contact.head.devices)
        row.append(f"  {count} device{'s' if count != 1 else ''}", style="dim")
        if contact.standing in _STANDINGS:
            row.append(f"  {_STANDINGS[contact.standing]}", style="yellow")
        if name := profile_name(client, contact):
            row.append(f"  calls themselves “{one_line(name)}”", style="dim")
        output.text(row)
    if not known:
        output.note("Nobody yet. Begin with: parlour chat NAME")
    return 0


def profile_name(client: Client, contact: Contact) -> str | None:
    """What somebody calls themselves, which anybody may call themselves too."""
    known = client.people.profile(contact)
    return known.name if known is not None and known.name else None


def _document(contact: Contact, client: Client) -> dict[str, object]:
    return {
        "name": contact.name,
        "standing": contact.standing.value,
        "calls_themselves": profile_name(client, contact),
        "account_id": contact.account_id.hex(),
        "verification": contact.verification.value,
        "devices": [device.device_id.hex() for device in contact.head.devices],
    }
