"""A server that lies about the numbers of entries, and what comes of it once it behaves."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from parlour.conversation import numbers
from parlour.conversation.events import (
    HistoryMismatch,
    MessageMissing,
    MessagesSkipped,
    MessageUnreadable,
    ServerMisbehaved,
)
from parlour.conversation.gaps import GAP_KEPT
from parlour.conversation.records import Conversation, Gap
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.kinds import Kind
from parlour.wire.push import PushEntry
from parlour.wire.streams import Entry, Page
from tests.scenario.lies import behave, deliver, lie
from tests.scenario.people import heard, meet_again, two
from tests.scenario.test_own_devices import settle, three

FAR = 10**12


def conversation_of(device: MemoryDevice, peer: MemoryDevice) -> Conversation:
    return device.machine._memory.conversations[peer.machine.account_id]


def hide(server: MemoryServer, to: MemoryDevice, *hidden: int) -> None:
    """Keep these numbers of the conversation from one device."""
    inbox = to.machine.device_id
    deliver(server, lambda e: [] if e.seq in hidden and e.stream != inbox else [e], to=to)


def acknowledged(server: MemoryServer, device: MemoryDevice, peer: MemoryDevice) -> int:
    return server.acknowledged[device.machine.device_id, conversation_of(device, peer).stream]


def test_what_was_left_out_of_a_page_comes_once_the_server_behaves() -> None:
    server, alice, bob = two()
    bob.pull()
    for text in ("three", "four", "five"):
        alice.say("bob", text)
    hide(server, bob, 3, 4)
    bob.connect()
    assert bob.texts() == ["hello", "five"]
    assert heard(bob, MessagesSkipped) == [MessagesSkipped(alice.machine.account_id, 2, 5)]
    bob.wait(60_000)
    assert acknowledged(server, bob, alice) == 2  # else they would be trimmed
    hide(server, bob, 3)
    bob.restart()
    bob.connect()
    assert bob.texts() == ["hello", "four", "five"]
    behave(server)
    bob.connect()
    assert bob.texts() == ["hello", "three", "four", "five"]
    assert conversation_of(bob, alice).gaps == []
    bob.wait(60_000)
    assert acknowledged(server, bob, alice) == 5
    assert len(heard(bob, MessagesSkipped)) == 1
    assert heard(bob, MessageUnreadable) == []
    alice.say("bob", "six")
    bob.pull()
    assert len(heard(bob, MessageMissing)) == 1  # while they were hidden


def test_a_gap_is_asked_for_once_per_connection_and_given_up_after_a_month() -> None:
    server, alice, bob = two()
    bob.pull()
    alice.say("bob", "three")
    alice.say("bob", "four")
    hide(server, bob, 3)
    asked = 0

    def count(page: Page) -> Page:
        nonlocal asked
        asked += 1
        return page

    lie(server, Kind.READ, count, to=bob)
    bob.connect()
    bob.wait(70_000)
    assert asked == 1
    bob.connect()
    assert asked == 2
    server.now += GAP_KEPT
    bob.connect()
    assert asked == 2
    bob.wait(60_000)
    assert acknowledged(server, bob, alice) == 4


def test_a_page_for_a_gap_moves_nothing_on() -> None:
    server, alice, bob = two()
    bob.pull()
    alice.say("bob", "three")
    alice.say("bob", "four")
    hide(server, bob, 3)

    def far(page: Page) -> Page:
        beyond = [replace(entry, seq=FAR) for entry in page.entries]
        elsewhere = [replace(entry, stream=b"x" * 16, seq=3) for entry in page.entries]
        return replace(page, entries=beyond + elsewhere)

    lie(server, Kind.READ, far, to=bob)
    bob.connect()
    assert conversation_of(bob, alice).received == 4
    behave(server)
    bob.connect()
    assert bob.texts() == ["hello", "three", "four"]


def test_a_pushed_entry_of_a_gap_is_taken() -> None:
    server, alice, bob = two()
    bob.pull()
    for text in ("three", "four", "five"):
        alice.say("bob", text)
    stream = server.streams[conversation_of(bob, alice).stream]
    hide(server, bob, 3, 4)
    bob.connect()
    late = stream.entries[3]
    pushed = replace(late.entry, part=late.parts[bob.machine.device_id])
    bob.machine.pushed(PushEntry(pushed), server.now)
    bob.machine.pushed(PushEntry(pushed), server.now)
    bob.settle()
    assert bob.texts() == ["hello", "four", "five"]


def test_a_number_far_ahead_loses_nothing() -> None:
    server, alice, bob = two()
    bob.pull()
    alice.say("bob", "three")
    deliver(server, lambda e: [replace(e, seq=FAR)], to=bob)
    bob.connect()
    assert bob.texts() == ["hello", "three"]
    behave(server)
    bob.machine.mark_all_read(alice.machine.account_id, server.now)
    alice.say("bob", "four")
    bob.pull()  # a push with a number that lies in the gap
    alice.say("bob", "five")
    bob.connect()
    assert bob.texts() == ["hello", "four", "five", "three"]
    assert [event.what for event in heard(bob, ServerMisbehaved)] == ["numbers"]
    known = conversation_of(bob, alice)
    assert (known.received, known.gaps, known.read, known.last_seq) == (5, [], 4, 5)
    bob.say("alice", "six")
    bob.connect()
    alice.pull()
    assert len(heard(bob, ServerMisbehaved)) == 1
    assert heard(alice, HistoryMismatch) == []


def test_a_home_of_before_gaps_were_known_goes_back_as_well() -> None:
    _, alice, bob = two()
    bob.pull()
    known = conversation_of(bob, alice)
    known.received = known.read = FAR
    bob.machine._memory.inbox.received = FAR
    alice.say("bob", "three")
    bob.connect()
    assert bob.machine._memory.inbox.received == 0
    alice.say("bob", "four")
    bob.pull()
    assert bob.texts() == ["hello", "four"]


def test_a_number_far_ahead_in_a_stream_that_is_refused_is_taken_back() -> None:
    server, alice, bob = two()
    known = server.streams[conversation_of(alice, bob).stream]
    second = replace(known.info, stream=b"2" * 16)
    server.streams[second.stream] = type(known)(second)
    alice.connect()
    alice.machine._memory.refused[second.stream] = FAR
    alice.connect()
    assert alice.machine._memory.refused[second.stream] == 0
    assert len(heard(alice, ServerMisbehaved)) == 1


def test_an_answer_with_a_number_far_ahead_moves_nothing() -> None:
    server, alice, bob = two()
    alice.pull()
    lie(server, Kind.APPEND, lambda appended: replace(appended, seq=FAR), to=alice)
    message_id = alice.say("bob", "three")
    behave(server)
    bob.pull()
    bob.say("alice", "four")
    alice.pull()
    assert alice.texts() == ["hello to you", "four"]
    assert conversation_of(alice, bob).last_seq == 4
    assert [event.seq for event in heard(alice, HistoryMismatch)] == [FAR]
    key = (bob.machine.account_id, alice.machine.device_id, message_id)
    assert alice.store.messages[key].seq == 3


def test_after_a_restart_as_well() -> None:
    server, alice, bob = two()
    alice.pull()
    lie(server, Kind.APPEND, lambda appended: replace(appended, seq=FAR), to=alice)
    message_id = alice.say("bob", "three")
    behave(server)
    alice.restart()
    alice.connect()
    assert [event.seq for event in heard(alice, HistoryMismatch)] == [FAR]
    key = (bob.machine.account_id, alice.machine.device_id, message_id)
    assert alice.store.messages[key].seq == 3
    alice.restart()
    alice.connect()
    assert len(heard(alice, HistoryMismatch)) == 1


def test_an_own_entry_that_is_not_what_was_answered_is_noticed() -> None:
    server, alice, bob = two()
    alice.pull()
    alice.say("bob", "three")

    def other(entry: Entry) -> list[Entry]:
        return [replace(entry, envelope=replace(entry.envelope, body=bytes(256)))]

    deliver(server, other, to=alice)
    alice.pull()
    mismatches = heard(alice, HistoryMismatch)
    assert mismatches == [
        HistoryMismatch(bob.machine.account_id, alice.machine.device_id, 3),
    ]


def test_a_message_of_a_forgotten_contact_does_not_come_back_by_its_number() -> None:
    server, alice, bob = two()
    alice.pull()
    lie(server, Kind.APPEND, lambda appended: replace(appended, seq=FAR), to=alice)
    alice.say("bob", "three")
    alice.machine.forget(bob.machine.account_id, server.now)
    alice.settle()
    alice.pull()
    assert not alice.store.messages


def test_only_so_many_answers_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    from parlour.conversation import sending

    monkeypatch.setattr(sending, "_MAX_NUMBERED", 1)
    server, alice, _ = two()
    alice.pull()
    lie(server, Kind.APPEND, lambda appended: replace(appended, seq=FAR), to=alice)
    alice.say("bob", "three")
    alice.say("bob", "four")
    alice.pull()
    assert len(heard(alice, HistoryMismatch)) == 1


@pytest.mark.parametrize("far", [True, False])
def test_a_jump_in_an_inbox_ends_no_repairs(far: bool) -> None:
    server, alice, bob = two()

    def unreadable(entry: Entry) -> list[Entry]:
        inbox = entry.stream == bob.machine.device_id
        return [entry if inbox else replace(entry, part=None)]

    def jump(entry: Entry) -> list[Entry]:
        if entry.stream != alice.machine.device_id:
            return [entry]
        return [replace(entry, seq=FAR)] if far else [entry][: entry.seq - 1]

    deliver(server, unreadable, to=bob)
    alice.say("bob", "three")
    alice.say("bob", "four")
    bob.pull()  # asks twice
    deliver(server, jump, to=alice)
    alice.connect()
    behave(server)
    meet_again(alice, bob)
    assert bob.texts() == ["hello", "three", "four"]
    assert alice.machine._memory.inbox.gaps == []


def test_a_gap_in_an_inbox_is_given_up_after_a_month() -> None:
    server, alice, _ = two()
    alice.machine._memory.inbox.received = 5
    alice.machine._memory.inbox.gaps = [Gap(2, 4, server.now)]
    server.now += GAP_KEPT
    alice.connect()
    alice.restart()
    assert alice.machine._memory.inbox.gaps == []


def test_gaps_without_number_cost_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "MAX_GAPS", 2)
    server, alice, bob = two()
    bob.pull()
    texts = [f"{number}" for number in range(3, 13)]
    for text in texts:
        alice.say("bob", text)
    hide(server, bob, 3, 5, 7, 8, 9, 11)
    bob.connect()
    assert len(conversation_of(bob, alice).gaps) == 2
    assert {"4", "6", "10", "12"} <= set(bob.texts())
    behave(server)
    bob.connect()
    bob.connect()
    assert bob.texts() == ["hello", *texts]
    assert conversation_of(bob, alice).gaps == []


def test_a_gap_may_stay_longer_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "MAX_GAPS", 1)
    server, alice, bob = two()
    bob.pull()
    for number in range(3, 7):
        alice.say("bob", f"{number}")
    hide(server, bob, 3, 4, 5)
    bob.connect()
    hide(server, bob, 3, 5)
    bob.connect()
    gaps = conversation_of(bob, alice).gaps
    assert [(gap.after, gap.before) for gap in gaps] == [(2, 6)]
    behave(server)
    bob.connect()
    assert bob.texts() == ["hello", "3", "4", "5", "6"]


def test_other_devices_are_not_told_that_all_is_read_for_good() -> None:
    server, phone, laptop, bob = three()
    bob.say("alice", "a word")
    deliver(server, lambda e: [replace(e, seq=e.seq + FAR)], to=phone)
    phone.connect()
    behave(server)
    bob_id = bob.machine.account_id
    phone.machine.mark_all_read(bob_id, server.now)
    phone.settle()
    settle(laptop, phone, laptop)
    assert laptop.machine.read_up_to(bob_id) <= conversation_of(laptop, bob).received


def test_a_new_device_begins_before_the_first_gap() -> None:
    server, phone, _, bob = three()
    for number in range(3):
        bob.say("alice", f"{number}")
    last = len(server.streams[conversation_of(phone, bob).stream].entries)
    hide(server, phone, last - 1)
    phone.connect()
    behave(server)
    tablet = MemoryDevice(server, "alice", seed="tablet", beside=phone, linked=True)
    assert conversation_of(tablet, bob).received == last - 2


def test_a_gap_that_is_cut_ends_where_the_stream_does() -> None:
    place = Conversation(peer=bytes(16), received=20, gaps=[Gap(2, 5, 0), Gap(7, 12, 0)])
    numbers.cut(place, 9)
    assert (place.received, place.gaps) == (9, [Gap(2, 5, 0), Gap(7, 10, 0)])
    numbers.cut(place, 7)
    assert (place.received, place.gaps) == (7, [Gap(2, 5, 0)])
