"""Messages and events, as people read them and as programs do.

Documents have a `code`: that of an event (`conversation.events`, `client.feed`), or one of
`ShownCode`.
Ids are hexadecimal, times milliseconds since the epoch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Any, Final

from rich.text import Text

from parlour.cli.group.sentences import GroupEvent, group_event_text
from parlour.cli.output import Document
from parlour.cli.safe_text import lines, one_line
from parlour.client.client import Client, ClientEvent, Connected, Disconnected, Said
from parlour.conversation.changes import Message, MessageState
from parlour.conversation.contact import Contact, Verification
from parlour.conversation.content import Unknown
from parlour.conversation.events import (
    ContactAdded,
    DeviceAhead,
    DeviceLeftOut,
    DevicesChanged,
    EventCode,
    HistoryMismatch,
    KeyChanged,
    KeyPackageRefused,
    KeyReturned,
    MessageMissing,
    MessageReceived,
    MessageSent,
    MessagesSkipped,
    MessageUnreadable,
    MessageUnsent,
    NamesDiffer,
    ProfileChanged,
    ReadElsewhere,
    RequestFull,
    RequestReceived,
    SendingBlocked,
    ServerMisbehaved,
    ServerRestored,
    SettingChanged,
    StandingChanged,
)
from parlour.conversation.reasons import TREATMENTS, Reason, Repair
from parlour.errors import CODES, Code

# Beside a name: how far its key was verified, and in what colour.
MARKS: Final[Mapping[Verification, tuple[str, str]]] = {
    Verification.VERIFIED: ("✓", "green"),
    Verification.UNVERIFIED: ("?", "yellow"),
    Verification.CHANGED: ("!", "bold red"),
}
_STATES: Final = {
    MessageState.QUEUED: "waiting",
    MessageState.SENT: "sent",
    MessageState.UNSENT: "not sent",
}
_ALARM: Final = "bold red"
_WARNING: Final = "yellow"
_QUIET: Final = "dim"
_SHORT_ID: Final = 8


class ShownCode(StrEnum):
    """Codes of documents that are no events of the machine."""

    MESSAGE = "message"
    QUEUED = "message.queued"
    CHAT_OPENED = "chat.opened"
    SAFETY_NUMBER = "safety_number"


_CODE_OF_STATE: Final = {
    MessageState.QUEUED: ShownCode.QUEUED.value,
    MessageState.SENT: EventCode.MESSAGE_SENT.value,
    MessageState.UNSENT: EventCode.MESSAGE_UNSENT.value,
    MessageState.RECEIVED: EventCode.MESSAGE_RECEIVED.value,
    MessageState.UNREADABLE: EventCode.MESSAGE_UNREADABLE.value,
}


@dataclass(frozen=True, slots=True)
class People:
    """Who is who, by account id."""

    contacts: Mapping[bytes, Contact]
    own: bytes = b""
    groups: Mapping[bytes, str] = field(default_factory=dict)

    @classmethod
    def of(cls, client: Client) -> People:
        """All that a client knows; `own` is the account itself."""
        return cls(client.people.everybody(), client.account_id, client.groups.labels())

    def name(self, conversation: bytes) -> str:
        """The name of an account or a group, harmless for a terminal; part of the id if unknown."""
        if conversation in self.groups:
            return one_line(self.groups[conversation])
        contact = self.contacts.get(conversation)
        return one_line(contact.name) if contact else conversation.hex()[:_SHORT_ID]

    def who(self, account_id: bytes) -> str:
        """The name of an account, or ``you``."""
        return "you" if account_id == self.own else self.name(account_id)

    def verification(self, name: str) -> Verification:
        """How far somebody is verified."""
        for contact in self.contacts.values():
            if contact.name == name:
                return contact.verification
        return Verification.UNVERIFIED


# --- Times -------------------------------------------------------------------------------


def clock_time(milliseconds: int) -> str:
    """``09:15``, in local time. A time that no calendar knows is shown as such."""
    moment = _moment(milliseconds)
    return moment.strftime("%H:%M") if moment else "--:--"


def day(milliseconds: int) -> str:
    """``Friday, 21 November 2025``."""
    moment = _moment(milliseconds)
    return f"{moment:%A}, {moment.day} {moment:%B %Y}" if moment else "at an impossible time"


def date_and_time(milliseconds: int) -> str:
    """``2025-11-21 09:15``."""
    moment = _moment(milliseconds)
    return moment.strftime("%Y-%m-%d %H:%M") if moment else "never"


def utc_date(milliseconds: int) -> str:
    """``2025-11-21``, of what the server notes: midnight of a day, by UTC."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d")
    except (OverflowError, OSError, ValueError):
        return "never"


