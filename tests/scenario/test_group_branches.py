"""A server that was put back to a backup goes on another way than its people did."""

from __future__ import annotations

from dataclasses import replace as replaced
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from parlour.conversation.events import GroupLeft, GroupRepairing, GroupRestarted
from parlour.conversation.groups.branches import BRANCH, Branch
from parlour.conversation.groups.records import GroupState, Step, Trouble
from parlour.conversation.groups.restarting import RESTART_ALONE
from parlour.roster.changes import Removed
from parlour.roster.entry import RosterEntry
from parlour.roster.genesis import Kind
from parlour.roster.roles import Role
from parlour.roster.state import Member
from parlour.testing.device import MemoryDevice
from parlour.wire import groups as wire
from parlour.wire.groups import RestartBody, RestartGroup, decode_body
from parlour.wire.kinds import Kind as MessageKind
from tests.scenario.parties import Party, backup, chat_of, restore
from tests.scenario.people import heard
from tests.scenario.test_group_entering import Lying


def two_branches(party: Party, away: MemoryDevice) -> Any:
    """The server, put back to when one device was last there, goes on by that one.

    Returns what is to be done before: what the others decided is lost to the server.
    """
    party.reconnect()
    party.settle(2)
    saved = backup(party)
    away.disconnect()
    return saved


def go_on_from(party: Party, saved: Any, away: MemoryDevice, name: str) -> None:
    """The server is put back, and `away` is there before the others, and gives it a name."""
    for device in party.devices:
        device.disconnect()
    restore(party, saved)
    party.server.incarnation = bytes([1]) * 16
    away.connect()
    away.machine.group_rename(party.group, name, party.server.now)
    away.settle()
    party.settle(2)
    assert party.view(away).name == name


def test_what_was_decided_is_not_undone_by_a_backup() -> None:
    """Mallory was put out, and Bob is told of it by the next one who knows; he had gone on."""
    party = Party("alice", "bob", "carol", "mallory", kind=Kind.FAMILY)
    alice, bob, carol, mallory = party.devices
    saved = two_branches(party, bob)
    out = mallory.machine.account_id
    alice.machine.group_set_role(
        party.group, carol.machine.account_id, Role.ADMIN, party.server.now
    )
    alice.machine.group_remove(party.group, [out], party.server.now)
    alice.settle()
    party.settle(3)
    assert party.view(mallory).state is GroupState.LEFT
    go_on_from(party, saved, bob, "Bob's friends")
    party.reconnect(alice, carol, mallory)
    party.settle(20, 60_000)
    party.check_together([alice, bob, carol])
    people = {member.account_id for member in party.view(bob).members}
    assert out not in people
    assert len(people) == 3
    assert party.view(mallory).state is GroupState.LEFT
    assert {event.reason for event in heard(carol, GroupRepairing)} >= {BRANCH}
    assert [event.by for event in heard(bob, GroupRestarted)] == [alice.machine.account_id]
    party.say(carol, "we go on")
    party.settle()
    assert alice.texts()[-1] == bob.texts()[-1] == "we go on"
    assert "we go on" not in mallory.texts()


def test_nobody_comes_back_by_an_admin_who_has_not_heard_that_they_went() -> None:
    """Who has heard of it does not go over to that roster, and begins once more."""
    party = Party("alice", "bob", "carol", "mallory", kind=Kind.FAMILY)
    alice, bob, carol, mallory = party.devices
    out, admin = mallory.machine.account_id, carol.machine.account_id
    alice.machine.group_set_role(party.group, admin, Role.ADMIN, party.server.now)
    alice.settle()
    saved = two_branches(party, bob)
    alice.machine.group_rename(party.group, "Alice's friends", party.server.now)
    alice.settle()
    party.settle(3)
    carol.disconnect()
    alice.machine.group_remove(party.group, [out], party.server.now)
    alice.settle()
    party.settle(3)
    assert party.view(mallory).state is GroupState.LEFT
    go_on_from(party, saved, bob, "Bob's friends")
    carol.connect()
    party.settle(12, 60_000)
    party.check_together([bob, carol])
    assert out in {member.account_id for member in party.view(bob).members}
    alice.connect()
    party.settle(20, 60_000)
    party.check_together([alice, bob, carol])
    assert out not in {member.account_id for member in party.view(bob).members}
    assert [event.by for event in heard(bob, GroupRestarted)] == [admin, alice.machine.account_id]


