"""A device that loses its way in a group finds it again (`conversation.groups.ladder`)."""

from __future__ import annotations

from copy import deepcopy

import pytest
from msgspec.structs import replace

from parlour.conversation.events import (
    CommitRefused,
    GroupForked,
    GroupRepaired,
    GroupRepairing,
    GroupRestarted,
    MessageUnreadable,
)
from parlour.conversation.groups.comparing import TELL_OWN_EVERY
from parlour.conversation.groups.records import GroupState
from parlour.conversation.reasons import Reason
from parlour.errors import Code, TransportError
from parlour.testing.device import MemoryDevice
from parlour.wire import groups as wire
from parlour.wire.kinds import Kind
from parlour.wire.streams import Entry
from tests.scenario.parties import (
    Party,
    chat_of,
    come_back_alone,
    let_time_pass,
    lose_alone,
    lose_state,
)
from tests.scenario.people import heard
from tests.scenario.refusing import can_not_read


def test_a_commit_that_the_server_leaves_out_is_read_again() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    hidden: list[int] = []

    def deliver(entry: Entry, device_id: bytes) -> list[Entry]:
        if device_id == carol.machine.device_id and entry.seq in hidden:
            return []
        return [entry]

    hidden.append(len(party.server.streams[party.group].entries) + 1)
    party.server.deliver = deliver
    alice.machine.group_refresh(party.group, party.server.now)
    alice.settle()
    bob.pull()
    bob.machine.group_refresh(party.group, party.server.now)
    bob.settle()
    carol.pull()
    assert party.view(carol).state is GroupState.REPAIRING
    assert [event.step for event in heard(carol, GroupRepairing)] == ["fetch"]
    party.say(alice, "can you read this?")
    carol.pull()
    hidden.clear()
    party.settle(10)
    party.check_together()
    assert [event.confirmed for event in heard(carol, GroupRepaired)] == [True]
    assert carol.texts() == ["can you read this?"]


def test_a_device_without_its_state_is_added_again_by_a_member() -> None:
    party = Party("alice", "bob", "carol")
    alice, _, carol = party.devices
    lose_state(carol, party.group)
    carol.restart()
    carol.connect()
    party.say(alice, "one")
    party.settle(12)
    party.check_together()
    assert "ask" in [event.step for event in heard(carol, GroupRepairing)]
    assert "rejoin" not in [event.step for event in heard(carol, GroupRepairing)]
    party.say(alice, "two")
    party.settle(8)
    assert carol.texts() == ["one", "two"]


def test_when_nobody_answers_it_comes_in_by_its_own_commit_and_is_confirmed() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    come_back_alone(party, carol)
    assert "rejoin" in [event.step for event in heard(carol, GroupRepairing)]
    assert party.view(carol).state is GroupState.ACTIVE
    assert party.view(carol).unconfirmed
    party.say(carol, "is anybody there?")
    alice.connect()
    bob.connect()
    party.settle(10)
    party.check_together()
    assert not party.view(carol).unconfirmed
    assert alice.texts() == bob.texts() == ["is anybody there?"]


def test_a_commit_broken_for_one_member_gets_that_member_added_again() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    can_not_read(party, carol)
    bob.machine.group_refresh(party.group, party.server.now)
    bob.settle()
    party.settle(10)
    assert [event.reason for event in heard(carol, CommitRefused)] == [Code.CRYPTO_TAG]
    party.check_together()
    assert not heard(alice, GroupRestarted)
    party.say(alice, "together again")
    party.settle()
    assert carol.texts() == ["together again"]


def test_a_winner_that_nobody_can_follow_restarts_the_group_without_its_maker() -> None:
    party = Party("alice", "bob", "carol", "mallory")
    alice, bob, carol, mallory = party.devices
    can_not_read(party, alice, bob, carol)
    mallory.machine.group_refresh(party.group, party.server.now)
    mallory.settle()
    # Who did that does not help; others could be added again by it.
    mallory.disconnect()
    party.settle(20)
    mallory.connect()
    party.settle(4)
    assert [event.without for event in heard(bob, GroupRestarted)] == [
        (mallory.machine.account_id,)
    ]
    assert party.view(mallory).state is GroupState.LEFT
    party.check_together([alice, bob, carol])
    assert party.view(alice).generation == 1
    party.say(carol, "we go on")
    party.settle()
    assert alice.texts() == bob.texts() == ["we go on"]