def _moment(milliseconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(milliseconds / 1000).astimezone()
    except (OverflowError, OSError, ValueError):
        # `sent_at` is the sender's word and may be any number.
        return None


# --- Messages ----------------------------------------------------------------------------


def body_lines(said: Said) -> tuple[list[str], str]:
    """What was said, line by line, and the style to show it in."""
    if said.state is MessageState.UNREADABLE:
        return [unreadable_sentence(said.reason)], _WARNING
    if isinstance(said.content, Unknown):
        return ["[this needs a newer version of this program]"], _WARNING
    return lines(said.text), ""


def unreadable_sentence(reason: str) -> str:
    """Why a message can't be read, and what is done about it."""
    try:
        known = Reason(reason)
    except ValueError:
        return f"A message that can't be read. [{one_line(reason)}]"
    treatment = TREATMENTS[known]
    then = " It is asked for again." if treatment.repair is Repair.RESEND else ""
    return f"A message that can't be read. {treatment.sentence}{then} [{known.value}]"


def message_rows(said: Said, people: People, width: int | None = None) -> list[Text]:
    """A message: time, name with its mark, and text, whose later lines are indented.

    The indentation is what keeps a text with line breaks from posing as a line of somebody else.
    """
    head = Text(clock_time(said.at) + "  ", style=_QUIET)
    if said.mine:
        head.append("you", style="bold cyan")
    else:
        mark, style = MARKS[people.verification(said.sender)]
        head.append(one_line(said.sender), style="bold")
        head.append(f" {mark}", style=style)
    head.append("  ")
    said_lines, style = body_lines(said)
    rows = [Text(line, style=style) for line in said_lines]
    if said.mine:
        rows[-1].append(f"  {_mark_of(said)}", style=_QUIET)
    return _indented(head, rows, width)


def _mark_of(said: Said) -> str:
    """What has become of something that we said."""
    mark = _STATES.get(said.state, said.state.value)
    if said.state is MessageState.UNSENT and said.reason in CODES:
        return f"{mark}: {CODES[Code(said.reason)].sentence}"
    return mark


def _indented(head: Text, rows: list[Text], width: int | None) -> list[Text]:
    if width is not None and width > head.cell_len + _SHORT_ID:
        rows = [piece for row in rows for piece in _wrapped(row, width - head.cell_len)]
    blank = Text(" " * head.cell_len)
    return [Text.assemble(head if at == 0 else blank, row) for at, row in enumerate(rows)]


def _wrapped(row: Text, width: int) -> list[Text]:
    from rich.console import Console

    pieces = row.wrap(Console(width=width), width, overflow="fold")
    for piece in pieces:
        piece.rstrip()
    return list(pieces)


def message_document(said: Said, peer: str) -> dict[str, Any]:
    """A message as JSON. `text` is null for what is no text, or can't be read."""
    readable = said.content is not None and not isinstance(said.content, Unknown)
    return {
        "code": _CODE_OF_STATE[said.state],
        "id": said.message_id.hex(),
        "with": peer,
        "group": said.conversation.hex() if said.in_group else None,
        "from": said.sender,
        "mine": said.mine,
        "at": said.at,
        "state": said.state.value,
        "text": said.text if readable else None,
        "reason": said.reason or None,
    }


# --- Events ------------------------------------------------------------------------------


def event_document(event: ClientEvent, people: People) -> Document:
    """An event that is no message, as JSON: its code, and its fields."""
    shown: dict[str, Any] = {"code": event.code.value}
    for each in dataclasses.fields(event):
        value = getattr(event, each.name)
        shown[each.name] = _plain(value)
        if each.name in ("conversation", "group"):
            shown["with"] = people.name(value)
        elif each.name in ("by", "account", "inviter") and value:
            shown[f"{each.name}_name"] = people.name(value)
    return shown


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Message):
        return value.message_id.hex()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def event_text(event: ClientEvent, people: People) -> Text | None:
    """An event that is no message, for people; None for what needs no words."""
    if isinstance(event, GroupEvent):
        return group_event_text(event, people)
    match event:
        case KeyChanged(name=name, stopped=stopped):
            return _key_changed(one_line(name), stopped=stopped)
        case SendingBlocked(conversation=conversation, reason=reason):
            # Without a list of our own devices, nothing leaves this one.
            name = "" if conversation == people.own else people.name(conversation)
            return _blocked(name, reason)
        case ContactAdded():
            return None
        case MessageSent() | MessageReceived() | MessageUnreadable():
            return None
        case ProfileChanged() | ReadElsewhere():
            return None
        case Connected():
            return None
        case DevicesChanged(account_id=account_id) if account_id == people.own:
            # Its owner is told with more words, whatever program was running (`notices`).
            return None
        case Disconnected(reason=reason):
            return Text(f"(offline: {CODES[reason].sentence} [{reason.value}])", style=_QUIET)
        case HistoryMismatch():
            return Text(_sentence(event, people), style=_ALARM)
        case _:
            return Text(_sentence(event, people), style=_WARNING)


