"""Devices that are linked while others of their account are online, and have no keys there yet."""

from __future__ import annotations

from parlour.conversation.groups.groups import ASK_TO_JOIN
from parlour.conversation.groups.records import GroupState
from parlour.testing.device import MemoryDevice
from parlour.wire.push import PushKeyPackages

from .parties import Party


def linked_too_early() -> tuple[Party, MemoryDevice]:
    """A party, and a laptop of alice's for which everybody has looked in vain before it came."""
    party = Party("alice", "bob")
    alice = party.devices[0]
    laptop = MemoryDevice(party.server, "alice", seed="laptop", beside=alice, linked=True)
    party.reconnect()
    party.settle()
    assert all(device.machine.counters["device.left_out"] == 1 for device in party.devices)
    laptop.connect()
    party.settle()
    assert laptop.machine.groups[party.group].state is GroupState.JOINING
    return party, laptop


def test_whoever_is_told_of_its_key_packages_adds_a_linked_device_at_once() -> None:
    party, laptop = linked_too_early()
    alice, bob = party.devices
    push = PushKeyPackages(laptop.machine.device_id)
    for device, adds in ((bob, False), (alice, True)):
        # Of the devices of others, nobody is told.
        device.machine.pushed(push, party.server.now)
        device.settle()
        laptop.pull()
        assert (laptop.machine.groups[party.group].state is GroupState.ACTIVE) == adds
    bob.pull()
    party.check_together([*party.devices, laptop])
    assert "group.lost" not in laptop.machine.counters


def test_who_is_not_added_asks_for_it_in_the_moment_in_which_it_is_time() -> None:
    party, laptop = linked_too_early()
    alice = party.devices[0]
    joining_since = laptop.machine._memory.groups.chats[party.group].joining_since
    assert joining_since is not None
    laptop.wait(joining_since + ASK_TO_JOIN - party.server.now)
    alice.pull()
    laptop.pull()
    assert laptop.machine.groups[party.group].state is GroupState.ACTIVE
