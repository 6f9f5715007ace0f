"""What a stranger sends and nobody can read: nothing comes of it until somebody says yes."""

from __future__ import annotations

import pytest
from msgspec import Struct
from msgspec.structs import replace

from parlour.conversation import repair
from parlour.conversation.changes import MessageState
from parlour.conversation.content import Text
from parlour.conversation.events import (
    Event,
    HistoryMismatch,
    MessageMissing,
    MessageReceived,
    MessageUnreadable,
    RequestFull,
    RequestReceived,
)
from parlour.conversation.people import MAX_REQUESTED
from parlour.conversation.reasons import Reason
from parlour.errors import Code, error
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.kinds import Kind
from parlour.wire.streams import Entry
from tests.scenario.lies import behave, deliver
from tests.scenario.people import heard, strangers, two
from tests.scenario.test_requests import asked, decide

DAY = 24 * 3_600_000
LOUD = (MessageUnreadable, MessageMissing, HistoryMismatch, MessageReceived)


def without_parts(server: MemoryServer, to: MemoryDevice, of: MemoryDevice) -> None:
    """A sender that leaves the part for that device out."""
    inbox, sender = to.machine.device_id, of.machine.device_id

    def strip(entry: Entry) -> list[Entry]:
        strips = entry.stream != inbox and entry.sender_device == sender
        return [replace(entry, part=None) if strips else entry]

    deliver(server, strip, to=to)


def unreadable(count: int) -> tuple[MemoryServer, MemoryDevice, MemoryDevice]:
    """Eve, a stranger, has sent Alice so much that Alice can't read."""
    server, alice, eve = strangers()
    alice.welcoming = False
    eve.meet("alice")
    without_parts(server, to=alice, of=eve)
    for number in range(count):
        eve.machine.send(alice.machine.account_id, Text(f"{number}"), server.now)
    eve.settle()
    alice.pull()
    return server, alice, eve


def loud(device: MemoryDevice) -> list[Event]:
    return [event for event in device.events if isinstance(event, LOUD)]


def asks(server: MemoryServer, of: MemoryDevice) -> int:
    """How many entries others put into the inbox of a device."""
    return len(server.streams[of.machine.device_id].entries)


def test_a_stranger_gets_no_answer_and_nothing_is_shown() -> None:
    server, alice, eve = unreadable(3)
    for _ in range(4):
        alice.wait(DAY)
        alice.restart()
        alice.connect()
    assert asks(server, eve) == 0
    assert loud(alice) == []
    assert not alice.store.messages
    # A request it is: somebody who means well is not passed over in silence.
    assert [event.name for event in heard(alice, RequestReceived)] == ["bob"]


def test_what_was_held_is_asked_for_when_they_are_accepted() -> None:
    server, alice, eve = unreadable(3)
    alice.restart()
    alice.connect()
    decide(alice, "accept_request", eve)
    reasons = [event.reason for event in heard(alice, MessageUnreadable)]
    assert reasons == [Reason.NO_PART] * 3
    assert asks(server, eve) == 3
    eve.pull()
    alice.pull()
    assert alice.texts() == ["0", "1", "2"]
    assert len(heard(alice, MessageUnreadable)) == 3


def test_what_was_held_too_long_is_counted() -> None:
    server, alice, eve = unreadable(2)
    alice.wait(7 * DAY)
    assert not alice.machine._memory.held
    assert loud(alice) == []
    decide(alice, "accept_request", eve)
    assert asks(server, eve) == 0
    assert [event.count for event in heard(alice, RequestFull)] == [2]


def test_what_is_late_when_they_are_accepted_is_not_asked_for() -> None:
    server, alice, eve = unreadable(1)
    server.now += 7 * DAY
    decide(alice, "accept_request", eve)
    assert asks(server, eve) == 0
    alice.wait(0)
    reasons = [event.reason for event in heard(alice, MessageUnreadable)]
    assert reasons == [Reason.NO_PART, Reason.LOST]


def test_a_no_drops_what_was_held() -> None:
    server, alice, eve = unreadable(2)
    decide(alice, "decline", eve)
    assert not alice.machine._memory.held
    alice.wait(7 * DAY)
    assert (loud(alice), asks(server, eve)) == ([], 0)


