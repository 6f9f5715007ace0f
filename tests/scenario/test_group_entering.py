"""What a server says of a group to who is about to enter it: nothing wrong is entered by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace as replaced

import pytest
from msgspec import Struct
from msgspec.structs import replace

from parlour.conversation.events import GroupJoined, GroupRepaired, ServerMisbehaved
from parlour.conversation.groups.records import GroupState
from parlour.errors import Code
from parlour.roster.entry import RosterEntry
from parlour.roster.genesis import Genesis
from parlour.testing.device import MemoryDevice
from parlour.wire import groups as wire
from parlour.wire.envelope import SuiteId
from parlour.wire.kinds import Kind
from parlour.wire.streams import CaughtUp, Entry
from tests.scenario.parties import (
    Party,
    chat_of,
    come_back_alone,
    let_time_pass,
    lose_alone,
    lose_state,
)
from tests.scenario.people import heard

Change = Callable[[Party, wire.GroupState], wire.GroupState]


class Lying:
    """A server that changes what it says of a group to one device, while it likes."""

    def __init__(self, party: Party, device: MemoryDevice, change: Change) -> None:
        self.party = party
        self.device_id = device.machine.device_id
        self.change: Change | None = change
        self.lies = 0
        party.server.answer = self.answer

    def answer(self, device_id: bytes, kind: Kind, body: Struct, answer: Struct) -> Struct:
        told = isinstance(answer, wire.GroupState) and device_id == self.device_id
        if told and self.change is not None:
            self.lies += 1
            return self.change(self.party, answer)  # type: ignore[arg-type]
        return answer


def another_stream(party: Party, state: wire.GroupState) -> wire.GroupState:
    return replace(state, stream=bytes(16))


def another_genesis(party: Party, state: wire.GroupState) -> wire.GroupState:
    genesis = replaced(Genesis.decode(state.genesis), created_at=1)
    return replace(state, genesis=genesis.encode())


def an_older_epoch(party: Party, state: wire.GroupState) -> wire.GroupState:
    followed = party.server.groups.groups[party.group]
    return followed.epochs[0, state.epoch - 1]


def an_older_group_info(party: Party, state: wire.GroupState) -> wire.GroupState:
    """With the number of the newest epoch."""
    return replace(an_older_epoch(party, state), epoch=state.epoch)


def an_older_roster(party: Party, state: wire.GroupState) -> wire.GroupState:
    first = party.server.groups.groups[party.group].epochs[0, 0]
    return replace(state, roster_state=first.roster_state, roster_head=first.roster_head)


def another_head(party: Party, state: wire.GroupState) -> wire.GroupState:
    head = RosterEntry.decode(state.roster_head)
    return replace(state, roster_head=replaced(head, at=head.at + 1).encode())


def an_older_tree(party: Party, state: wire.GroupState) -> wire.GroupState:
    return replace(state, tree=party.server.groups.groups[party.group].epochs[0, 0].tree)


def another_generation(party: Party, state: wire.GroupState) -> wire.GroupState:
    return replace(state, generation=state.generation + 1)


def no_group_info(party: Party, state: wire.GroupState) -> wire.GroupState:
    return replace(state, group_info=b"\0\1\0\3")


def another_message(party: Party, state: wire.GroupState) -> wire.GroupState:
    """In the place of a GroupInfo."""
    entries = party.server.streams[party.group].entries
    commits = [e.entry for e in entries if e.entry.envelope.suite == SuiteId.MLS_COMMIT]
    body = wire.decode_body(commits[-1].envelope.body, wire.CommitBody)
    return replace(state, group_info=body.commit)


LIES: list[Change] = [
    another_stream,
    another_genesis,
    an_older_epoch,
    an_older_roster,
    another_head,
    an_older_tree,
    another_generation,
]


@pytest.mark.parametrize("lie", LIES)
def test_nobody_comes_in_by_a_welcome_and_a_lie(lie: Change) -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    dave = party.outsider("dave")
    server = Lying(party, dave, lie)
    alice.machine.group_add(party.group, [alice.meet("dave")], party.server.now)
    alice.settle()
    dave.pull()
    assert server.lies > 0
    assert heard(dave, GroupJoined) == []
    assert party.view(dave).state is not GroupState.ACTIVE
    server.change = None
    party.devices.append(dave)
    party.settle(30)
    dave.machine.accept_group(party.group, party.server.now)
    party.check_together()
    party.say(bob, "welcome")
    party.settle()
    assert dave.texts() == ["welcome"]


@pytest.mark.parametrize("lie", [*LIES, an_older_group_info, no_group_info, another_message])
def test_nobody_comes_back_by_their_own_commit_and_a_lie(lie: Change) -> None:
    party = Party("alice", "bob", "carol")
    alice, _, carol = party.devices
    alice.machine.group_rename(party.group, "New", party.server.now)
    alice.settle()
    party.settle(2)
    server = Lying(party, carol, lie)
    lose_alone(party, carol)
    entries = len(party.server.streams[party.group].entries)
    let_time_pass(carol)
    assert server.lies > 0
    assert len(party.server.streams[party.group].entries) == entries
    assert heard(carol, GroupRepaired) == []
    assert chat_of(carol, party).group is None
    server.change = None
    party.reconnect()
    party.settle(60, 20_000)
    party.check_together()


@pytest.mark.parametrize("of_roster", [False, True])
def test_a_server_that_shows_less_than_is_known_is_named(of_roster: bool) -> None:
    party = Party("alice", "bob", "carol")
    alice, _, carol = party.devices
    if of_roster:
        alice.machine.group_rename(party.group, "New", party.server.now)
    else:
        alice.machine.group_refresh(party.group, party.server.now)
    alice.settle()
    party.settle(2)
    Lying(party, carol, an_older_epoch)
    come_back_alone(party, carol)
    told = {event.reason for event in heard(carol, ServerMisbehaved)}
    assert told == {Code.ROSTER_ROLLBACK if of_roster else Code.GROUP_ROLLBACK}
    assert carol.machine.counters["group.rollback"] >= 1


def let_in_dave(first: Callable[[int], int]) -> tuple[Party, MemoryDevice]:
    """Dave's first page lacks his Welcome and what is said next; `first` changes its beginning."""
    party = Party("alice", "bob", "carol")
    dave = MemoryDevice(party.server, "dave")
    dave.connect()
    party.devices.append(dave)
    alice, dave_id = party.devices[0], party.devices[0].meet("dave")
    hidden: set[int] = set()

    def deliver(entry: Entry, device_id: bytes) -> list[Entry]:
        hides = entry.stream == party.group and entry.seq in hidden
        return [] if hides and device_id == dave.machine.device_id else [entry]

    def answer(device_id: bytes, kind: Kind, body: Struct, answer: Struct) -> Struct:
        del kind, body
        if isinstance(answer, CaughtUp) and device_id == dave.machine.device_id:
            infos = [replace(info, first=first(info.first)) for info in answer.streams]
            return replace(answer, streams=infos)
        return answer

    party.server.deliver, party.server.answer = deliver, answer
    dave.disconnect()
    entries = party.server.streams[party.group].entries
    before = len(entries)
    alice.machine.group_add(party.group, [dave_id], party.server.now)
    alice.settle()
    party.settle(2)
    party.say(alice, "welcome, dave")
    hidden.update(range(before + 1, len(entries) + 1))
    alice.machine.group_rename(party.group, "Four friends", party.server.now)
    alice.settle()
    dave.connect()
    party.settle(2)
    assert dave.texts() == []
    hidden.clear()
    return party, dave


