"""A server that shows the entries of a group in another order than that of their numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from parlour.conversation.events import MessageMissing, MessageReceived, MessageUnreadable
from parlour.testing.device import MemoryDevice
from parlour.testing.randomness import seeded
from parlour.wire.push import PushEntry
from parlour.wire.streams import Entry
from tests.scenario.parties import Party
from tests.scenario.people import heard


def swapped(entries: list[Entry]) -> list[Entry]:
    """Of each two the second one first."""
    pairs = [entries[at : at + 2][::-1] for at in range(0, len(entries), 2)]
    return [entry for pair in pairs for entry in pair]


def shuffled(entries: list[Entry]) -> list[Entry]:
    """In an order of no meaning, and all of it twice."""
    number = seeded("order")
    return sorted(entries * 2, key=lambda _: number(8))


ORDERS: dict[str, Callable[[list[Entry]], list[Entry]]] = {
    "reversed": lambda entries: entries[::-1],
    "swapped": swapped,
    "shuffled": shuffled,
}


def talk(party: Party) -> list[str]:
    """Commits and messages of two, while the third one is away."""
    alice, _, carol = party.devices
    said = []
    for lap in range(4):
        for device in (alice, carol):
            said.append(f"{device.name} {lap}")
            party.say(device, said[-1])
            device.machine.group_refresh(party.group, party.server.now)
            device.settle()
            party.settle(2)
    return said


def check(party: Party, bob: MemoryDevice, said: list[str]) -> None:
    """Bob has all of it, once, in the order of the numbers, and follows."""
    party.settle(10)
    assert bob.texts() == said
    assert len(heard(bob, MessageReceived)) == len(said)
    assert not heard(bob, MessageUnreadable)
    assert not heard(bob, MessageMissing)
    party.check_together()


@pytest.mark.parametrize("order", ORDERS)
def test_a_page_in_another_order(order: str) -> None:
    party = Party("alice", "bob", "carol")
    bob = party.devices[1]
    bob.disconnect()
    said = talk(party)
    started = party.server.live_start(bob.machine.device_id, bob.machine.positions())
    bob.online = True
    page = replace(started, entries=ORDERS[order](started.entries))
    bob.machine.connected(page, party.server.now)
    bob.settle()
    assert bob.texts() == said, "a page is put in its order at once"
    check(party, bob, said)


@pytest.mark.parametrize("order", ORDERS)
def test_pushes_in_another_order(order: str) -> None:
    party = Party("alice", "bob", "carol")
    bob = party.devices[1]
    after = len(party.server.streams[party.group].entries)
    bob.online = False
    said = talk(party)
    bob.online = True
    entries = party.server.entries_for(bob.machine.device_id, party.group, after)
    for entry in ORDERS[order](entries):
        bob.machine.pushed(PushEntry(entry), party.server.now)
        bob._write()
    check(party, bob, said)
