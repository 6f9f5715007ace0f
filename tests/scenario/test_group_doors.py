"""What a server and a member show together to who comes in: nothing wrong is entered by."""

from __future__ import annotations

from dataclasses import replace as replaced

import pytest
from msgspec.structs import replace

from parlour.conversation.events import (
    GroupJoined,
    GroupRestarted,
    MessageReceived,
    ServerMisbehaved,
)
from parlour.conversation.groups.records import GroupState
from parlour.errors import Code
from parlour.roster.changes import Added
from parlour.roster.restart import sign_restart
from parlour.roster.roles import Role
from parlour.testing.device import MemoryDevice
from parlour.wire import groups as wire
from parlour.wire.envelope import ENVELOPE_FORMAT, Envelope, SuiteId
from parlour.wire.streams import Append, Entry
from tests.scenario.parties import Party, chat_of, let_time_pass, lose_alone
from tests.scenario.people import heard
from tests.scenario.test_group_account_keys import another_key
from tests.scenario.test_group_authority import come_in
from tests.scenario.test_group_entering import Lying
from tests.scenario.test_group_hostile import check_goes_on, put
from tests.scenario.test_group_hostile import refusals as codes


def check_stays_out(party: Party, carol: MemoryDevice, server: Lying) -> None:
    """Carol, alone and without her keys, makes no commit by it; she comes back by the truth."""
    entries = len(party.server.streams[party.group].entries)
    let_time_pass(carol)
    assert server.lies > 0
    assert carol.machine.counters["rejoin.refused"] >= 1
    assert len(party.server.streams[party.group].entries) == entries
    assert chat_of(carol, party).group is None
    server.change = None
    let_time_pass(carol, 400)
    assert party.view(carol).state is GroupState.ACTIVE


def test_a_server_comes_in_with_an_account_of_its_own() -> None:
    """And has somebody come in under it alone: the roster is signed by nobody whom they know."""
    party = Party("alice", "bob", "carol")
    alice, _, carol = party.devices
    eve = party.outsider("eve")
    alice.meet("eve")
    memory, own = eve.machine._memory, alice.machine._memory
    roster = chat_of(alice, party).known_roster()
    change = Added(memory.account_id, Role.MEMBER, eve.account_key.public_key.to_bytes())
    true = roster.next_entry(
        [change],
        own.account_id,
        own.device_id,
        own.local.signature_key,
        party.server.now,
    )
    after = roster.extend(true, alice.machine._groups._lists.find_key)
    made_up = replaced(true, signer_account=memory.account_id, signer_device=memory.device_id).sign(
        memory.local.signature_key
    )

    def lie(party: Party, state: wire.GroupState) -> wire.GroupState:
        return replace(state, roster_state=after.state.encode(), roster_head=made_up.encode())

    server = Lying(party, carol, lie)
    lose_alone(party, carol)
    check_stays_out(party, carol, server)
    assert memory.account_id not in chat_of(carol, party).accounts


def test_a_member_signs_another_entry_of_the_roster_for_a_server_to_show() -> None:
    party = Party("alice", "mallory", "carol")
    _, mallory, carol = party.devices
    memory = mallory.machine._memory
    head = chat_of(mallory, party).known_roster().head
    other = replaced(
        head, signer_account=memory.account_id, signer_device=memory.device_id, at=head.at + 1
    ).sign(memory.local.signature_key)
    server = Lying(party, carol, lambda party, state: replace(state, roster_head=other.encode()))
    lose_alone(party, carol)
    check_stays_out(party, carol, server)
    assert {event.reason for event in heard(carol, ServerMisbehaved)} == {Code.ROSTER_ROLLBACK}


@pytest.mark.parametrize("what", ["rename", "remove"])
def test_the_newest_roster_is_shown_with_the_epoch_before_it(what: str) -> None:
    """In which who was put out could still read."""
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    carol.disconnect()
    if what == "rename":
        alice.machine.group_rename(party.group, "New", party.server.now)
    else:
        alice.machine.group_remove(party.group, [bob.machine.account_id], party.server.now)
    alice.settle()

    def lie(party: Party, state: wire.GroupState) -> wire.GroupState:
        old = party.server.groups.groups[party.group].epochs[0, state.epoch - 1]
        return replace(old, roster_state=state.roster_state, roster_head=state.roster_head)

    server = Lying(party, carol, lie)
    lose_alone(party, carol)
    check_stays_out(party, carol, server)


def test_who_missed_a_change_of_the_roster_comes_back_by_who_signed_it() -> None:
    party = Party("alice", "bob", "carol")
    alice, _, carol = party.devices
    carol.disconnect()
    alice.machine.group_rename(party.group, "New", party.server.now)
    alice.settle()
    lose_alone(party, carol)
    let_time_pass(carol)
    assert party.view(carol).state is GroupState.ACTIVE
    party.reconnect()
    party.settle(10)
    party.check_together()
    assert party.view(carol).name == "New"


