"""Who gets a message of a group again: whoever was there when it was encrypted, and nobody else."""

from __future__ import annotations

import pytest

from parlour.conversation.content import ResendRequest, Text
from parlour.conversation.events import MessageUnreadable
from parlour.conversation.groups.chat import MAX_FORMER, MAX_LATE, MAX_TIMES
from parlour.conversation.groups.messages import LINKING
from parlour.conversation.groups.records import Former, GroupState, Late
from parlour.conversation.reasons import Reason
from parlour.conversation.requests import ServerRequest
from parlour.mls.private.limits import PAST_EPOCH_AGE
from parlour.roster.roles import Role
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import _Stored
from parlour.wire.streams import Append, Entry
from tests.scenario.parties import Party, chat_of
from tests.scenario.people import heard


def ask(party: Party, by: MemoryDevice, of: MemoryDevice, message_id: bytes) -> bool:
    """A device asks for a message of another one; whether it gets something."""
    inbox = party.server.streams[by.machine.device_id].entries
    before = len(inbox)
    request = ResendRequest(party.group, message_id, Reason.EPOCH_OVER.value)
    by.machine._sending.send_to_inbox(
        of.machine.account_id, of.machine.device_id, request, party.server.now
    )
    by.settle()
    of.pull()
    return len(inbox) > before


def message_number(party: Party, message_id: bytes) -> int:
    """The number that the server gave a message."""
    stored = party.server.streams[party.group].entries
    return next(each.entry.seq for each in stored if each.entry.client_id == message_id)


def change(party: Party, by: MemoryDevice) -> None:
    by.settle()
    party.settle(2)


def add(party: Party, by: MemoryDevice, whom: MemoryDevice) -> None:
    by.machine.group_add(party.group, [by.meet(whom.name)], party.server.now)
    change(party, by)


def remove(party: Party, by: MemoryDevice, whom: MemoryDevice) -> None:
    by.machine.group_remove(party.group, [whom.machine.account_id], party.server.now)
    change(party, by)


def test_what_was_encrypted_before_somebody_came_and_numbered_after_it() -> None:
    """The newcomer was not meant by it, though the server puts it behind their coming."""
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    dave = party.outsider("dave")
    alice.machine.group_set_role(party.group, bob.machine.account_id, Role.ADMIN, party.server.now)
    change(party, alice)
    message_id = alice.machine.send_to(party.group, Text("about dave"), party.server.now)
    (append,) = alice.machine.outgoing(party.server.now)
    alice._write()
    bob.machine.group_add(party.group, [bob.meet("dave")], party.server.now)
    bob.settle()
    alice._answer(append)
    party.devices.append(dave)
    party.settle(3)
    alice.meet("dave")
    assert carol.texts() == ["about dave"]
    number = message_number(party, message_id)
    assert chat_of(alice, party).since[dave.machine.account_id] < number
    assert not ask(party, dave, alice, message_id)
    assert ask(party, carol, alice, message_id)
    # What is said from then on is for the newcomer.
    assert ask(party, dave, alice, party.say(alice, "welcome"))


def test_only_the_last_late_messages_are_remembered() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, _ = party.devices
    chat = chat_of(alice, party)
    chat.record.late = {number.to_bytes(16): Late(number, number + 1) for number in range(MAX_LATE)}
    message_id = alice.machine.send_to(party.group, Text("slow"), party.server.now)
    (append,) = alice.machine.outgoing(party.server.now)
    alice._write()
    bob.machine.group_refresh(party.group, party.server.now)
    bob.settle()
    alice._answer(append)
    party.settle(1)
    assert len(chat.record.late) == MAX_LATE
    assert message_id in chat.record.late
    assert (0).to_bytes(16) not in chat.record.late
    # Whether it was one of those that are forgotten, nobody can tell: it goes to nobody.
    assert chat.record.late_until == 1
    chat.record.late_until = message_number(party, message_id)
    assert ask(party, bob, alice, message_id)
    del chat.record.late[message_id]
    assert not ask(party, bob, alice, message_id)
    # What came in its own epoch is not among them.
    assert party.say(alice, "quick") not in chat.record.late


def test_nobody_gets_anything_who_is_not_on_a_list_or_of_a_group_that_is_not_ours() -> None:
    party, tablet = with_a_tablet()
    alice, bob, _ = party.devices
    message_id = party.say(alice, "all of us")
    party.settle(1)
    message = alice.store.messages[party.group, alice.machine.device_id, message_id]
    of = alice.machine.contacts[bob.machine.account_id].identity(tablet.machine.device_id)
    assert of is not None
    may_resend = alice.machine._groups.may_resend
    assert may_resend(party.group, of, message)
    assert not may_resend(bytes(16), of, message)
    take_out(party, tablet)
    assert not may_resend(party.group, of, message)
    party.reconnect(bob)


