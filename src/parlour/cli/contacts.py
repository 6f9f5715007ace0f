"""``parlour contacts``."""

from __future__ import annotations

from rich.text import Text

from parlour.cli.options import HomeOptions
from parlour.cli.safe_text import one_line
from parlour.cli.shown import MARKS
from parlour.client.client import Client
from parlour.conversation.contact import Contact, Verification

_WORDS = {
    Verification.VERIFIED: "verified",
    Verification.UNVERIFIED: "not verified",
    Verification.CHANGED: "KEY CHANGED: parlour verify",
}


async def contacts(*, options: HomeOptions = HomeOptions()) -> int:  # noqa: B008 - frozen
    """List the people you know, and how far you verified them."""
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password, connect=False) as client:
        known = client.contacts()
    output.document({"contacts": [_document(contact) for contact in known]})
    width = max((len(contact.name) for contact in known), default=0)
    for contact in known:
        mark, style = MARKS[contact.verification]
        row = Text(one_line(contact.name).ljust(width), style="bold")
        row.append(f"  {mark} {_WORDS[contact.verification]}", style=style)
        count = len(contact.head.devices)
        row.append(f"  {count} device{'s' if count != 1 else ''}", style="dim")
        output.text(row)
    if not known:
        output.note("Nobody yet. Begin with: parlour chat NAME")
    return 0


def _document(contact: Contact) -> dict[str, object]:
    return {
        "name": contact.name,
        "account_id": contact.account_id.hex(),
        "verification": contact.verification.value,
        "devices": [device.device_id.hex() for device in contact.head.devices],
    }