@pytest.mark.parametrize("own", [False, True])
def test_two_halves_that_a_server_keeps_apart_are_named(own: bool) -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    laptop = party.add_device("alice", beside=alice)
    party.settle(8)
    party.server.now += TELL_OWN_EVERY
    chat = chat_of(alice, party)
    last = chat.record.tags[-1]
    chat.record.tags[-1] = type(last)(last.generation, last.epoch, bytes(16))
    if own:
        alice.machine.set_setting("colour", "blue", party.server.now)
        alice.settle()
    else:
        alice.say("bob", "hello, by another path")
    party.settle()
    told = heard(laptop if own else bob, GroupForked)
    assert [event.sender_device for event in told] == [alice.machine.device_id]


def test_a_message_under_another_id_or_twice_is_refused() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    stream = party.server.streams[party.group]
    party.say(alice, "once")
    bob.pull()
    stored = stream.entries[-1]
    again = replace(stored.entry, seq=stored.entry.seq + 1)
    stream.entries.append(type(stored)(again, {}))
    other = replace(stored.entry, seq=stored.entry.seq + 2, client_id=bytes(16))
    stream.entries.append(type(stored)(other, {}))
    party.settle()
    assert bob.texts() == ["once"]
    assert bob.machine.counters["unreadable.repeated"] == 2
    assert not heard(bob, MessageUnreadable)


def test_a_wrong_tree_is_not_joined() -> None:
    party = Party("alice", "bob")
    alice, _ = party.devices
    dave = party.outsider("dave")
    right: list[wire.GroupState] = []

    def answer(device_id: bytes, kind: Kind, body: object, answer: object) -> object:
        if isinstance(answer, wire.GroupState) and not right:
            right.append(answer)
            return replace(answer, tree=party.server.groups.groups[party.group].epochs[0, 0].tree)
        return answer

    party.server.answer = answer  # type: ignore[assignment]
    alice.machine.group_add(party.group, [alice.meet("dave")], party.server.now)
    alice.settle()
    dave.pull()
    assert right
    assert party.view(dave).state is GroupState.REPAIRING
    party.devices.append(dave)
    party.settle(12)
    dave.machine.accept_group(party.group, party.server.now)
    party.check_together()


def test_a_server_that_was_restored_from_a_backup_gets_the_group_back() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    dave = party.outsider("dave")
    party.say(alice, "before the backup")
    party.settle()
    saved = deepcopy((party.server.streams, party.server.groups.groups, party.server.windows))
    party.say(bob, "after the backup")
    alice.machine.group_add(party.group, [alice.meet("dave")], party.server.now)
    alice.settle()
    party.devices.append(dave)
    party.settle()
    dave.machine.accept_group(party.group, party.server.now)
    party.check_together()
    party.server.streams, party.server.groups.groups, party.server.windows = saved
    party.server.incarnation = bytes([1]) * 16
    party.reconnect()
    party.settle(20)
    party.check_together()
    assert party.view(carol).generation == 1
    assert party.view(alice).leaves == 4
    party.say(dave, "we are all here")
    party.settle()
    for device in (alice, bob, carol):
        assert device.texts()[-1] == "we are all here"


def test_a_server_that_keeps_a_device_list_back_stops_nobody_for_ever() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    dave = party.outsider("dave")
    hidden = dave.machine.account_id

    def answer(device_id: bytes, kind: Kind, body: object, answer: object) -> object:
        asked = getattr(body, "account_id", None)
        if device_id == bob.machine.device_id and hidden and asked == hidden:
            raise TransportError(Code.NETWORK_TIMEOUT)
        return answer

    party.server.answer = answer  # type: ignore[assignment]
    alice.machine.group_add(party.group, [alice.meet("dave")], party.server.now)
    alice.settle()
    party.say(alice, "dave is here")
    for _ in range(40):
        bob.pull()
        bob.wait(2_000)
    assert [event.reason for event in heard(bob, GroupRepairing)] == ["stalled"]
    assert bob.texts() == []
    party.server.answer = lambda device_id, kind, body, answer: answer
    hidden = b""
    party.settle(30)
    party.check_together()
    assert bob.texts() == ["dave is here"]


