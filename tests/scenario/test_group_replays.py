"""A server that gives messages of groups again: each is told of once, and asked for by nobody."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from parlour.conversation.events import (
    CommitRefused,
    GroupRestarted,
    MessageMissing,
    MessageReceived,
    MessageUnreadable,
)
from parlour.conversation.groups.records import GroupState, Step, Trouble
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import _Stored
from parlour.wire.envelope import SuiteId
from parlour.wire.streams import Entry, StreamInfo
from tests.scenario.parties import Party, chat_of
from tests.scenario.people import heard


def told(device: MemoryDevice, message_id: bytes) -> int:
    return sum(event.message.message_id == message_id for event in heard(device, MessageReceived))


def renew(party: Party, device: MemoryDevice, times: int) -> None:
    """As many epochs: the keys of those before are gone."""
    for _ in range(times):
        device.machine.group_refresh(party.group, party.server.now)
        device.settle()
        party.settle(2)


def give_again(party: Party, message_id: bytes, *, damaged: bool = False) -> None:
    """Store what was said again, under another number."""
    entries = party.server.streams[party.group].entries
    found = next(s.entry for s in entries if s.entry.client_id == message_id)
    envelope = found.envelope
    if damaged:
        envelope = replace(envelope, body=envelope.body[:-1] + bytes([envelope.body[-1] ^ 1]))
    again = replace(found, seq=len(entries) + 1, stored_at=party.server.now, envelope=envelope)
    entries.append(_Stored(again, {}))


@pytest.mark.parametrize("epochs", [0, 7])
@pytest.mark.parametrize("damaged", [False, True])
def test_a_message_is_told_of_once_and_not_asked_for_again(epochs: int, damaged: bool) -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    message_id = party.say(alice, "pay 100")
    party.settle()
    renew(party, alice, epochs)
    give_again(party, message_id, damaged=damaged)
    asked = len(party.server.streams[alice.machine.device_id].entries)
    party.settle(6)
    assert bob.texts() == ["pay 100"]
    assert told(bob, message_id) == 1
    assert heard(bob, MessageUnreadable) == []
    assert len(party.server.streams[alice.machine.device_id].entries) == asked


def test_a_message_is_told_of_once_also_after_a_restart() -> None:
    """Which messages were read is forgotten then, but for the store."""
    party = Party("alice", "bob")
    alice, bob = party.devices
    message_id = party.say(alice, "pay 100")
    party.settle()
    renew(party, alice, 7)
    bob.restart()
    bob.connect()
    give_again(party, message_id)
    party.settle(6)
    assert bob.texts() == ["pay 100"]
    assert told(bob, message_id) == 1
    assert not bob.machine._memory.held


def test_a_message_that_comes_damaged_twice_is_told_of_once() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    message_id = party.say(alice, "pay 100")
    entries = party.server.streams[party.group].entries
    stored = entries[-1]
    body = stored.entry.envelope.body
    envelope = replace(stored.entry.envelope, body=body[:-1] + bytes([body[-1] ^ 1]))
    entries[-1] = _Stored(replace(stored.entry, envelope=envelope), {})
    give_again(party, message_id)
    bob.pull()
    assert len(bob.machine._memory.held) == 2
    party.settle(6)
    assert bob.texts() == ["pay 100"]
    assert told(bob, message_id) == 1
    assert not bob.machine._memory.held


def rename_commits(party: Party, *devices: MemoryDevice) -> None:
    """The server shows devices what changes a group, theirs too, as somebody else's."""

    def deliver(entry: Entry, device_id: bytes) -> list[Entry]:
        mine = device_id in {device.machine.device_id for device in devices}
        if not mine or entry.envelope.suite not in {SuiteId.MLS_COMMIT, SuiteId.MLS_RESTART}:
            return [entry]
        return [replace(entry, client_id=bytes(byte ^ 1 for byte in entry.client_id))]

    party.server.deliver = deliver


def test_our_own_commit_is_ours_under_whatever_id() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    rename_commits(party, alice, bob)
    renew(party, alice, 1)
    renew(party, bob, 1)
    for device in party.devices:
        assert device.machine.counters["commit.changed"] == 1
        assert heard(device, CommitRefused) == []
    party.check_together()


def test_our_own_beginning_is_ours_under_whatever_id() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    rename_commits(party, alice)
    chat, now = chat_of(alice, party), party.server.now
    trouble = Trouble(0, chat.epoch, "no reason", now, Step.ASK, now)
    alice.machine._groups._ladder._restarting.begin(chat, trouble, now)
    alice.settle()
    party.settle(4)
    assert len(heard(bob, GroupRestarted)) == 1
    assert len(heard(alice, GroupRestarted)) == 1
    assert party.view(alice).generation == 1
    party.check_together()


def test_our_own_coming_is_ours_under_whatever_id() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    rename_commits(party, bob)
    chat, now = chat_of(bob, party), party.server.now
    chat.group = None
    bob.machine._groups._ladder.bereft(chat, now)
    alice.disconnect()
    party.settle(8, 60_000)
    assert party.view(bob).state is GroupState.ACTIVE
    alice.connect()
    party.settle(4)
    party.check_together()


def test_who_left_and_is_named_its_group_again_reads_on() -> None:
    """Its stream is read for the Welcome in it, which may be on a later page."""
    party = Party("alice", "bob")
    alice, bob = party.devices
    alice.machine.group_remove(party.group, [bob.machine.account_id], party.server.now)
    alice.settle()
    party.settle()
    assert party.view(bob).state is GroupState.LEFT
    stream = party.server.streams[party.group]
    genesis = chat_of(bob, party).record.genesis
    info = StreamInfo(party.group, "group", [], genesis, len(stream.entries))
    bob.machine._groups.streams.learn(info)
    bob.settle()
    assert bob.machine._memory.conversations[party.group].stream == party.group


# --- In the place of another one -------------------------------------------------------------


def test_the_first_message_of_somebody_is_missed_where_it_was_ours() -> None:
    """Its number is shown with what was said before; nothing of it can be seen but the count."""
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    said_before = party.say(alice, "said before")
    party.settle()
    entries = party.server.streams[party.group].entries
    known = next(s.entry for s in entries if s.entry.client_id == said_before)
    number = len(entries) + 1

    def deliver(entry: Entry, device_id: bytes) -> list[Entry]:
        hides = entry.stream == party.group and entry.seq == number
        return [replace(known, seq=number)] if hides and device_id == device.device_id else [entry]

    device = bob.machine
    party.server.deliver = deliver
    party.say(carol, "hidden")
    party.settle()
    assert heard(bob, MessageMissing) == []
    party.say(carol, "shown")
    party.settle()
    assert bob.texts() == ["said before", "shown"]
    assert heard(bob, MessageMissing) == [
        MessageMissing(party.group, carol.machine.device_id, (1,))
    ]
    assert heard(alice, MessageMissing) == []


def test_who_came_later_misses_nothing_from_before() -> None:
    party = Party("alice", "bob")
    alice, _ = party.devices
    party.say(alice, "one")
    party.say(alice, "two")
    dave = party.outsider("dave")
    alice.machine.group_add(party.group, [alice.meet("dave")], party.server.now)
    alice.settle()
    party.devices.append(dave)
    party.settle()
    dave.machine.accept_group(party.group, party.server.now)
    party.say(alice, "welcome")
    party.say(alice, "dave")
    party.settle()
    assert dave.texts() == ["welcome", "dave"]
    assert heard(dave, MessageMissing) == []
