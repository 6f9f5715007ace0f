from __future__ import annotations

import json
import typing

import pytest

from parlour.cli.shown import (
    People,
    clock_time,
    date_and_time,
    day,
    event_document,
    event_text,
    message_document,
    message_rows,
    unreadable_sentence,
)
from parlour.client.client import ClientEvent, Connected, Disconnected, Said
from parlour.conversation import events
from parlour.conversation.changes import Message, MessageState
from parlour.conversation.content import Content, Text, Unknown
from parlour.conversation.reasons import Reason
from parlour.conversation.standing import Standing
from parlour.errors import Code

NOBODY = People({})
MESSAGE = Message(
    bytes(16), bytes(16), bytes(16), bytes(16), 1, 0, 0, MessageState.RECEIVED, b"secret"
)
EVENTS: list[ClientEvent] = [
    Connected(),
    Disconnected(Code.NETWORK_CLOSED, final=False),
    events.MessageReceived(MESSAGE, Text("secret")),
    events.MessageSent(MESSAGE),
    events.MessageUnsent(MESSAGE, Code.GROUP_OVER),
    events.MessageUnreadable(MESSAGE, Reason.TAMPERED, 0),
    events.MessageMissing(bytes(16), bytes(16), (1, 2)),
    events.MessagesSkipped(bytes(16), 3, 7),
    events.HistoryMismatch(bytes(16), bytes(16), 4),
    events.ContactAdded(bytes(16), "bob"),
    events.KeyChanged(bytes(16), "bob", stopped=True),
    events.KeyReturned(bytes(16), "bob"),
    events.DevicesChanged(bytes(16), "bob", (bytes(16),), ()),
    events.SendingBlocked(bytes(16), Code.ACCOUNT_KEY_CHANGED),
    events.RequestReceived(bytes(16), "bob"),
    events.RequestFull(bytes(16), "bob", 5),
    events.StandingChanged(bytes(16), "bob", Standing.BLOCKED),
    events.ProfileChanged(bytes(16)),
    events.ReadElsewhere(bytes(16), 5),
    events.SettingChanged("colour", "red"),
    events.DeviceAhead(bytes(16)),
    events.NamesDiffer(bytes(16), "bob", "robert"),
    events.NamesDiffer(bytes(16), "", "bob"),
    events.DeviceLeftOut(bytes(16), bytes(16)),
    events.KeyPackageRefused(bytes(16), bytes(16), Code.KEY_PACKAGE_INVALID),
    events.GroupJoined(bytes(16), "trip", bytes(16), invited=True),
    events.GroupJoined(bytes(16), "trip", bytes(16), invited=False),
    events.GroupJoined(bytes(16), "trip", bytes(16), invited=False, confirmed=False),
    events.GroupJoined(bytes(16), "trip", b"", invited=True, confirmed=False),
    events.GroupJoined(bytes(16), "trip", b"", invited=False, confirmed=False),
    *(
        events.GroupChanged(bytes(16), bytes(16), change, bytes(16), role=3, name="trip")
        for change in events.GroupChange
    ),
    *(
        events.GroupChanged(bytes(16), b"", change, bytes(16), role=3)
        for change in events.GroupChange
    ),
    events.GroupChanged(bytes(16), bytes(16), events.GroupChange.RENAMED, b""),
    events.GroupLeft(bytes(16), "trip", bytes(16)),
    events.GroupRefused(bytes(16), "add", Code.ROSTER_FORBIDDEN),
    events.GroupRefused(bytes(16), "of tomorrow", Code.ROSTER_FORBIDDEN),
    events.GroupRepairing(bytes(16), "gap", "fetch"),
    events.GroupRepairing(bytes(16), "gap", "ask"),
    events.GroupRepaired(bytes(16), confirmed=True),
    events.GroupRepaired(bytes(16), confirmed=False),
    events.GroupRestarted(bytes(16), bytes(16), (bytes(16),)),
    events.GroupRestarted(bytes(16), bytes(16), (), needless=True),
    events.GroupForked(bytes(16), 7, bytes(16)),
    events.GroupUnconfirmed(bytes(16)),
    events.GroupListUnread(bytes(16), (bytes(16),), waits=False),
    events.GroupListUnread(bytes(16), (bytes(16),), waits=True),
    *(
        events.GroupDevice(bytes(16), bytes(16), change, bytes(16), bytes(16))
        for change in events.DeviceChange
    ),
    events.CommitRefused(bytes(16), 7, bytes(16), Code.ROSTER_FORBIDDEN, "remove"),
    events.ServerRestored(),
    events.ServerMisbehaved("append", Code.SERVER_MISBEHAVED),
]


