"""Coming back by one's own commit: what is said waits for a member's word (`confirming`)."""

from __future__ import annotations

import pytest

from parlour.conversation.content import EpochSeen, Text
from parlour.conversation.events import GroupForked, GroupRepaired, GroupUnconfirmed
from parlour.conversation.groups.chat import ASKS
from parlour.conversation.groups.confirming import ASK_EVERY, ASK_FIRST, ASK_LATER
from parlour.conversation.groups.records import EpochTag
from parlour.conversation.requests import ServerRequest
from parlour.testing.device import MemoryDevice
from parlour.wire.kinds import Kind
from tests.scenario.parties import Party, chat_of, lose_alone
from tests.scenario.people import heard


def hear(listener: MemoryDevice, speaker: MemoryDevice, seen: EpochSeen) -> None:
    """Take what a device says of an epoch, over its pairwise session."""
    (identity,) = [
        each
        for each in listener.machine.contacts[speaker.machine.account_id].identities()
        if each.device_id == speaker.machine.device_id
    ]
    listener.machine._groups.controlled(identity, seen, listener.server.now)
    listener.settle()


def claim(party: Party, of: MemoryDevice, tag: EpochTag | None = None) -> EpochSeen:
    noted = tag or chat_of(of, party).record.tags[-1]
    return EpochSeen(party.group, noted.generation, noted.epoch, noted.tag, answer=False)


def back_alone(*names: str) -> tuple[Party, MemoryDevice]:
    """The last one comes back by its own commit, while nobody else is there."""
    party = Party(*names)
    device = party.devices[-1]
    lose_alone(party, device)
    while not party.view(device).unconfirmed:
        device.wait(5_000)
    device.events.clear()
    return party, device


def test_members_are_asked_in_the_step_in_which_it_is_due() -> None:
    """A program that has nothing else to do would not ask before the next time."""
    party, carol = back_alone("alice", "bob", "carol")
    chat = chat_of(carol, party)
    party.server.now = chat.confirm_at
    carol.machine.handle_timeout(party.server.now)
    requests = carol.machine.outgoing(party.server.now)
    assert chat.confirm_asked == 1
    kinds = [each.kind for each in requests if isinstance(each, ServerRequest)]
    assert kinds.count(Kind.APPEND) == 2


def test_what_is_said_waits_for_a_member() -> None:
    party, carol = back_alone("alice", "bob", "carol")
    alice, bob, _ = party.devices
    party.say(carol, "is anybody there?")
    assert party.view(carol).unconfirmed
    stored = len(party.server.streams[party.group].entries)
    for _ in range(3):
        carol.wait(ASK_EVERY - 1)
    assert len(party.server.streams[party.group].entries) == stored
    party.reconnect(alice, bob)
    party.settle(6)
    assert alice.texts() == bob.texts() == ["is anybody there?"]
    assert [event.confirmed for event in heard(carol, GroupRepaired)] == [True]
    assert not heard(carol, GroupUnconfirmed)
    assert not party.view(carol).unconfirmed


def test_it_waits_for_nobody_for_ever() -> None:
    party, carol = back_alone("alice", "bob", "carol")
    alice, bob, _ = party.devices
    party.say(carol, "is anybody there?")
    carol.wait(ASK_FIRST)
    for _ in range(ASKS):
        assert not heard(carol, GroupUnconfirmed)
        carol.wait(ASK_EVERY)
    assert heard(carol, GroupUnconfirmed) == [GroupUnconfirmed(party.group)]
    assert not carol.machine.waiting
    assert party.view(carol).unconfirmed
    carol.wait(ASK_LATER)
    assert len(heard(carol, GroupUnconfirmed)) == 1
    party.reconnect(alice, bob)
    party.settle(8)
    assert alice.texts() == bob.texts() == ["is anybody there?"]
    assert not party.view(carol).unconfirmed


def test_the_wait_is_one_of_being_online() -> None:
    party, carol = back_alone("alice", "bob", "carol")
    party.say(carol, "is anybody there?")
    for _ in range(ASKS + 2):
        carol.disconnect()
        party.server.now += ASK_LATER
        carol.connect()
        carol.wait(ASK_EVERY - 1)
    assert not heard(carol, GroupUnconfirmed)
    for _ in range(ASKS):
        carol.wait(ASK_EVERY)
    assert heard(carol, GroupUnconfirmed)


def test_a_clock_that_goes_back_stops_no_question() -> None:
    party, carol = back_alone("alice", "bob", "carol")
    chat_of(carol, party).confirm_at = party.server.now + 10 * ASK_LATER
    for _ in range(ASKS + 1):
        carol.wait(ASK_EVERY)
    assert heard(carol, GroupUnconfirmed)


def test_only_the_epoch_that_we_are_in_confirms_it() -> None:
    party = Party("alice", "bob", "carol")
    alice, _, carol = party.devices
    old = claim(party, alice)
    alice.machine.group_refresh(party.group, party.server.now)
    alice.settle()
    party.settle()
    chat_of(carol, party).record.unconfirmed = True
    hear(carol, alice, old)
    assert party.view(carol).unconfirmed
    hear(carol, alice, claim(party, alice))
    assert not party.view(carol).unconfirmed
    hear(carol, alice, claim(party, alice))
    assert [event.confirmed for event in heard(carol, GroupRepaired)] == [True]


def test_own_devices_confirm_only_where_nobody_else_is() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    laptop = party.add_device("laptop", bob)
    party.settle(8)
    party.check_together()
    chat_of(bob, party).record.unconfirmed = True
    hear(bob, laptop, claim(party, laptop))
    assert party.view(bob).unconfirmed
    bob.disconnect()
    alice.machine.group_leave(party.group, party.server.now)
    alice.settle()
    bob.connect()
    party.devices.remove(alice)
    party.settle(8)
    chat_of(bob, party).record.unconfirmed = True
    hear(bob, laptop, claim(party, laptop))
    assert not party.view(bob).unconfirmed


def test_of_two_epochs_of_one_number_the_newer_is_ours() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    here = chat_of(bob, party).record.tags[-1]
    elsewhere = EpochTag(here.generation, here.epoch, bytes(16))
    # As after coming in once more by a commit that the server led astray.
    chat_of(bob, party).record.tags.append(elsewhere)
    chat_of(bob, party).record.unconfirmed = True
    hear(bob, alice, claim(party, alice))
    assert party.view(bob).unconfirmed
    assert len(heard(bob, GroupForked)) == 1
    hear(bob, alice, claim(party, alice, elsewhere))
    assert not party.view(bob).unconfirmed


@pytest.mark.parametrize("remembered", [True, False])
def test_nothing_is_asked_without_a_name_for_the_epoch(remembered: bool) -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    chat = chat_of(bob, party)
    chat.record.unconfirmed = True
    if not remembered:
        chat.record.tags = []
    bob.machine.send_to(party.group, Text("hello"), party.server.now)
    bob.settle()
    party.settle(4, 1_000)
    assert alice.texts() == (["hello"] if remembered else [])
    assert party.view(bob).unconfirmed is not remembered
