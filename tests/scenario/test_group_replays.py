"""A server that gives messages of groups again: each is told of once, and asked for by nobody."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from parlour.conversation.events import MessageReceived, MessageUnreadable
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import _Stored
from tests.scenario.parties import Party
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
