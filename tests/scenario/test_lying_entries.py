"""A server that drops, repeats, mixes up and changes entries: it is named, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import Struct
from msgspec.structs import replace

from parlour.conversation.events import (
    HistoryMismatch,
    MessageMissing,
    MessageReceived,
    MessageUnreadable,
)
from parlour.conversation.reasons import Reason
from parlour.errors import Code, error
from parlour.testing.device import MemoryDevice
from parlour.wire.kinds import Kind
from parlour.wire.push import PushEntry
from parlour.wire.streams import Entry, Read
from tests.scenario.lies import behave, deliver
from tests.scenario.people import heard, two


def test_a_dropped_entry_is_missed() -> None:
    server, alice, bob = two()
    for number in range(3):
        alice.say("bob", f"{number}")
    dropped = len(server.streams[bob.machine.positions()[-1].stream].entries) - 1
    deliver(server, lambda entry: [] if entry.seq == dropped else [entry], to=bob)
    bob.connect()
    assert bob.texts() == ["hello", "0", "2"]
    missing = heard(bob, MessageMissing)
    assert [event.counters for event in missing] == [(3,)]
    assert missing[0].sender_device == alice.machine.device_id
    bob.say("alice", "did you say something?")
    alice.say("bob", "yes")
    bob.pull()
    assert len(heard(bob, MessageMissing)) == 1  # told once


def test_a_gap_that_can_not_be_read_is_tried_on_the_next_connection() -> None:
    server, alice, bob = two()
    alice.say("bob", "1")
    stream = bob.machine.positions()[-1].stream
    dropped = len(server.streams[stream].entries)
    alice.say("bob", "2")
    deliver(server, lambda entry: [] if entry.seq == dropped else [entry], to=bob)
    refused: list[Read] = []
    request = server.request

    def refuse(device_id: bytes, kind: Kind, body: Struct) -> Struct:
        if isinstance(body, Read) and device_id == bob.machine.device_id:
            refused.append(body)
            raise error(Code.STREAM_UNKNOWN)
        return request(device_id, kind, body)

    server.request = refuse  # type: ignore[method-assign]
    bob.connect()
    for _ in range(10):
        bob.wait(60_000)
    assert len(refused) == 1
    assert bob.texts() == ["hello", "2"]
    behave(server)
    server.deliver = lambda entry, device_id: [entry]
    server.request = request  # type: ignore[method-assign]
    bob.connect()
    assert bob.texts() == ["hello", "1", "2"]


def test_a_server_that_is_not_told_how_far_we_read_wakes_nobody_each_second() -> None:
    server, alice, bob = two()
    request = server.request

    def refuse(device_id: bytes, kind: Kind, body: Struct) -> Struct:
        if kind is Kind.ACKNOWLEDGE:
            raise error(Code.INTERNAL_BUG)
        return request(device_id, kind, body)

    server.request = refuse  # type: ignore[method-assign]
    alice.say("bob", "hello")
    bob.pull()
    until, wakes = server.now + 600_000, 0
    while (at := bob.machine.next_timeout()) is not None and at < until:
        bob.wait(max(at - server.now, 1))
        wakes += 1
    assert 0 < wakes < 40
    assert bob.texts() == ["hello", "hello"]


def test_mixed_up_and_repeated_entries_are_read_once_in_order() -> None:
    server, alice, bob = two()
    bob.disconnect()
    for number in range(5):
        alice.say("bob", f"{number}")

    bob.online = True
    started = server.live_start(bob.machine.device_id, bob.machine.positions())
    bob.machine.connected(
        replace(started, entries=[*reversed(started.entries), *started.entries]), server.now
    )
    bob.settle()
    assert bob.texts() == ["hello", *map(str, range(5))]
    assert len(heard(bob, MessageReceived)) == 6
    assert heard(bob, MessageMissing) == []


def test_entries_given_new_numbers_are_not_read_twice() -> None:
    server, _, bob = two()
    stream = server.streams[bob.machine.positions()[-1].stream]
    for entry in [stored.entry for stored in stream.entries]:
        part = stream.entries[entry.seq - 1].parts.get(bob.machine.device_id)
        again = replace(entry, seq=len(stream.entries) + entry.seq, part=part)
        bob.machine.pushed(PushEntry(again), server.now)
    bob.settle()
    assert bob.texts() == ["hello"]
    assert len(heard(bob, MessageReceived)) == 1
    assert heard(bob, MessageUnreadable) == []


def test_two_histories_for_two_people_are_noticed() -> None:
    server, alice, bob = two()
    alice.say("bob", "one")
    stream = server.streams[bob.machine.positions()[-1].stream]
    hidden = stream.entries.pop()
    bob.pull()
    bob.say("alice", "another history")  # takes the number that Alice's message has for her
    entry = replace(
        stream.entries[-1].entry,
        seq=hidden.entry.seq + 1,
        part=stream.entries[-1].parts[alice.machine.device_id],
    )
    alice.machine.pushed(PushEntry(entry), server.now)
    alice.settle()
    alice.say("bob", "what?")
    bob.pull()
    mismatches = heard(bob, HistoryMismatch) + heard(bob, MessageMissing)
    assert mismatches
    assert "one" not in bob.texts()


def _flip(data: bytes, at: int = -1) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def _body(entry: Entry) -> Entry:
    return replace(entry, envelope=replace(entry.envelope, body=_flip(entry.envelope.body)))


_TAMPERED: dict[str, tuple[Callable[[Entry], Entry], Reason]] = {
    "body": (_body, Reason.TAMPERED),
    "part": (lambda e: replace(e, part=_flip(e.part or b"")), Reason.TAMPERED),
    "id": (lambda e: replace(e, client_id=_flip(e.client_id)), Reason.TAMPERED),
    "no part": (lambda e: replace(e, part=None), Reason.NO_PART),
    "garbage": (lambda e: replace(e, part=bytes(80)), Reason.NEWER_FORMAT),
    "sender": (lambda e: replace(e, sender_account=bytes(16)), Reason.UNKNOWN_DEVICE),
    "device": (lambda e: replace(e, sender_device=bytes(16)), Reason.UNKNOWN_DEVICE),
    "format": (
        lambda e: replace(e, envelope=replace(e.envelope, format=9)),
        Reason.NEWER_FORMAT,
    ),
    "suite": (
        lambda e: replace(e, envelope=replace(e.envelope, suite=0x100)),
        Reason.NEWER_FORMAT,
    ),
}


@pytest.mark.parametrize("what", _TAMPERED)
def test_a_tampered_entry_is_named(what: str) -> None:
    change, reason = _TAMPERED[what]
    server, alice, bob = two()
    alice.say("bob", "before")
    bob.pull()
    alice.say("bob", "tampered")
    alice.say("bob", "fine")
    deliver(server, lambda e: [change(e)] if e.seq == 4 else [e], to=bob)
    bob.pull()
    behave(server)
    assert bob.texts() == ["hello", "before", "fine"]  # one bad entry does not stop the next
    assert [event.reason for event in heard(bob, MessageUnreadable)] == [reason]
    alice.pull()
    bob.pull()
    resent = what in ("body", "part", "no part")
    assert bob.texts() == ["hello", "before", *(["tampered"] if resent else []), "fine"]
    restarts = len(heard(bob, MessageUnreadable))
    bob.restart()
    bob.connect()
    assert len(heard(bob, MessageUnreadable)) == restarts


def test_an_entry_of_one_conversation_is_not_read_in_another() -> None:
    server, alice, bob = two()
    carol = MemoryDevice(server, "carol")
    carol.connect()
    alice.say("carol", "for carol")
    carol.say("bob", "hello bob")
    bob.pull()
    stream = next(position.stream for position in bob.machine.positions()[1:] if position.seq == 2)
    target = server.streams[stream]
    stored = target.entries[0]
    moved = replace(
        stored.entry,
        stream=next(p.stream for p in bob.machine.positions()[1:] if p.stream != stream),
        seq=2,
        part=stored.parts[bob.machine.device_id],
    )
    bob.machine.pushed(PushEntry(moved), server.now)
    bob.settle()
    assert [event.reason for event in heard(bob, MessageUnreadable)] == [Reason.UNKNOWN_DEVICE]
    assert alice.texts() == ["hello to you"]


def test_an_own_entry_that_is_not_what_we_sent_is_noticed() -> None:
    server, alice, bob = two()

    def lost(step: str) -> None:
        if step == "after request":
            raise error(Code.NETWORK_TIMEOUT)

    bob_id = bob.machine.account_id
    alice.machine.send(bob_id, alice.content("mine"), server.now)
    alice.fault = lost
    alice.settle()
    alice.fault = lambda step: None
    deliver(server, lambda entry: [_body(entry)], to=alice)
    alice.connect()
    assert [event.sender_device for event in heard(alice, HistoryMismatch)] == [
        alice.machine.device_id
    ]