@pytest.mark.parametrize("linked_before", [True, False])
def test_what_comes_late_to_a_linked_device_from_before_it_had_a_leaf(linked_before: bool) -> None:
    """It is for it if it was on its account's list by then."""
    party = Party("alice", "bob")
    alice, bob = party.devices
    seq = len(party.server.streams[party.group].entries) + 1
    hidden = [seq]
    if not linked_before:
        party.say(alice, "for bob")
        party.settle(2)
        party.server.now += 2 * LINKING
    laptop = MemoryDevice(party.server, "bob", seed="laptop", beside=bob, linked=True)

    def deliver(entry: Entry, device_id: bytes) -> list[Entry]:
        hides = entry.stream == party.group and entry.seq in hidden
        return [] if hides and device_id == laptop.machine.device_id else [entry]

    party.server.deliver = deliver
    laptop.connect()
    if linked_before:
        party.say(alice, "for bob")
        party.settle(1)
    party.devices.append(laptop)
    party.reconnect()
    party.settle(6)
    assert laptop.texts() == []
    hidden.clear()
    party.reconnect(laptop)
    party.settle(2)
    assert laptop.texts() == (["for bob"] if linked_before else [])
    assert heard(laptop, MessageUnreadable) == [] or linked_before
    party.check_together()


def test_who_went_gets_what_was_said_before_and_nothing_else() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    chat = chat_of(alice, party)
    chat.record.former = dict.fromkeys(
        (number.to_bytes(16) for number in range(MAX_FORMER)), (Former(0, 1, b""),)
    )
    before = party.say(alice, "all of us")
    remove(party, alice, carol)
    after = party.say(alice, "without carol")
    assert ask(party, carol, alice, before)
    assert not ask(party, carol, alice, after)
    assert ask(party, bob, alice, after)
    assert len(chat.record.former) == MAX_FORMER
    assert (0).to_bytes(16) not in chat.record.former


def test_who_comes_again_gets_what_was_said_the_time_before() -> None:
    """Not what was said between."""
    party = Party("alice", "bob", "carol")
    alice, bob, _ = party.devices
    before = party.say(alice, "with bob")
    party.settle(2)
    remove(party, alice, bob)
    between = party.say(alice, "without bob")
    party.settle(2)
    add(party, alice, bob)
    assert ask(party, bob, alice, before)
    assert not ask(party, bob, alice, between)


def test_who_comes_and_goes_gets_what_was_said_each_time_and_nothing_between() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, _ = party.devices
    meant, between = [], []
    for _ in range(3):
        meant.append(party.say(alice, "with bob"))
        party.settle(2)
        remove(party, alice, bob)
        between.append(party.say(alice, "without bob"))
        party.settle(2)
        add(party, alice, bob)
    remove(party, alice, bob)
    assert all(ask(party, bob, alice, each) for each in meant)
    assert not any(ask(party, bob, alice, each) for each in between)


def test_of_many_times_the_last_ones_are_remembered() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, _ = party.devices
    chat, account = chat_of(alice, party), bob.machine.account_id
    for number in range(MAX_TIMES + 2):
        chat.note_former([account], number)
    times = chat.record.former[account]
    assert [time.went for time in times] == list(range(2, MAX_TIMES + 2))


def test_who_came_after_it_was_said_and_went_again_gets_nothing() -> None:
    party = Party("alice", "bob")
    alice, _ = party.devices
    dave = party.outsider("dave")
    before = party.say(alice, "before dave")
    party.devices.append(dave)
    add(party, alice, dave)
    assert not ask(party, dave, alice, before)
    meanwhile = party.say(alice, "with dave")
    remove(party, alice, dave)
    assert not ask(party, dave, alice, before)
    assert ask(party, dave, alice, meanwhile)