@pytest.mark.parametrize("is_known", [False, True])
def test_a_branch_that_is_made_up_gives_nobody_anything(is_known: bool) -> None:
    """A server shows an account of its own as the owner; an admin begins again, without it."""
    party = Party("alice", "bob")
    alice, bob = party.devices
    eve = party.outsider("eve")
    if is_known:
        alice.meet("eve")
    chat = chat_of(alice, party)
    roster, memory = chat.known_roster(), eve.machine._memory
    key = eve.account_key.public_key.to_bytes()
    members = {**roster.state.members, memory.account_id: Member(Role.OWNER, 0, key)}
    state = replaced(roster.state, members=members)
    head = replaced(
        roster.head,
        signer_account=memory.account_id,
        signer_device=memory.device_id,
        state_hash=state.hash(),
    ).sign(memory.local.signature_key)

    def lie(party: Party, shown: wire.GroupState) -> wire.GroupState:
        return replace(shown, roster_state=state.encode(), roster_head=head.encode())

    server = Lying(party, alice, lie)
    alice.machine._groups._ladder.compare(chat)
    asked: list[RestartGroup] = []
    request = party.server.request

    def note(device_id: bytes, kind: MessageKind, body: Struct) -> Struct:
        if isinstance(body, RestartGroup):
            asked.append(body)
        return request(device_id, kind, body)

    party.server.request = note  # type: ignore[method-assign]
    party.settle(6, 60_000)
    assert server.lies
    assert asked
    for body in asked:
        entries = decode_body(body.envelope.body, RestartBody).roster
        changes = [c for data in entries for c in RosterEntry.decode(data).changes]
        assert Removed(memory.account_id) in changes
    server.change = None
    party.settle(30, 60_000)
    party.check_together([alice, bob])
    assert memory.account_id not in chat_of(bob, party).accounts


def test_who_left_is_not_brought_back_by_a_backup() -> None:
    """Whoever is there has not seen it, so it is said again."""
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    saved = two_branches(party, bob)
    carol.machine.group_leave(party.group, party.server.now)
    carol.settle()
    party.settle(3)
    assert party.view(carol).state is GroupState.LEFT
    for device in party.devices:
        device.disconnect()
    restore(party, saved)
    party.server.incarnation = bytes([1]) * 16
    party.reconnect(bob, carol)
    party.settle(12, 30_000)
    assert party.view(carol).state is GroupState.LEFT
    assert carol.machine.account_id not in {m.account_id for m in party.view(bob).members}
    party.say(bob, "not for carol")
    alice.connect()
    party.settle(12, 60_000)
    party.check_together([alice, bob])
    assert alice.texts()[-1] == "not for carol"
    assert carol.texts() == []


def test_who_left_stays_out_where_a_restored_server_knows_of_it() -> None:
    party = Party("alice", "bob", "carol")
    _, _, carol = party.devices
    carol.machine.group_leave(party.group, party.server.now)
    carol.settle()
    party.settle(3)
    party.server.incarnation = bytes([1]) * 16
    party.reconnect()
    party.settle(6, 60_000)
    assert party.view(carol).state is GroupState.LEFT
    assert len(heard(carol, GroupLeft)) == 1


def test_a_branch_that_can_not_be_gone_on_from_is_compared_again() -> None:
    """What the server shows does not hold together; the truth is found by the next look."""
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    saved = two_branches(party, bob)
    alice.machine.group_rename(party.group, "Alice's friends", party.server.now)
    alice.settle()
    for device in party.devices:
        device.disconnect()
    restore(party, saved)
    party.server.incarnation = bytes([1]) * 16
    bob.connect()
    carol.machine.group_leave(party.group, party.server.now)
    carol.connect()
    party.settle(3)

    def lie(party: Party, shown: wire.GroupState) -> wire.GroupState:
        head = replaced(RosterEntry.decode(shown.roster_head), state_hash=bytes(32))
        return replace(shown, roster_head=head.encode())

    server = Lying(party, alice, lie)
    alice.connect()
    party.settle(6, 60_000)
    assert server.lies
    assert alice.machine.counters["branch.refused"]
    assert party.view(alice).trouble == BRANCH
    server.change = None
    party.settle(30, 60_000)
    party.check_together([alice, bob])
    assert carol.machine.account_id not in chat_of(alice, party).accounts


def test_a_wish_to_leave_that_a_backup_has_lost_is_said_again() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    bob.disconnect()
    saved = backup(party)
    alice.machine.group_leave(party.group, party.server.now)
    alice.settle()
    assert chat_of(alice, party).live().proposals
    alice.disconnect()
    restore(party, saved)
    party.server.incarnation = bytes([1]) * 16
    party.reconnect()
    party.settle(6, 30_000)
    assert party.view(alice).state is GroupState.LEFT
    assert [member.account_id for member in party.view(bob).members] == party.ids


def test_a_branch_that_is_over_begins_nothing_again() -> None:
    """Another trouble comes later; what the server had shown once is not gone on from then."""
    party = Party("alice", "bob")
    alice, _ = party.devices
    chat, restarting = chat_of(alice, party), alice.machine._groups._ladder._restarting
    group = party.server.groups.groups[party.group]
    shown = group.epochs[0, chat.epoch]
    chat.branch = Branch(shown, chat.known_roster().state)
    trouble = Trouble(0, chat.epoch, BRANCH, 1_000, Step.WAIT, 1_000)
    assert restarting.due_at(chat, trouble) == 1_000 + RESTART_ALONE
    for reason in ("gap", "fork", "welcome"):
        assert restarting.due_at(chat, replace(trouble, reason=reason)) is None
