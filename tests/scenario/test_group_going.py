"""Going: alone in a group, put out unseen, or as the server says that there is no such group."""

from __future__ import annotations

import pytest
from msgspec import Struct

from parlour.conversation.content import ReaddWanted, Text
from parlour.conversation.events import GroupLeft, GroupRefused, GroupRepaired
from parlour.conversation.groups.chat import MAX_TIMES
from parlour.conversation.groups.records import Acceptance, GroupState
from parlour.conversation.numbers import start_over
from parlour.conversation.requests import Request
from parlour.errors import Code, ParlourError, error
from parlour.roster.links import JoinLink
from parlour.testing.device import MemoryDevice
from parlour.wire.kinds import Kind
from parlour.wire.push import PushStream
from parlour.wire.streams import Entry
from tests.scenario.parties import HOUR, Party, chat_of, let_time_pass, lose_alone
from tests.scenario.people import heard


class NoSuchGroup:
    """A server that says so to one device, as long as it likes."""

    def __init__(self, party: Party, device: MemoryDevice) -> None:
        self.device_id = device.machine.device_id
        self.code: Code | None = Code.GROUP_UNKNOWN
        self._request = party.server.request
        party.server.request = self._refuse  # type: ignore[method-assign]

    def _refuse(self, device_id: bytes, kind: Kind, body: Struct) -> Struct:
        if self.code is not None and device_id == self.device_id and kind is Kind.READ_GROUP:
            raise error(self.code)
        return self._request(device_id, kind, body)


def lost_alone() -> tuple[Party, MemoryDevice, MemoryDevice, NoSuchGroup]:
    """Carol has lost her keys, and nobody who could help is there."""
    party = Party("alice", "bob", "carol")
    alice, _, carol = party.devices
    server = NoSuchGroup(party, carol)
    lose_alone(party, carol)
    return party, alice, carol, server


def test_who_is_lost_goes_where_the_server_has_no_such_group_and_comes_back() -> None:
    """Nobody has signed that: what was decided about the group is not forgotten by it."""
    party, alice, carol, server = lost_alone()
    carol.machine.send_to(party.group, Text("never said"), party.server.now)
    let_time_pass(carol)
    assert party.view(carol).state is GroupState.LEFT
    assert [event.by for event in heard(carol, GroupLeft)] == [b""]
    with pytest.raises(ParlourError) as caught:
        carol.machine.send_to(party.group, Text("is it over?"), party.server.now)
    assert caught.value.code is Code.GROUP_OVER
    server.code = None
    party.reconnect()
    assert party.view(carol).state is not GroupState.LEFT
    assert party.view(carol).acceptance is Acceptance.ACCEPTED
    party.settle(40)
    party.check_together()
    party.say(alice, "welcome back")
    party.settle()
    assert carol.texts() == ["welcome back"]


def test_a_no_stays_a_no_where_the_server_names_the_group_again() -> None:
    party, _, carol, server = lost_alone()
    carol.machine.group_leave(party.group, party.server.now)
    let_time_pass(carol)
    assert party.view(carol).state is GroupState.LEFT
    server.code = None
    carol.disconnect()
    carol.connect()
    assert party.view(carol).acceptance is Acceptance.DECLINED


@pytest.mark.parametrize("code", [Code.LIMIT_RATE, Code.INTERNAL_BUG])
def test_another_refusal_is_no_reason_to_go(code: Code) -> None:
    party, _, carol, server = lost_alone()
    server.code = code
    let_time_pass(carol)
    assert party.view(carol).state is GroupState.REPAIRING
    assert heard(carol, GroupLeft) == []


def test_who_follows_a_group_goes_by_no_answer_of_the_server() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    NoSuchGroup(party, bob)
    bob.machine._groups._joining.ask(party.group)
    bob.settle()
    assert party.view(bob).state is GroupState.ACTIVE
    party.say(alice, "still here")
    party.settle()
    assert bob.texts() == ["still here"]