def test_what_a_device_list_is_kept_back_for_is_given_up_in_the_end() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    dave = party.outsider("dave")
    hidden = dave.machine.account_id

    def answer(device_id: bytes, kind: Kind, body: object, answer: object) -> object:
        if device_id == bob.machine.device_id and getattr(body, "account_id", None) == hidden:
            raise TransportError(Code.NETWORK_TIMEOUT)
        return answer

    party.server.answer = answer  # type: ignore[assignment]
    alice.machine.group_add(party.group, [alice.meet("dave")], party.server.now)
    alice.settle()
    dave.pull()
    dave.machine.accept_group(party.group, party.server.now)
    party.say(dave, "hello from dave")
    for _ in range(80):
        bob.pull()
        bob.wait(60_000)
    assert heard(bob, CommitRefused)
    assert "ask" in [event.step for event in heard(bob, GroupRepairing)]
    told = [(each.message.sender_account, each.reason) for each in heard(bob, MessageUnreadable)]
    assert told.count((hidden, Reason.UNKNOWN_DEVICE)) == 1
    assert chat_of(bob, party).waiting == []


def test_who_is_welcomed_while_a_device_list_is_kept_back_asks_to_be_welcomed_again() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    dave = party.outsider("dave")
    hidden = bob.machine.account_id

    def answer(device_id: bytes, kind: Kind, body: object, answer: object) -> object:
        asked = [each.account_id for each in getattr(body, "lists", [])]
        asked.append(getattr(body, "account_id", b""))
        if device_id == dave.machine.device_id and hidden in asked:
            raise TransportError(Code.NETWORK_TIMEOUT)
        return answer

    party.server.answer = answer  # type: ignore[assignment]
    alice.machine.group_add(party.group, [alice.meet("dave")], party.server.now)
    alice.settle()
    for _ in range(65):
        dave.pull()
        dave.wait(60_000)
    assert "welcome" in [event.reason for event in heard(dave, GroupRepairing)]
    assert party.view(dave).state is GroupState.REPAIRING
    party.server.answer = lambda device_id, kind, body, answer: answer
    party.devices.append(dave)
    party.settle(30, 60_000)
    dave.machine.accept_group(party.group, party.server.now)
    party.check_together()


def test_a_changed_account_key_brings_no_device_in_until_the_account_is_asked_back() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    # The server, or a recovery, gives bob's account another key with a device of its own.
    bob.disconnect()
    account = party.server.accounts.pop(bob.machine.account_id)
    other = MemoryDevice(party.server, "bob", seed="other", account_id=bob.machine.account_id)
    assert account.entries != party.server.accounts[bob.machine.account_id].entries
    party.devices.remove(bob)
    party.devices.append(other)
    party.reconnect()
    party.settle(8)
    assert party.view(alice).leaves == 2
    party.say(alice, "who is bob now?")
    party.settle(8)
    assert carol.texts() == ["who is bob now?"]
    assert other.texts() == []
    alice.machine.group_remove(party.group, [bob.machine.account_id], party.server.now)
    alice.settle()
    party.settle()
    alice.machine.group_add(party.group, [bob.machine.account_id], party.server.now)
    alice.settle()
    party.settle(8)
    assert party.view(alice).leaves == 3
    other.machine.accept_group(party.group, party.server.now)
    party.check_together()


def test_who_does_not_hear_of_their_coming_back_tries_once_more() -> None:
    """The server takes the commit, and shows it to everybody but the one who made it."""
    party = Party("alice", "bob", "carol")
    carol = party.devices[2]
    hidden = len(party.server.streams[party.group].entries) + 1
    party.server.deliver = lambda entry, device_id: (
        [] if (entry.stream, entry.seq) == (party.group, hidden) else [entry]
    )
    lose_alone(party, carol)
    let_time_pass(carol)
    assert len(party.server.streams[party.group].entries) == hidden
    assert party.view(carol).state is GroupState.REPAIRING
    let_time_pass(carol, 240)
    assert party.view(carol).state is GroupState.ACTIVE
