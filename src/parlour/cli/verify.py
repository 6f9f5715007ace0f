"""``parlour verify NAME``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from parlour.cli import asking, qr
from parlour.cli.options import HomeOptions
from parlour.cli.output import Output
from parlour.cli.safe_text import one_line
from parlour.cli.safety import digit_lines, word_lines
from parlour.client.client import Client
from parlour.client.workers import run_slow
from parlour.conversation.contact import Contact, Verification
from parlour.errors import Code, UsageError
from parlour.transparency import SafetyNumber


async def verify(
    name: str,
    /,
    *,
    accept: Annotated[bool, Parameter(negative=())] = False,
    yes: Annotated[bool, Parameter(negative=())] = False,
    qr_file: Annotated[Path | None, Parameter(name=["--qr", "--qr-file"])] = None,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Compare the safety number with somebody, and mark them as verified.

    Both of you run this and compare the sixty digits, or the sixteen words, or scan the code: in
    person, or in a call in which you know the voice. They are the same if, and only if, nobody sits
    between you. Once is enough: it covers all devices of both, now and later.

    Parameters
    ----------
    name
        Whom to verify.
    accept
        Go on with a changed key without comparing.
    yes
        Don't ask: you have compared.
    qr_file
        Write the QR code to this PNG or SVG file too, to print it.
    """
    if qr_file is not None:
        qr.check_file(qr_file)
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password) as client:
        contact = await client.contact(name)
        number = await client.safety_number(contact.name)
        if accept and not contact.stopped:
            raise UsageError(Code.USAGE_STATE, f"{one_line(contact.name)} has no changed key")
        _show(output, client.name, contact, number)
        if qr_file is not None:
            await run_slow(qr.save, number.scannable(), qr_file)
            output.note(f"The code is in {qr_file}.")
        # Piped, it only shows the number; a decision needs somebody who answers, or --yes.
        asks = asking.somebody() and not options.json
        if accept and not (yes or asks):
            raise UsageError(Code.USAGE_STATE, "nobody is there to ask: give --yes")
        if yes or (asks and await asking.yes(_question(contact, accept=accept))):
            await (client.accept if accept else client.verify)(contact.name, number)
            contact = await client.contact(contact.name)
            output.note(_outcome(contact))
        output.document(document(contact, number))
    return 0


def _show(output: Output, own: str, contact: Contact, number: SafetyNumber) -> None:
    name = one_line(contact.name)
    output.text(Text(f"Safety number of {own} and {name}", style="bold"))
    output.text()
    for line in digit_lines(number):
        output.text(Text(f"    {line}", style="bold"))
    output.text()
    output.text("To read to each other, the same as words; one of the two is enough:")
    output.text()
    for line in word_lines(number):
        output.text(Text(f"    {line}", style="bold"))
    output.text()
    output.text(qr.drawn(number.scannable()))
    output.text()
    if contact.stopped:
        output.text(
            Text(
                f"⚠ {name}'s key has changed since you verified it. Either they set up a new "
                "account, or somebody sits between you. Nothing is sent until you decide.",
                style="bold red",
            )
        )
    output.text(
        f"{name} sees the same with: parlour verify {local(own)}\n"
        "Compare them in person, or in a call in which you know the voice. Not over this chat."
    )
    if contact.verification is Verification.VERIFIED:
        output.text(Text(f"✓ You have verified {name}.", style="green"))


def document(contact: Contact, number: SafetyNumber) -> dict[str, object]:
    """The number as JSON."""
    return {
        "name": contact.name,
        "verification": contact.verification.value,
        "digits": number.digits,
        "words": number.words,
        "scannable": number.scannable().hex(),
    }


def local(own: str) -> str:
    """The name before the @."""
    return own.partition("@")[0]


def _question(contact: Contact, *, accept: bool) -> str:
    name = one_line(contact.name)
    if accept:
        return f"Go on with {name}'s new key without comparing?"
    return f"Did you compare, and is it all the same as {name}'s?"


def _outcome(contact: Contact) -> str:
    name = one_line(contact.name)
    if contact.verification is Verification.VERIFIED:
        return f"✓ {name} is verified."
    return f"{name}'s new key is accepted, and not verified."
