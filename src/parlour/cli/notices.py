"""What a person must hear of, whichever command they run: their own devices, others' keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.text import Text

from parlour.cli.output import Output
from parlour.cli.safe_text import one_line
from parlour.cli.shown import People, date_and_time, event_document, event_text
from parlour.client.client import Client, Disconnected
from parlour.client.notices import Notice, NoticeKind

_WORDS: Final[Mapping[NoticeKind, str]] = {
    NoticeKind.DEVICE_ADDED: "Your account has a new device",
    NoticeKind.DEVICE_REMOVED: "A device was removed from your account",
}
_ALONE: Final[Mapping[NoticeKind, str]] = {
    NoticeKind.RECOVERY_CHANGED: "Your account has another recovery key: the older paper is void.",
    NoticeKind.APPROVAL_ON: "A new device needs the approval of an old one from now on.",
    NoticeKind.APPROVAL_OFF: "A new device needs no approval of an old one any more.",
}
# What to do if it was somebody else.
_ADVICE: Final[Mapping[NoticeKind, str]] = {
    NoticeKind.DEVICE_ADDED: "If that was not you: parlour lost-device",
    NoticeKind.RECOVERY_CHANGED: "If that was not you: parlour recovery new",
    NoticeKind.APPROVAL_OFF: "If that was not you: parlour devices approval on",
}


async def tell_of_devices(client: Client, output: Output) -> int:
    """Show what other devices did to our list of devices, once; returns how many things."""
    waiting = await client.devices.notices()
    for notice in waiting:
        output.document(notice_document(notice, client))
        for row in notice_rows(notice, client):
            output.text(row)
    if waiting:
        await client.devices.mark_shown(waiting)
    return len(waiting)


async def tell_of_others(client: Client, output: Output, *, documents: bool = True) -> int:
    """Show what happened beside messages; returns how many things.

    That is what happened since the client was opened, and what nobody was shown before: keys that
    changed and the like, which may come to light while another command runs.
    """
    people, count = People.of(client), 0
    happened = client.happened()
    for event in happened:
        if isinstance(event, Disconnected):
            continue
        text = event_text(event, people)
        if text is None:
            continue
        count += 1
        if documents:
            output.document(event_document(event, people))
        output.text(text)
    if documents or not output.json:
        await client.told_of(happened)
    return count


def notice_rows(notice: Notice, client: Client) -> list[Text]:
    """A notice for people: what, when, and what to do about it."""
    head = Text(f"⚠ {date_and_time(notice.at * 1000)}  ", style="yellow")
    if notice.kind in _ALONE:
        head.append(_ALONE[notice.kind], style="bold yellow")
    else:
        head.append(f"{_WORDS[notice.kind]}: {_device(notice, client)}", style="bold yellow")
    advice = _ADVICE.get(notice.kind)
    return [head] if advice is None else [head, Text(f"  {advice}", style="yellow")]


def notice_document(notice: Notice, client: Client) -> dict[str, Any]:
    """A notice for programs."""
    return {
        "code": notice.kind.value,
        "at": notice.at * 1000,
        "device_id": notice.device_id.hex() or None,
        "name": client.devices.name_of(notice.device_id, notice.sealed_name),
    }


def _device(notice: Notice, client: Client) -> str:
    name = client.devices.name_of(notice.device_id, notice.sealed_name)
    short = notice.device_id.hex()[:8]
    return f"{one_line(name)} ({short})" if name else short
