"""A server that keeps two halves of a group apart: one word beside the group tells of it."""

from __future__ import annotations

from copy import deepcopy

from msgspec import Struct

from parlour.conversation.events import GroupForked, GroupRepaired, GroupRepairing
from parlour.errors import Code, error
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.kinds import Kind
from tests.scenario.parties import Party, chat_of
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


def merge(party: Party, *apart: MemoryDevice) -> None:
    """These are shown the same as everybody again: what they alone were shown is no more."""
    for device in apart:
        device.server = party.server
    party.reconnect(*apart)


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


def apart_and_together(*, behind: bool) -> Party:
    """Carol was shown another epoch than alice and bob, of the same number; now all have a server.

    `behind`: whether the commit of the others comes under a number that is new to her.
    """
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    split(party, carol)
    if behind:
        party.say(alice, "what comes before the commit")
    renew(party, alice, carol)
    bob.pull()
    assert len({party.view(device).epoch for device in party.devices}) == 1
    merge(party, carol)
    return party


def check_repaired(party: Party) -> None:
    """That carol found her way back, by members, and hears what is said."""
    alice, bob, carol = party.devices
    party.settle(20, 10_000)
    party.check_together()
    assert [(event.reason, event.step) for event in heard(carol, GroupRepairing)] == [
        ("fork", "ask")
    ]
    assert [event.confirmed for event in heard(carol, GroupRepaired)] == [True]
    assert not heard(alice, GroupRepairing)
    assert not heard(bob, GroupRepairing)
    party.say(alice, "one group")
    party.settle()
    assert carol.texts()[-1] == "one group"


def test_who_is_shown_the_commit_in_whose_place_there_was_another_one_is_let_in_again() -> None:
    party = apart_and_together(behind=True)
    check_repaired(party)


def test_who_hears_that_others_are_in_another_epoch_is_let_in_again() -> None:
    party = apart_and_together(behind=False)
    alice, _, carol = party.devices
    party.settle()
    assert not heard(carol, GroupRepairing), "nothing of the other epoch was shown to her"
    alice.say("carol", "did you see what I said in the group?")
    check_repaired(party)


def test_who_speaks_from_another_epoch_is_answered_from_that_of_the_others() -> None:
    party = apart_and_together(behind=False)
    alice, _, carol = party.devices
    carol.say("alice", "did you see what I said in the group?")
    party.settle(1)
    assert [event.sender_device for event in heard(alice, GroupForked)] == [carol.machine.device_id]
    check_repaired(party)
    # Each is told of the other once: an answer is answered, and that is all.
    assert len(heard(alice, GroupForked)) == len(heard(carol, GroupForked)) == 1


def test_who_hears_of_another_epoch_and_is_where_the_server_is_goes_on() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    split(party, carol)
    renew(party, alice, carol)
    carol.say("alice", "did you see what I said in the group?")
    party.settle(1)
    assert heard(alice, GroupForked)
    assert not heard(alice, GroupRepairing)
    assert not chat_of(alice, party).doubted
    assert not heard(carol, GroupRepairing), "her server says that she is right"
    party.say(alice, "we go on")
    party.settle(1)
    assert bob.texts() == ["we go on"]


def test_a_server_that_does_not_say_where_the_group_is_changes_nothing() -> None:
    party = Party("alice", "bob", "carol")
    alice, _, carol = party.devices
    split(party, carol)
    renew(party, alice, carol)

    def answer(device_id: bytes, kind: Kind, body: Struct, answer: Struct) -> Struct:
        if kind is Kind.READ_GROUP:
            raise error(Code.INTERNAL_BUG)
        return answer

    party.server.answer = answer
    carol.say("alice", "did you see what I said in the group?")
    party.settle(1)
    assert heard(alice, GroupForked)
    assert not heard(alice, GroupRepairing)
    assert not chat_of(alice, party).doubted
