"""What goes wrong in one group stays in it: nothing comes out of the machine, the others go on."""

from __future__ import annotations

import pytest
from msgspec import Struct

from parlour.conversation.events import (
    CommitRefused,
    Event,
    GroupLeft,
    GroupRefused,
    MessageUnreadable,
)
from parlour.conversation.groups import committing
from parlour.conversation.groups.committing import MAX_ATTEMPTS
from parlour.conversation.groups.following import Following
from parlour.conversation.groups.groups import REST
from parlour.conversation.groups.messages import Messages
from parlour.conversation.groups.records import GroupState
from parlour.errors import Code, error
from parlour.mls.public.proposals import Add
from parlour.roster.genesis import Kind as GroupKind
from parlour.testing.device import MemoryDevice
from parlour.wire import groups as wire
from parlour.wire.kinds import Kind
from tests.scenario.parties import Party, chat_of
from tests.scenario.people import heard
from tests.scenario.test_group_authority import package
from tests.scenario.test_group_hostile import check_goes_on, made_by, put
from tests.scenario.test_group_readding import published


def test_a_connection_that_was_too_slow_is_no_answer() -> None:
    """What was under way when the server closed it may have been done: it is asked again."""
    party = Party("alice", "bob")
    alice, bob = party.devices
    founded = len(party.server.streams)

    def closed(step: str) -> None:
        if step == "after request" and len(party.server.streams) > founded:
            alice.fault = lambda step: None
            raise error(Code.NETWORK_SLOW)

    alice.fault = closed
    group = alice.machine.create_group(GroupKind.GROUP, "Friends", party.ids, party.server.now)
    alice.settle()
    party.settle(20)
    assert heard(alice, GroupRefused) == []
    assert bob.machine.groups[group].state is alice.machine.groups[group].state is GroupState.ACTIVE


def test_a_removal_that_had_to_wait_is_the_last_thing_that_happens() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    laptop = MemoryDevice(party.server, "alice", seed="laptop", beside=alice, linked=True)
    party.devices.append(laptop)
    laptop.connect()
    party.reconnect(alice)
    # Carol's list of alice is older than the laptop, and nobody tells her.
    carol_pulls, party.devices = carol, [alice, bob, laptop]
    party.settle(8)
    assert party.view(laptop).state is GroupState.ACTIVE
    laptop.machine.group_remove(party.group, [carol.machine.account_id], party.server.now)
    laptop.settle()
    party.settle()
    carol_pulls.pull()
    for _ in range(3):
        carol.wait(5_000)
    assert len(heard(carol, GroupLeft)) == 1
    assert chat_of(carol, party).waiting == []


def test_an_add_that_somebody_proposed_is_covered_by_nobody() -> None:
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    eve = party.outsider("eve")
    added = package(published(party, eve))
    for device in party.devices:
        device.meet("eve")
    proposal = chat_of(mallory, party).live().propose(Add(added), party.server.now // 1000)
    put(party, mallory, made_by(party, mallory, wire.ProposalBody(0, proposal, b"")))
    mallory.disconnect()
    party.settle(6)
    check_goes_on(party, alice, bob)
    assert party.view(alice).leaves == 3


def test_a_commit_that_does_not_fit_stops_no_other_group(monkeypatch: pytest.MonkeyPatch) -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    other = alice.machine.create_group(
        chat_of(alice, party).genesis.kind, "Others", party.ids, party.server.now, suite=1
    )
    alice.settle()
    party.settle()
    encode = wire.encode_body

    def large(body: wire.CommitBody) -> bytes:
        if body.commit[4:].find(party.group) >= 0:
            raise error(Code.LIMIT_SIZE)
        return encode(body)

    monkeypatch.setattr(committing, "encode_body", large)
    alice.machine.group_rename(party.group, "too much", party.server.now)
    alice.machine.group_rename(other, "News", party.server.now)
    alice.settle()
    party.settle()
    assert bob.machine.groups[other].name == "News"
    assert alice.machine.counters["group.failed"] == 1
    assert chat_of(alice, party).live().pending is None
    for _ in range(MAX_ATTEMPTS):
        alice.wait(REST)
    assert [event.reason for event in heard(alice, GroupRefused)] == [Code.LIMIT_SIZE]
    assert alice.machine.counters["group.failed"] == MAX_ATTEMPTS
    monkeypatch.undo()
    alice.machine.group_rename(party.group, "again", party.server.now)
    alice.wait(REST)
    check_goes_on(party, alice, bob)
    assert party.view(bob).name == "again"


def test_an_account_whose_list_is_gone_can_be_put_out(monkeypatch: pytest.MonkeyPatch) -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    lost = carol.machine.account_id
    lists = alice.machine._groups._lists
    unread = lists.unread
    monkeypatch.setattr(
        lists, "unread", lambda accounts: unread(accounts) | {lost}.intersection(accounts)
    )
    carol.disconnect()
    # Nobody knows which devices she has, so nothing is said for a while (`unlisted`).
    party.say(alice, "hello")
    party.settle()
    assert bob.texts() == []
    alice.machine.group_remove(party.group, [lost], party.server.now)
    party.settle()
    party.check_together()
    assert bob.texts() == ["hello"]
    assert party.view(bob).leaves == 2


@pytest.mark.parametrize("kind", [CommitRefused, MessageUnreadable])
def test_an_entry_that_cannot_be_handled(
    kind: type[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    if kind is CommitRefused:
        alice.machine.group_refresh(party.group, party.server.now)
        alice.settle()
    else:
        party.say(alice, "lost")

    def stumble(*_: object) -> bool:
        raise error(Code.INTERNAL_BUG, "unforeseen")

    monkeypatch.setattr(Following, "_commit", stumble)
    monkeypatch.setattr(Messages, "take", stumble)
    bob.pull()
    assert bob.machine.counters["group.failed"] >= 1
    assert len(heard(bob, kind)) >= 1


def test_only_refusals_in_a_row_make_a_wish_be_given_up() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    request, left = party.server.request, 0

    def refuse(device_id: bytes, kind: Kind, body: Struct) -> Struct:
        nonlocal left
        if kind is Kind.HANDSHAKE and left:
            left -= 1
            raise error(Code.GROUP_INVALID)
        return request(device_id, kind, body)

    party.server.request = refuse  # type: ignore[method-assign]
    for name, refusals in (("one", MAX_ATTEMPTS - 1), ("two", MAX_ATTEMPTS - 1)):
        left = refusals
        alice.machine.group_rename(party.group, name, party.server.now)
        for _ in range(3 * MAX_ATTEMPTS):
            party.settle(1, 60_000)
        assert (left, party.view(bob).name) == (0, name)
    assert heard(alice, GroupRefused) == []
    left = MAX_ATTEMPTS
    alice.machine.group_rename(party.group, "three", party.server.now)
    for _ in range(3 * MAX_ATTEMPTS):
        party.settle(1, 60_000)
    assert [event.reason for event in heard(alice, GroupRefused)] == [Code.GROUP_INVALID]
    assert party.view(bob).name == "two"