@pytest.mark.parametrize("named", [False, True])
def test_who_was_put_out_reads_on_until_nothing_is_missing_from_before(named: bool) -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    stream = party.server.streams[party.group]
    hidden = [len(stream.entries) + 1]

    def deliver(entry: Entry, device_id: bytes) -> list[Entry]:
        hides = entry.stream == party.group and entry.seq in hidden
        return [] if hides and device_id == carol.machine.device_id else [entry]

    party.server.deliver = deliver
    party.say(alice, "before you went")
    party.say(bob, "this, too")
    carol.pull()
    alice.machine.group_remove(party.group, [carol.machine.account_id], party.server.now)
    alice.settle()
    party.settle(2)
    conversation = carol.machine._memory.conversations[party.group]
    assert party.view(carol).state is GroupState.LEFT
    assert conversation.gaps
    assert conversation.stream == party.group
    if named:
        carol.machine.pushed(PushStream(stream.info), party.server.now)
    hidden.clear()
    party.reconnect(carol)
    party.settle(4)
    assert carol.texts() == ["before you went", "this, too"]
    assert conversation.gaps == []
    # What is named again is read on, for the Welcome in it.
    assert conversation.stream == (party.group if named else b"")


# --- Alone -----------------------------------------------------------------------------------


def alone() -> tuple[Party, MemoryDevice, MemoryDevice]:
    party = Party("alice", "bob")
    alice, bob = party.devices
    alice.machine.group_remove(party.group, party.ids, party.server.now)
    alice.settle()
    party.settle(2)
    return party, alice, bob


def link_laptop(party: Party, alice: MemoryDevice) -> MemoryDevice:
    """A further device of Alice's, which she has heard of; nobody has let it in yet."""
    laptop = MemoryDevice(party.server, "alice", seed="laptop", beside=alice, linked=True)
    laptop.connect()
    party.devices.append(laptop)
    party.reconnect(alice)
    return laptop


def leave_meanwhile(party: Party, device: MemoryDevice) -> None:
    """Leave while a commit is with the server, and hear then that it has won."""
    requests: list[Request] = []
    while chat_of(device, party).record.pending is None:
        answer(device, requests)
        requests = device.machine.outgoing(party.server.now)
        device._write()
    device.machine.group_leave(party.group, party.server.now)
    answer(device, requests)
    assert party.view(device).state is GroupState.ACTIVE
    device.settle()


def answer(device: MemoryDevice, requests: list[Request]) -> None:
    for request in requests:
        device._answer(request)
        device._write()


@pytest.mark.parametrize("named", [True, False])
def test_who_finds_out_that_they_were_put_out_reads_what_was_said_before_it(named: bool) -> None:
    """They ask for the commits alone, which say so; and what was said comes in its turn.

    Also where nobody names the stream: after a backup, a server names none to who was put out.
    """
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    # Nothing is pushed to Bob.
    party.say(carol, "goodbye, Bob")
    alice.machine.group_remove(party.group, [bob.machine.account_id], party.server.now)
    alice.settle()
    if not named:
        start_over(bob.machine._memory.conversations[party.group])
    # As when somebody speaks in an epoch of which Bob knows nothing.
    bob.machine._groups._ladder.hinted(chat_of(bob, party), party.server.now)
    bob.wait(60_000)
    assert party.view(bob).state == "left"
    assert "goodbye, Bob" in bob.texts()


def test_who_is_alone_goes_at_once() -> None:
    party, alice, _ = alone()
    alice.disconnect()
    alice.machine.group_leave(party.group, party.server.now)
    assert party.view(alice).state is GroupState.LEFT
    alice.machine.group_leave(party.group, party.server.now)
    alice._write()
    assert len(heard(alice, GroupLeft)) == 1