def said(content: Content | None, state: MessageState = MessageState.RECEIVED) -> Said:
    mine = state in (MessageState.QUEUED, MessageState.SENT, MessageState.UNSENT)
    reasons = {
        MessageState.UNREADABLE: Reason.TAMPERED.value,
        MessageState.UNSENT: Code.GROUP_OVER.value,
    }
    reason = reasons.get(state, "")
    return Said(bytes(16), "bob", mine, 0, state, content, reason)


def test_every_event_is_shown_here() -> None:
    assert {type(event) for event in EVENTS} == set(typing.get_args(ClientEvent))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.code.value)
def test_events(event: ClientEvent) -> None:
    document = json.loads(json.dumps(event_document(event, NOBODY), default=repr))
    assert document["code"] == event.code.value
    text = event_text(event, NOBODY)
    if isinstance(event, events.GroupChanged):
        # A name is told of when it is known.
        assert (text is None) == (event.change is events.GroupChange.RENAMED and not event.name)
    elif text is None:
        assert event.code.value.startswith(
            ("message.", "contact.added", "connection.up", "profile.", "group.repair")
        )
    else:
        assert text.plain != event.code.value


def test_a_changed_key_says_what_to_do() -> None:
    text = event_text(events.KeyChanged(bytes(16), "bob\x1b[2J", stopped=True), NOBODY)
    assert text is not None
    assert "parlour verify bob␛[2J" in text.plain
    assert "Nothing is sent until you decide" in text.plain


def test_what_concerns_our_own_account_has_its_own_words() -> None:
    own = People({}, bytes(16))
    text = event_text(events.SendingBlocked(bytes(16), Code.DEVICE_LIST_ROLLBACK), own)
    assert text is not None
    assert text.plain.startswith("⚠ What you say to anybody waits. ")
    text = event_text(events.MessagesSkipped(bytes(16), 3, 7), own)
    assert text is not None
    assert "meant for this device" in text.plain


def test_who_was_put_into_a_group_by_nobody_knows_whom_is_told_so() -> None:
    told = event_text(events.GroupJoined(bytes(16), "trip", b"", True, False), NOBODY)
    assert told is not None
    assert "Who it was, only the server says." in told.plain
    assert "parlour group accept" in told.plain
    told = event_text(events.GroupJoined(bytes(16), "trip", b"", False, False), NOBODY)
    assert told is not None
    assert "a link" not in told.plain


def test_later_lines_stand_under_the_first() -> None:
    first, second = message_rows(said(Text("one\n09:00  alice ✓  two")), NOBODY)
    assert first.plain.endswith("bob ?  one")
    assert second.plain.index("09:00") == first.plain.index("one")


def test_long_texts_are_wrapped_to_the_width() -> None:
    rows = message_rows(said(Text("word " * 30)), NOBODY, 40)
    assert len(rows) > 4
    assert max(row.cell_len for row in rows) <= 40
    assert all(row.plain.startswith("       ") for row in rows[1:])


def test_states_and_kinds() -> None:
    assert message_rows(said(Text("hi"), MessageState.QUEUED), NOBODY)[0].plain.endswith("waiting")
    assert message_rows(said(Text("hi"), MessageState.SENT), NOBODY)[0].plain.endswith("sent")
    assert "newer version" in message_rows(said(Unknown(9, 9, b"")), NOBODY)[0].plain
    unsent = message_rows(said(Text("hi"), MessageState.UNSENT), NOBODY)[0].plain
    assert unsent.endswith("hi  not sent: You are not in that group any more.")

    unreadable = said(None, MessageState.UNREADABLE)
    assert "unreadable.tampered" in message_rows(unreadable, NOBODY)[0].plain


@pytest.mark.parametrize(
    ("content", "state", "code", "text"),
    [
        (Text("hi"), MessageState.RECEIVED, "message.received", "hi"),
        (Text("hi"), MessageState.SENT, "message.sent", "hi"),
        (Text("hi"), MessageState.QUEUED, "message.queued", "hi"),
        (Text("hi"), MessageState.UNSENT, "message.unsent", "hi"),
        (Unknown(9, 9, b""), MessageState.RECEIVED, "message.received", None),
        (None, MessageState.UNREADABLE, "message.unreadable", None),
    ],
)
def test_documents(
    content: Content | None, state: MessageState, code: str, text: str | None
) -> None:
    document = message_document(said(content, state), "bob")
    assert (document["code"], document["text"], document["state"]) == (code, text, state.value)


def test_each_reason_has_its_sentence() -> None:
    for reason in Reason:
        assert f"[{reason.value}]" in unreadable_sentence(reason.value)
    assert "unreadable.of_tomorrow" in unreadable_sentence("unreadable.of_tomorrow")


def test_impossible_times() -> None:
    assert clock_time(1 << 62) == "--:--"
    assert day(1 << 62) == "at an impossible time"
    assert date_and_time(1 << 62) == "never"