def test_what_was_hidden_right_after_the_welcome_is_asked_for() -> None:
    party, dave = let_in_dave(lambda first: first)
    party.reconnect(dave)
    party.settle()
    dave.machine.accept_group(party.group, party.server.now)
    dave.settle()
    assert dave.texts() == ["welcome, dave"]


@pytest.mark.parametrize("first", [1, 1 << 40])
def test_a_wrong_beginning_loses_nothing_that_is_shown(first: int) -> None:
    party, dave = let_in_dave(lambda _: first)
    party.reconnect(dave)
    party.settle(30, 60_000)
    dave.machine.accept_group(party.group, party.server.now)
    party.say(party.devices[0], "are you there?")
    party.settle()
    assert dave.texts()[-1:] == ["are you there?"]
    gaps = dave.machine._memory.conversations[party.group].gaps
    assert len(gaps) <= 1


def test_who_was_put_out_meanwhile_does_not_come_back_by_itself() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    lose_state(carol, party.group)
    hidden = carol.machine.device_id
    party.server.deliver = lambda entry, device_id: [] if device_id == hidden else [entry]
    carol.disconnect()
    alice.machine.group_remove(party.group, [carol.machine.account_id], party.server.now)
    alice.settle()
    party.settle(2)
    alice.disconnect()
    bob.disconnect()
    carol.restart()
    carol.connect()
    entries = len(party.server.streams[party.group].entries)
    let_time_pass(carol)
    assert carol.machine.counters["rejoin.refused"] >= 1
    assert len(party.server.streams[party.group].entries) == entries