@pytest.mark.parametrize("gone", [False, True])
def test_behind_another_account_key_there_may_be_somebody_else(
    gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    party = Party("alice", "bob", "carol")
    alice, _, carol = party.devices
    message_id = party.say(alice, "all of us")
    if gone:
        remove(party, alice, carol)
    lists, account = alice.machine._groups._lists, carol.machine.account_id
    shown = lists.account_key(account)
    monkeypatch.setattr(lists, "account_key", lambda _: bytes(len(shown)))
    assert not ask(party, carol, alice, message_id)
    monkeypatch.undo()
    assert ask(party, carol, alice, message_id)


def test_who_has_left_still_answers_those_who_were_there() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    dave = party.outsider("dave")
    message_id = party.say(bob, "and good bye")
    bob.machine.group_leave(party.group, party.server.now)
    change(party, bob)
    assert party.view(bob).state is GroupState.LEFT
    assert ask(party, carol, bob, message_id)
    party.devices.append(dave)
    add(party, alice, dave)
    bob.meet("dave")
    assert not ask(party, dave, bob, message_id)


# --- Devices that were taken out -------------------------------------------------------------


def with_a_tablet() -> tuple[Party, MemoryDevice]:
    party = Party("alice", "bob")
    bob = party.devices[1]
    tablet = party.add_device("bob", beside=bob)
    party.settle()
    party.check_together()
    return party, tablet


def take_out(party: Party, tablet: MemoryDevice) -> None:
    alice, bob, _ = party.devices
    tablet.disconnect()
    bob.remove(tablet)
    party.reconnect(alice, bob)
    party.settle(8)
    assert party.view(alice).leaves == 2


def test_what_a_device_said_before_it_was_taken_out_is_read_late() -> None:
    """The server held it back until then, under the number that it had."""
    party, tablet = with_a_tablet()
    alice, bob, _ = party.devices
    hidden: list[int] = [len(party.server.streams[party.group].entries) + 1]

    def deliver(entry: Entry, device_id: bytes) -> list[Entry]:
        hides = entry.stream == party.group and entry.seq in hidden
        return [] if hides and device_id == alice.machine.device_id else [entry]

    party.server.deliver = deliver
    party.say(tablet, "my last words")
    take_out(party, tablet)
    assert alice.texts() == []
    hidden.clear()
    party.reconnect(alice)
    party.settle(30, 60_000)
    assert alice.texts() == bob.texts() == ["my last words"]
    assert heard(alice, MessageUnreadable) == []


def test_what_a_device_says_after_it_was_taken_out_is_not_read() -> None:
    """It still has the keys of the epoch before; by its number it is known to be too late."""
    party, tablet = with_a_tablet()
    alice, bob, _ = party.devices
    tablet.machine.send_to(party.group, Text("i am still here"), party.server.now)
    requests = tablet.machine.outgoing(party.server.now)
    bodies = [each.body for each in requests if isinstance(each, ServerRequest)]
    (append,) = (body for body in bodies if isinstance(body, Append))
    take_out(party, tablet)
    entries = party.server.streams[party.group].entries
    late = Entry(
        stream=party.group,
        seq=len(entries) + 1,
        sender_account=bob.machine.account_id,
        sender_device=tablet.machine.device_id,
        client_id=append.client_id,
        stored_at=party.server.now,
        expires_at=None,
        envelope=append.envelope,
        part=None,
    )
    entries.append(_Stored(late, {}))
    party.settle(4)
    for device in (alice, bob):
        assert device.texts() == []
        assert [event.reason for event in heard(device, MessageUnreadable)] == [Reason.NOT_MEMBER]


def test_what_the_server_took_from_who_left_before_they_knew_is_given_again() -> None:
    """Its answer was lost; nothing that was not out yet is said after that."""
    party = Party("alice", "bob", "carol")
    _, bob, carol = party.devices
    message_id = bob.machine.send_to(party.group, Text("on my way out"), party.server.now)
    (append,) = bob.machine.outgoing(party.server.now)
    assert isinstance(append, ServerRequest)
    party.server.request(bob.machine.device_id, append.kind, append.body)
    bob.disconnect()
    bob.machine.send_to(party.group, Text("and one more"), party.server.now)
    bob.machine.group_leave(party.group, party.server.now)
    party.reconnect(bob)
    party.settle(3)
    assert party.view(bob).state is GroupState.LEFT
    assert carol.texts() == ["on my way out"]
    assert ask(party, carol, bob, message_id)


def test_who_wants_to_go_says_nothing_more() -> None:
    """What was encrypted, and did not leave: nobody knows whether the server has it."""
    party = Party("alice", "bob", "carol")
    _, bob, carol = party.devices
    bob.machine.send_to(party.group, Text("never mind"), party.server.now)
    assert bob.machine.outgoing(party.server.now)
    bob.disconnect()
    bob.machine.group_leave(party.group, party.server.now)
    party.reconnect(bob)
    party.settle(3)
    assert party.view(bob).state is GroupState.LEFT
    assert carol.texts() == []
    assert not bob.machine._memory.outbox


def test_what_comes_when_the_keys_of_its_epoch_are_gone_was_not_changed_on_the_way() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    bob.machine.send_to(party.group, Text("delayed"), party.server.now)
    (append,) = bob.machine.outgoing(party.server.now)
    assert isinstance(append, ServerRequest)
    bob.disconnect()
    alice.machine.group_rename(party.group, "Two friends", party.server.now)
    alice.settle()
    party.server.now += 2 * PAST_EPOCH_AGE * 1_000
    party.server.request(bob.machine.device_id, append.kind, append.body)
    alice.pull()
    assert [event.reason for event in heard(alice, MessageUnreadable)] == [Reason.EPOCH_OVER]