def test_who_is_alone_goes_when_what_is_under_way_has_come_true() -> None:
    party, alice, _ = alone()
    alice.machine.group_rename(party.group, "Empty", party.server.now)
    leave_meanwhile(party, alice)
    party.settle(3)
    assert party.view(alice).state is GroupState.LEFT
    assert party.view(alice).name == "Empty"
    assert heard(alice, GroupRefused) == []


def test_who_comes_by_what_was_under_way_enters_that_the_last_one_goes() -> None:
    party, alice, bob = alone()
    alice.machine.group_add(party.group, party.ids, party.server.now)
    leave_meanwhile(party, alice)
    bob.machine.accept_group(party.group, party.server.now)
    party.settle(10)
    assert party.view(alice).state is GroupState.LEFT
    assert [member.account_id for member in party.view(bob).members] == party.ids


def test_a_no_on_one_device_takes_the_others_along() -> None:
    """Nobody is left who would enter it."""
    party, alice, _ = alone()
    laptop = link_laptop(party, alice)
    party.settle(6)
    assert party.view(laptop).leaves == 2
    alice.machine.group_leave(party.group, party.server.now)
    alice.settle()
    party.settle(3)
    assert party.view(laptop).state is GroupState.LEFT


def test_a_no_of_who_thought_to_be_alone_counts_where_somebody_has_come() -> None:
    """The other device asks those who came to enter it, or the account would be in by halves."""
    party, alice, bob = alone()
    laptop = link_laptop(party, alice)
    party.settle(6)
    alice.disconnect()
    alice.machine.group_leave(party.group, party.server.now)
    alice._write()
    assert party.view(alice).state is GroupState.LEFT
    laptop.meet("bob")
    laptop.machine.group_add(party.group, party.ids, party.server.now)
    laptop.settle()
    party.settle(3)
    bob.machine.accept_group(party.group, party.server.now)
    alice.connect()
    party.settle(12, 10_000)
    assert party.view(laptop).state is GroupState.LEFT
    assert party.view(alice).state is GroupState.LEFT
    assert [member.account_id for member in party.view(bob).members] == party.ids


def test_a_device_that_is_linked_after_the_last_one_went_goes_too() -> None:
    """The server still names the group to it, and nobody is there who would let it in."""
    party, alice, _ = alone()
    alice.machine.group_leave(party.group, party.server.now)
    alice.settle()
    laptop = link_laptop(party, alice)
    party.settle(1)
    assert party.view(laptop).state is GroupState.JOINING
    party.settle(6, 60_000)
    assert party.view(laptop).state is GroupState.LEFT


def left_on_both_devices() -> tuple[Party, MemoryDevice, MemoryDevice, JoinLink]:
    """The last one in a group has left it, on two devices, and has a link into it."""
    party, alice, _ = alone()
    laptop = link_laptop(party, alice)
    party.settle(6)
    link = party.link(alice)
    alice.machine.group_leave(party.group, party.server.now)
    alice.settle()
    party.settle(3)
    assert party.view(laptop).state is GroupState.LEFT
    return party, alice, laptop, link


def test_a_device_with_a_leaf_comes_back_where_another_one_does() -> None:
    """The last one is never taken off the roster: nobody adds its other device anew."""
    party, alice, laptop, link = left_on_both_devices()
    alice.machine.join_by_link(link, party.server.now)
    alice.settle()
    party.reconnect(alice, laptop)
    party.settle(20, 10_000)
    party.check_together([alice, laptop])
    party.say(alice, "back again")
    party.settle()
    assert laptop.texts() == ["back again"]


def test_a_no_after_a_yes_on_another_device_counts() -> None:
    """It came back and left again while this one was away."""
    party, alice, laptop, link = left_on_both_devices()
    alice.machine.join_by_link(link, party.server.now)
    alice.settle()
    alice.machine.group_leave(party.group, party.server.now)
    alice.settle()
    party.settle(3)
    party.reconnect(alice, laptop)
    party.settle(20, 10_000)
    assert party.view(alice).state is GroupState.LEFT
    assert party.view(laptop).state is GroupState.LEFT