def _sentence(event: ClientEvent, people: People) -> str:
    """What an event says in one sentence or two."""
    match event:
        case DevicesChanged(name=name, added=added, removed=removed):
            return f"⚠ {one_line(name)}'s devices changed: {len(added)} new, {len(removed)} gone."
        case MessageUnsent(message=message, reason=reason):
            why = CODES[reason].sentence
            where = people.name(message.conversation)
            return f"⚠ What you wrote to {where} was not sent, and stays on this device: {why}"
        case RequestReceived(name=name):
            who = one_line(name)
            return (
                f"{who} wants to talk with you. To hear them: parlour requests accept {who}. "
                f"Otherwise: parlour requests decline {who}, or parlour block {who}."
            )
        case RequestFull(name=name, count=count):
            return f"⚠ {count} further message(s) of {one_line(name)} were too many to keep."
        case StandingChanged(name=name, standing=standing):
            return f"Another device of yours decided about {one_line(name)}: {standing.value}."
        case SettingChanged(key=key, value=value):
            return f"Another device of yours set {one_line(key)} to {one_line(value)}."
        case DeviceAhead():
            return (
                "⚠ What another device of yours decides is not taken here: its clock is more than "
                "a month ahead. Put it right. Do you not have that device any more? Then, here: "
                "parlour lost-device"
            )
        case NamesDiffer(name=name, said=said):
            here = f"{one_line(name)} here" if name else "not the one of that name here"
            return (
                f"⚠ Who is {one_line(said)} on another device of yours is {here}. What that device "
                "says of them is not taken. Compare: parlour verify NAME, on each device. Is one "
                "of your devices not in your hands? Then, here: parlour lost-device"
            )
        case KeyReturned(name=name):
            return f"{one_line(name)} shows the verified key again."
        case DeviceLeftOut(account_id=account_id):
            return f"⚠ One of {people.name(account_id)}'s devices gets nothing until it is back."
        case _:
            return _of_server(event, people)


def _of_server(event: ClientEvent, people: People) -> str:
    """What the server did, or seems to have done."""
    match event:
        case MessageMissing(conversation=conversation, counters=counters):
            where = "in" if conversation in people.groups else "with"
            name = people.name(conversation)
            return f"⚠ {len(counters)} message(s) {where} {name} did not arrive."
        case MessagesSkipped(conversation=conversation):
            return f"⚠ The server left out {_left_out(conversation, people)}. It is asked again."
        case HistoryMismatch(conversation=conversation) if conversation in people.groups:
            return (
                f"⚠ The server showed somebody in {people.name(conversation)} another history than "
                "you. It may be attacking you: compare notes over another way."
            )
        case HistoryMismatch(conversation=conversation):
            return (
                f"⚠ The server showed {people.name(conversation)} another history than you. It may "
                "be attacking you: compare notes over another way."
            )
        case KeyPackageRefused(account_id=account_id, reason=reason):
            return (
                f"⚠ The server shows no good key of one of {people.name(account_id)}'s devices, "
                f"which is not added to groups. [{reason.value}]"
            )
        case ServerMisbehaved(what=what, reason=reason):
            return f"⚠ The server broke the protocol ({one_line(what)}) [{reason.value}]"
        case ServerRestored():
            return (
                "⚠ The server was restored from a backup: messages of the time between may come "
                "again, or be gone."
            )
        case _:
            return event.code.value


def _left_out(conversation: bytes, people: People) -> str:
    if conversation == people.own:
        return "something that is meant for this device"
    if conversation in people.groups:
        return f"something of what is said in {people.name(conversation)}"
    return f"something of what you and {people.name(conversation)} say"


def _blocked(name: str, reason: Any) -> Text:
    explanation = CODES[reason]
    waits = f"What you say to {name} waits." if name else "What you say to anybody waits."
    return Text(
        f"⚠ {waits} {explanation.sentence} {explanation.remedy} [{reason.value}]",
        style=_ALARM,
    )


def _key_changed(name: str, *, stopped: bool) -> Text:
    text = Text(f"⚠ {name}'s key has changed. ", style=_ALARM)
    text.append("Either they set up a new account, or somebody sits between you. ", style=_WARNING)
    if stopped:
        text.append("Nothing is sent until you decide. ", style=_WARNING)
    return text.append(f"Compare: parlour verify {name}", style="bold")
