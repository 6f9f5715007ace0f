"""What a person must hear of, kept until it was shown."""

from __future__ import annotations

import msgspec
import pytest

from parlour.client.warnings import MAX_WARNINGS, Warned, Warnings
from parlour.conversation import events
from parlour.conversation.changes import Namespace, PutRecord
from parlour.errors import Code, StorageError

ALL: list[Warned] = [
    events.KeyChanged(bytes(16), "bob", stopped=True),
    events.KeyReturned(bytes(16), "bob"),
    events.HistoryMismatch(bytes(16), bytes(16), 3),
    events.MessageMissing(bytes(16), bytes(16), (4, 5)),
    events.RequestReceived(bytes(16), "eve"),
    events.GroupJoined(bytes(16), "trip", bytes(16), invited=True),
    events.GroupLeft(bytes(16), "trip", bytes(16)),
    events.GroupRefused(bytes(16), "add", Code.ROSTER_FORBIDDEN),
    events.GroupRestarted(bytes(16), bytes(16), (bytes(16),)),
    events.GroupForked(bytes(16), 7, bytes(16)),
    events.GroupUnconfirmed(bytes(16)),
    events.GroupListUnread(bytes(16), (bytes(16),), waits=True),
    events.CommitRefused(bytes(16), 7, bytes(16), Code.ROSTER_FORBIDDEN, "remove"),
    events.ServerMisbehaved("append", Code.SERVER_MISBEHAVED),
    events.ServerRestored(),
]


def kept(warnings: Warnings) -> Warnings:
    """As the next program reads them."""
    change = warnings.change()
    assert isinstance(change, PutRecord)
    return Warnings.load({change.namespace: {change.key: change.value}})


def test_each_kind_comes_back_as_it_was() -> None:
    assert kept(Warnings().after(ALL, [])).waiting == tuple(ALL)
    assert {type(each) for each in ALL} == set(Warned.__args__)
    assert Warnings.load({}).waiting == ()


def test_what_was_shown_goes_and_what_is_no_warning_never_comes() -> None:
    other = events.SettingChanged("colour", "red")
    warnings = Warnings().after([*ALL, other, ALL[0]], [])
    assert warnings.waiting == tuple(ALL)
    assert warnings.after([], ALL[1:]).waiting == (ALL[0],)
    assert warnings.after([ALL[0]], ALL).waiting == (ALL[0],), "it happened once more"


def test_many_of_one_kind_push_out_no_other() -> None:
    lies = [events.ServerMisbehaved(str(number), Code.SERVER_MISBEHAVED) for number in range(500)]
    warnings = Warnings().after([ALL[0], *lies, ALL[2]], [])
    assert len(warnings.waiting) == MAX_WARNINGS
    assert warnings.waiting[0] == ALL[0]
    assert warnings.waiting[-2:] == (lies[-1], ALL[2])


def test_a_newer_program_s_are_left_out_and_damage_is_named() -> None:
    newer = msgspec.msgpack.encode([("sky.fell", {}), ("server.restored", {})])
    assert Warnings.load({Namespace.SERVER: {b"warnings": newer}}).waiting == (ALL[-1],)
    for damaged in (b"", b"x", msgspec.msgpack.encode([("contact.key_changed", {})])):
        with pytest.raises(StorageError):
            Warnings.load({Namespace.SERVER: {b"warnings": damaged}})