def test_a_device_without_a_leaf_gets_one_from_a_device_that_had_left() -> None:
    """All of an account had left; one that was linked since follows a link."""
    party, alice, _ = alone()
    link = party.link(alice)
    alice.machine.group_leave(party.group, party.server.now)
    alice.settle()
    laptop = link_laptop(party, alice)
    party.settle(6, 60_000)
    assert party.view(laptop).state is GroupState.LEFT
    laptop.machine.join_by_link(link, party.server.now)
    laptop.settle()
    party.settle(20, 10_000)
    party.check_together([alice, laptop])


def test_a_leave_waits_for_somebody_who_may_enter_it() -> None:
    """Our own devices can't: they do not cover the proposal either, or it would go on for ever."""
    party = Party("alice", "bob")
    alice, bob = party.devices
    laptop = party.add_device("alice", beside=alice)
    party.settle(20, HOUR)
    bob.disconnect()
    alice.machine.group_leave(party.group, party.server.now)
    alice.settle()
    party.settle(4, 60_000)
    before = party.view(laptop).epoch
    party.settle(20, 60_000)
    assert party.view(laptop).epoch == before
    assert len(chat_of(laptop, party).record.leaving) == 1
    party.say(laptop, "not gone yet")
    party.settle(20, 60_000)
    assert party.view(laptop).epoch == before + 1, "it was covered to speak, and is proposed anew"
    assert len(chat_of(laptop, party).record.leaving) == 1
    bob.connect()
    party.settle(6)
    assert bob.texts() == ["not gone yet"]
    assert {party.view(device).state for device in (alice, laptop)} == {GroupState.LEFT}
    assert [member.account_id for member in party.view(bob).members] == [bob.machine.account_id]


# --- Waiting ---------------------------------------------------------------------------------


def test_what_waits_for_an_inbox_is_not_said_twice() -> None:
    """A server that is down for days gets one question of each kind."""
    party = Party("alice", "bob")
    alice, bob = party.devices
    sending, now = alice.machine._sending, party.server.now
    to = (bob.machine.account_id, bob.machine.device_id)
    alice.disconnect()
    inbox = party.server.streams[bob.machine.device_id].entries
    before = len(inbox)
    for _ in range(5):
        sending.send_to_inbox(*to, ReaddWanted(b"wish", b"package"), now)
        sending.send_to_inbox(*to, ReaddWanted(b"wish", b"another"), now)
    alice.connect()
    assert len(inbox) == before + 2
    # What has left may be said once more.
    sending.send_to_inbox(*to, ReaddWanted(b"wish", b"package"), now)
    alice.settle()
    assert len(inbox) == before + 3
    assert heard(alice, GroupRepaired) == []


@pytest.mark.parametrize("times", [1, 2, MAX_TIMES + 1])
def test_what_was_said_an_earlier_time_is_not_passed_over(times: int) -> None:
    """It may come late, when its reader has been put out and let in again, more than once."""
    party = Party("alice", "bob", "carol")
    alice, bob, _ = party.devices
    account, entries = bob.machine.account_id, party.server.streams[party.group].entries
    meant, between = [], []
    for _ in range(times):
        party.say(alice, "for bob")
        meant.append(entries[-1].entry)
        party.settle(2)
        alice.machine.group_remove(party.group, [account], party.server.now)
        alice.settle()
        party.settle(2)
        party.say(alice, "not for bob")
        between.append(entries[-1].entry)
        alice.machine.group_add(party.group, [account], party.server.now)
        alice.settle()
        party.settle(2)
    chat, messages = chat_of(bob, party), bob.machine._groups._messages
    assert len(chat.record.times) == min(times, MAX_TIMES)
    assert chat.record.is_newcomer
    assert not any(messages._is_before_us(chat, entry) for entry in meant[-MAX_TIMES:])
    assert all(messages._is_before_us(chat, entry) for entry in between)