def test_somebody_comes_in_whose_founder_has_another_key_by_now() -> None:
    """Nobody can show them the key that founded the group; members have seen it."""
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    alice.machine.group_set_role(party.group, party.ids[0], Role.OWNER, party.server.now)
    alice.settle()
    party.settle()
    party.devices.append(party.devices.pop(0))
    another_key(party, alice)
    party.devices.pop()
    party.settle(10, 10_000)
    dave = party.outsider("dave")
    bob.machine.group_add(party.group, [bob.meet("dave")], party.server.now)
    bob.settle()
    party.devices.append(dave)
    party.settle(10, 10_000)
    assert heard(dave, GroupJoined)
    dave.machine.accept_group(party.group, party.server.now)
    check_goes_on(party, bob, carol, dave)


def change_welcomes(party: Party, dave: MemoryDevice, **changes: object) -> None:
    """The server changes commits of the group that it gives to one device."""

    def deliver(entry: Entry, device_id: bytes) -> list[Entry]:
        mine = entry.stream == party.group and device_id == dave.machine.device_id
        if not mine or entry.part is None:
            return [entry]
        others = {name: value for name, value in changes.items() if name != "commit"}
        if "commit" in changes:
            body = wire.decode_body(entry.envelope.body, wire.CommitBody)
            encoded = wire.encode_body(replace(body, commit=changes["commit"]))
            others["envelope"] = replace(entry.envelope, body=encoded)
        return [replace(entry, **others)]

    party.server.deliver = deliver


@pytest.mark.parametrize("lie", ["sender", "message", "junk", "from outside"])
def test_a_welcome_that_is_shown_with_another_commit_or_sender(lie: str) -> None:
    """Who says who brought them in: it decides whether they are asked."""
    party = Party("alice", "bob")
    alice, bob = party.devices
    dave = party.outsider("dave")
    memory = bob.machine._memory
    if lie == "sender":
        change_welcomes(
            party, dave, sender_account=memory.account_id, sender_device=memory.device_id
        )
    elif lie == "from outside":
        # Who comes in by itself welcomes nobody.
        come_in(party, bob, in_place_of=bob)
        stray = party.server.streams[party.group].entries.pop().entry
        commit = wire.decode_body(stray.envelope.body, wire.CommitBody).commit
        change_welcomes(party, dave, commit=commit)
    else:
        message = chat_of(bob, party).live().encrypt(b"x", b"y", random=bob.random)
        change_welcomes(party, dave, commit=message if lie == "message" else b"?")
    alice.machine.group_add(party.group, [alice.meet("dave")], party.server.now)
    alice.settle()
    dave.pull()
    assert dave.machine.counters["welcome.refused"] == 1
    assert heard(dave, GroupJoined) == []
    party.server.deliver = lambda entry, device_id: [entry]
    party.devices.append(dave)
    party.settle(30, 10_000)
    dave.machine.accept_group(party.group, party.server.now)
    party.check_together()


@pytest.mark.parametrize("lie", ["message", "junk"])
def test_who_left_is_not_brought_back_by_what_is_no_commit(lie: str) -> None:
    """Nor has it a part for them: all that speaks for it is an entry of the roster."""
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    alice.machine.group_remove(party.group, [bob.machine.account_id], party.server.now)
    alice.settle()
    party.settle(2)
    message = chat_of(carol, party).live().encrypt(b"x", b"y", random=carol.random)
    change_welcomes(party, bob, part=None, commit=message if lie == "message" else b"?")
    alice.machine.group_add(party.group, [bob.machine.account_id], party.server.now)
    alice.settle()
    party.reconnect(bob)
    assert party.view(bob).state is GroupState.LEFT
    party.settle(4)
    check_goes_on(party, alice, carol)


# --- Beginnings ---------------------------------------------------------------------------------


@pytest.mark.parametrize("lie", ["no member", "signature", "again"])
def test_a_beginning_that_counts_for_nothing(lie: str) -> None:
    """By who may not, in the name of an admin, or of the generation that is."""
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    if lie == "no member":
        alice.machine.group_remove(party.group, [mallory.machine.account_id], party.server.now)
        alice.settle()
        party.settle(2)
    roster = chat_of(alice, party).known_roster()
    generation = 0 if lie == "again" else 1
    key = mallory.machine._memory.local.signature_key
    signature = sign_restart(party.group, generation, bytes(32), roster.head_hash, key)
    body = wire.RestartBody(generation, [], "no reason", bytes(32), signature)
    maker = alice if lie == "signature" else mallory
    append = Append(
        stream=party.group,
        client_id=mallory.random(16),
        envelope=Envelope(ENVELOPE_FORMAT, SuiteId.MLS_RESTART, b"", wire.encode_body(body)),
        parts=[],
    )
    put(party, maker, append)
    mallory.disconnect()
    bob.pull()
    assert heard(bob, GroupRestarted) == []
    assert party.view(bob).generation == 0
    assert len(codes(bob)) == (0 if lie == "again" else 1)
    if lie == "again":
        assert party.view(bob).state is GroupState.ACTIVE
    received = len(heard(bob, MessageReceived))
    check_goes_on(party, alice, bob)
    assert len(heard(bob, MessageReceived)) > received