def test_no_more_is_held_than_a_request_may_have() -> None:
    server, alice, eve = unreadable(MAX_REQUESTED + 3)
    assert len(alice.machine._memory.held) == MAX_REQUESTED
    behave(server)
    eve.say("alice", "one that can be read")
    alice.pull()
    decide(alice, "accept_request", eve)
    assert [event.count for event in heard(alice, RequestFull)] == [3]


def test_what_can_be_read_takes_from_the_same_room() -> None:
    server, alice, eve = unreadable(0)
    behave(server)
    for number in range(MAX_REQUESTED):
        eve.machine.send(alice.machine.account_id, Text(f"{number}"), server.now)
    eve.settle()
    alice.pull()
    without_parts(server, to=alice, of=eve)
    eve.say("alice", "one more")
    alice.pull()
    assert not alice.machine._memory.held


@pytest.mark.parametrize("number", [True, False])
def test_strangers_take_no_room_from_friends(
    monkeypatch: pytest.MonkeyPatch, *, number: bool
) -> None:
    server, alice, bob = two()
    eves = [MemoryDevice(server, f"eve{number}") for number in range(3)]
    for eve in eves:
        eve.connect()
        eve.meet("alice")
    alice.welcoming = False
    inbox = alice.machine.device_id
    deliver(server, lambda e: [e if e.stream == inbox else replace(e, part=None)], to=alice)
    monkeypatch.setattr(repair, *(("MAX_HELD", 25) if number else ("MAX_HELD_BYTES", 12_000)))
    for eve in eves:
        for _ in range(10):
            eve.machine.send(alice.machine.account_id, Text("x"), server.now)
        eve.settle()
    alice.pull()
    held = len(alice.machine._memory.held)
    assert held == 5 if number else 0 < held < 10
    bob.say("alice", "a friend")
    alice.pull()
    bob.pull()
    alice.pull()
    assert "a friend" in alice.texts()


def test_a_friend_takes_no_room_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    server, alice, bob = two()
    carol = MemoryDevice(server, "carol")
    carol.connect()
    carol.say("alice", "hi")
    alice.pull()
    inbox = alice.machine.device_id
    deliver(server, lambda e: [e if e.stream == inbox else replace(e, part=None)], to=alice)
    monkeypatch.setattr(repair, "MAX_HELD", 15)
    for number in range(20):
        carol.say("alice", f"{number}")
    alice.pull()
    assert len(alice.machine._memory.held) == 3
    bob.say("alice", "a friend")
    alice.pull()
    bob.pull()
    alice.pull()
    assert "a friend" in alice.texts()


def test_a_stranger_raises_no_alarm() -> None:
    server, alice, eve = asked()  # here bob is asked by alice
    known = alice.machine._memory.conversations[eve.machine.account_id]
    known.sent_counter += 40
    known.last_seq, known.last_hash = 1, bytes(32)
    alice.say("bob", "did you miss anything?")
    stream = server.streams[known.stream]
    eve.pull()
    assert loud(eve) == []
    # The same entry once more, under another id.
    last = stream.entries[-1]
    again = replace(
        last.entry,
        seq=len(stream.entries) + 1,
        client_id=bytes(16),
        part=last.parts[eve.machine.device_id],
    )
    eve.machine.receive(again, server.now)
    eve.settle()
    states = {message.state for message in eve.store.messages.values()}
    assert states == {MessageState.REQUESTED}
    assert loud(eve) == []


def test_what_waits_for_a_list_goes_on_waiting_for_it() -> None:
    server, alice, bob = asked()
    laptop = MemoryDevice(server, "alice", seed="laptop", beside=alice, linked=True)
    laptop.connect()

    def silent(device_id: bytes, asked: Kind, body: Struct, honest: Struct) -> Struct:
        if asked is Kind.READ_DEVICE_LIST and device_id == bob.machine.device_id:
            raise error(Code.NETWORK_TIMEOUT)
        return honest

    server.answer = silent
    bob.connect()
    laptop.say("bob", "from a new device")
    alice.connect()
    alice.say("bob", "from the old one")
    bob.pull()
    decide(bob, "accept_request", alice)
    assert heard(bob, MessageUnreadable) == []  # a list is read within a moment
    behave(server)
    bob.wait(70_000)
    assert bob.texts() == ["hello 0", "from a new device", "from the old one"]
