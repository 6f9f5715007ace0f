"""A server that keeps two halves of a group apart: one word beside the group tells of it."""

from __future__ import annotations

from copy import deepcopy

from parlour.conversation.events import GroupForked
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from tests.scenario.parties import Party
from tests.scenario.people import heard


def split(party: Party, *apart: MemoryDevice) -> MemoryServer:
    """From now on these have another server for the group, and the same one for all else."""
    both, there = party.server, deepcopy(party.server)
    there.accounts = both.accounts
    there.streams = {
        stream: there.streams[stream] if stream == party.group else both.streams[stream]
        for stream in both.streams
    }
    for device in apart:
        device.server = there
    return there


def renew(party: Party, *devices: MemoryDevice) -> None:
    """Each renews its keys, where it is."""
    for device in devices:
        device.machine.group_refresh(party.group, party.server.now)
        device.settle()


def test_a_message_to_somebody_in_the_other_half_names_the_fork() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    alice.say("carol", "hello")
    party.settle()
    split(party, carol)
    renew(party, alice, carol)
    bob.pull()
    epochs = {party.view(device).epoch for device in party.devices}
    assert len(epochs) == 1, "by its number it is the same one"
    assert not heard(carol, GroupForked)
    party.server.now += 24 * 3_600_000
    alice.say("carol", "did you see what I said in the group?")
    carol.server.now = party.server.now
    carol.pull()
    (forked,) = heard(carol, GroupForked)
    assert (forked.group, forked.epoch) == (party.group, epochs.pop())
    assert forked.sender_device == alice.machine.device_id
    alice.say("bob", "and you?")
    bob.pull()
    assert not heard(bob, GroupForked)


def test_two_devices_of_one_person_that_are_kept_apart() -> None:
    party = Party("alice", "bob")
    bob = party.devices[1]
    tablet = party.add_device("bob", beside=bob)
    party.settle()
    there = split(party, tablet)
    renew(party, bob, tablet)
    party.server.now = there.now = party.server.now + 11 * 60_000
    for device in (bob, tablet):
        device.machine.set_setting("theme", device.machine.device_id.hex(), party.server.now)
        device.settle()
    for device in (bob, tablet):
        device.pull()
    assert [event.sender_device for event in heard(bob, GroupForked)] == [tablet.machine.device_id]
    assert [event.sender_device for event in heard(tablet, GroupForked)] == [bob.machine.device_id]
