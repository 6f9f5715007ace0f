"""Generations of a group that a restored server, or a device that was away, has not seen."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from parlour.conversation.content import Text
from parlour.conversation.events import (
    CommitRefused,
    GroupRepairing,
    GroupRestarted,
    MessageUnreadable,
)
from parlour.conversation.groups.records import GroupState, Step, Trouble
from parlour.conversation.groups.restarting import ROLLBACK
from parlour.conversation.reasons import Reason
from parlour.errors import Code, error
from parlour.roster.genesis import Kind
from parlour.roster.restart import MAX_GENERATION, MAX_LEAP
from parlour.testing.device import MemoryDevice
from parlour.wire.streams import Entry
from tests.scenario.parties import Party, backup, chat_of, restore
from tests.scenario.people import heard
from tests.scenario.test_group_restarts import begin_again


def begin(party: Party, device: MemoryDevice) -> None:
    """A device begins a group again, and everybody is in it."""
    begin_again(device, party)
    device.settle()
    party.settle(4)


def test_a_backup_from_before_a_beginning() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    saved = backup(party)
    begin(party, alice)
    begin(party, alice)
    party.check_together()
    assert party.view(alice).generation == 2
    restore(party, saved)
    party.server.incarnation = bytes([1]) * 16
    party.reconnect()
    party.settle(20)
    party.check_together()
    assert party.view(carol).generation == 3
    party.say(bob, "we go on")
    party.settle()
    assert alice.texts()[-1] == carol.texts()[-1] == "we go on"


def test_who_was_ahead_is_followed_by_who_was_not() -> None:
    """The backup is from before a beginning that one device has never seen."""
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    saved = backup(party)
    carol.disconnect()
    begin(party, alice)
    begin(party, alice)
    restore(party, saved)
    party.server.incarnation = bytes([1]) * 16
    party.reconnect()
    party.settle(20)
    party.check_together()
    assert party.view(carol).generation == 3
    assert len(heard(carol, GroupRestarted)) == 1
    assert not heard(carol, GroupRepairing)
    party.say(bob, "we go on")
    party.settle()
    assert alice.texts()[-1] == carol.texts()[-1] == "we go on"


def test_a_server_that_has_lost_what_was_followed_and_does_not_say_so() -> None:
    """It says that every commit comes too late, and shows none that came before it."""
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    saved = backup(party)
    alice.machine.group_rename(party.group, "Better friends", party.server.now)
    alice.settle()
    party.settle(2)
    restore(party, saved)
    alice.machine.group_refresh(party.group, party.server.now)
    party.settle(10)
    assert party.view(alice).state is GroupState.ACTIVE
    party.settle(50, 60_000)
    party.check_together()
    assert {party.view(device).generation for device in party.devices} == {1}
    assert {party.view(device).name for device in party.devices} == {"Better friends"}
    party.say(carol, "we go on")
    party.settle()
    assert alice.texts()[-1] == bob.texts()[-1] == "we go on"


def test_a_beginning_that_rests_on_what_was_missed() -> None:
    """The roster went on in a generation that was hidden: it is looked for, nobody is accused."""
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    entries = party.server.streams[party.group].entries
    first = len(entries) + 1
    last = first + 1_000

    def deliver(entry: Entry, device_id: bytes) -> list[Entry]:
        hidden = entry.stream == party.group and first <= entry.seq <= last
        return [] if hidden and device_id == carol.machine.device_id else [entry]

    party.server.deliver = deliver
    begin(party, alice)
    alice.machine.group_rename(party.group, "Better friends", party.server.now)
    alice.settle()
    party.settle(2)
    last = len(entries)
    begin(party, alice)
    assert not heard(carol, CommitRefused)
    assert [event.reason for event in heard(carol, GroupRepairing)] == ["gap"]
    party.settle(40, 10_000)
    party.check_together()
    party.say(bob, "we go on")
    party.settle()
    assert carol.texts()[-1] == "we go on"


def test_who_is_not_shown_a_beginning_comes_in_by_the_welcome_after_it() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    hidden = len(party.server.streams[party.group].entries) + 1

    def deliver(entry: Entry, device_id: bytes) -> list[Entry]:
        hides = (entry.stream, entry.seq) == (party.group, hidden)
        return [] if hides and device_id == carol.machine.device_id else [entry]

    party.server.deliver = deliver
    begin(party, alice)
    assert heard(carol, GroupRestarted) == []
    assert party.view(carol).generation == 1
    party.check_together()
    party.say(bob, "all here")
    party.settle()
    assert carol.texts() == ["all here"]


def test_nobody_follows_into_a_generation_that_is_too_far_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    monkeypatch.setattr(alice.machine._groups._committing, "begin", lambda *_: False)
    group = party.server.groups.groups[party.group]
    chat = chat_of(alice, party)
    chat.record.generation = MAX_LEAP
    begin_again(alice, party)
    alice.settle()
    assert group.generation == 0
    # A server that takes it brings no member there.
    group.generation = MAX_LEAP
    begin_again(alice, party)
    alice.settle()
    bob.pull()
    assert group.generation == MAX_LEAP + 1
    assert chat_of(bob, party).record.generation == 0
    assert not heard(bob, GroupRestarted)


def test_the_last_generation_is_the_last_one() -> None:
    party = Party("alice", "bob")
    chat = chat_of(party.devices[0], party)
    restarting = party.devices[0].machine._groups._ladder._restarting
    trouble = Trouble(0, 0, ROLLBACK, 0, Step.WAIT, 0)
    assert restarting.due_at(chat, trouble) is not None
    chat.record.generation = MAX_GENERATION
    assert restarting.due_at(chat, trouble) is None


def test_somebody_comes_into_a_later_generation() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    dave = party.outsider("dave")
    begin(party, alice)
    alice.machine.group_add(party.group, [alice.meet("dave")], party.server.now)
    alice.settle()
    party.devices.append(dave)
    party.settle(2)
    dave.machine.accept_group(party.group, party.server.now)
    assert not heard(dave, GroupRepairing)
    party.check_together()
    party.say(dave, "hello")
    party.settle()
    assert bob.texts() == ["hello"]


# --- Welcomes by what was used up since ---------------------------------------------------------


def test_who_left_comes_back_by_a_key_package_that_a_restored_server_gave_out_again() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    further = party.add_device("bob2", bob)
    party.settle(8)
    party.check_together()
    account, device_id = bob.machine.account_id, bob.machine.device_id
    # What is given out for it when it comes back has been used up in another group by then.
    given = list(party.server.key_packages[device_id])
    other = alice.machine.create_group(Kind.GROUP, "Others", [account], party.server.now, suite=1)
    alice.settle()
    party.settle(4)
    assert bob.machine.groups[other].state is GroupState.ACTIVE
    alice.machine.group_remove(party.group, [account], party.server.now)
    alice.settle()
    party.settle(2)
    assert party.view(bob).state is GroupState.LEFT
    party.server.key_packages[device_id] = given
    alice.machine.group_add(party.group, [account], party.server.now)
    alice.settle()
    further.pull()
    further.settle()
    further.machine.accept_group(party.group, party.server.now)
    party.say(further, "we are back")
    party.settle(60, 10_000)
    party.check_together()
    assert bob.texts() == ["we are back"]


def test_who_left_comes_back_though_the_server_keeps_their_part_of_the_welcome() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    alice.machine.group_remove(party.group, party.ids, party.server.now)
    alice.settle()
    party.settle(2)
    assert party.view(bob).state is GroupState.LEFT

    def strip(entry: Entry, device_id: bytes) -> list[Entry]:
        return [replace(entry, part=None) if entry.stream == party.group else entry]

    party.server.deliver = strip
    alice.machine.group_add(party.group, party.ids, party.server.now)
    alice.settle()
    party.reconnect(bob)
    party.server.deliver = lambda entry, device_id: [entry]
    party.settle(60, 10_000)
    bob.machine.accept_group(party.group, party.server.now)
    bob.settle()
    party.check_together()


def test_what_was_said_in_the_last_generation_and_numbered_after_the_new_one_is_asked_for() -> None:
    """Its keys are gone with the generation; whoever said it says it again."""
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    bob.machine.send_to(party.group, Text("on the way"), party.server.now)
    (append,) = bob.machine.outgoing(party.server.now)
    bob._write()
    begin_again(alice, party)
    alice.settle()
    carol.pull()
    bob._answer(append)
    party.settle(8)
    party.check_together()
    assert party.view(carol).generation == 1
    assert alice.texts() == carol.texts() == ["on the way"]
    assert [event.reason for event in heard(carol, MessageUnreadable)] == [Reason.EPOCH_OVER]


def test_what_is_said_in_a_generation_that_is_not_here_yet_is_asked_for() -> None:
    """The server kept the beginning back, and shows what came after it."""
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    begin(party, alice)
    party.say(bob, "further on")
    said = party.server.streams[party.group].entries[-1].entry
    chat = chat_of(carol, party)
    assert said.envelope.body[4:25] == bytes([20]) + chat.mls_id
    chat.record.generation += MAX_LEAP
    reason = carol.machine._groups._messages._reason(chat, said, error(Code.MLS_EPOCH))
    assert reason is Reason.EPOCH_OVER
    chat.record.generation = 0
    reason = carol.machine._groups._messages._reason(chat, said, error(Code.MLS_EPOCH))
    assert reason is Reason.EPOCH_LOST
