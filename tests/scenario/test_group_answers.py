"""What a server answers to members: refusals, lies and answers that come too late."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
from msgspec import Struct
from msgspec.structs import replace

from parlour.conversation.content import Text
from parlour.conversation.events import (
    GroupJoined,
    GroupLeft,
    GroupRefused,
    GroupRepaired,
    GroupRepairing,
    ServerMisbehaved,
)
from parlour.conversation.groups.committing import MAX_ATTEMPTS
from parlour.conversation.groups.ladder import DAY, MAX_REJOINS, PAUSE
from parlour.conversation.groups.records import GroupState, Step
from parlour.errors import Code, ParlourError, error
from parlour.roster.genesis import Kind as GroupKind
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.groups import GroupState as PublicState
from parlour.wire.groups import Handled
from parlour.wire.kinds import Kind
from parlour.wire.push import PushEntry
from parlour.wire.streams import Append, Entry, Page, Read, StreamInfo
from tests.scenario.parties import Party, chat_of, let_time_pass, lose_alone
from tests.scenario.people import heard

# After all rungs were climbed in vain three times.
WAITED = (Step.WAIT, 3)

Doubt = Callable[[Kind, Struct], ParlourError | None]


class Refusing:
    """A server that refuses some requests of one device, before it does anything."""

    def __init__(self, server: MemoryServer, device: MemoryDevice, doubt: Doubt) -> None:
        self.device_id = device.machine.device_id
        self.doubt: Doubt | None = doubt
        self.refused = 0
        self._request = server.request
        server.request = self.request  # type: ignore[method-assign]

    def request(self, device_id: bytes, kind: Kind, body: Struct) -> Struct:
        if device_id == self.device_id and self.doubt is not None:
            problem = self.doubt(kind, body)
            if problem is not None:
                self.refused += 1
                raise problem
        return self._request(device_id, kind, body)


def always(kind: Kind, code: Code) -> Doubt:
    return lambda asked, body: error(code) if asked is kind else None


def reasons(device: MemoryDevice) -> list[str]:
    return [event.reason for event in heard(device, GroupRepairing)]


# --- Founding -----------------------------------------------------------------------------------


def test_a_server_that_founds_another_group_than_was_asked_for() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices

    def answer(device_id: bytes, kind: Kind, body: Struct, answer: Struct) -> Struct:
        founded = kind is Kind.CREATE_GROUP and isinstance(answer, StreamInfo)
        return replace(answer, genesis=b"another") if founded else answer

    party.server.answer = answer
    group = alice.machine.create_group(GroupKind.GROUP, "Others", party.ids, party.server.now)
    alice.settle()
    assert {event.reason for event in heard(alice, ServerMisbehaved)} == {Code.SERVER_MISBEHAVED}
    assert alice.machine.groups[group].state is GroupState.FOUNDING
    party.server.answer = lambda device_id, kind, body, answer: answer
    party.settle(20, 10_000)
    assert alice.machine.groups[group].state is bob.machine.groups[group].state is GroupState.ACTIVE


def test_a_group_that_the_server_does_not_found_is_over_with_all_that_was_wanted_of_it() -> None:
    party = Party("alice", "bob")
    alice, _ = party.devices
    Refusing(party.server, alice, always(Kind.CREATE_GROUP, Code.GROUP_INVALID))
    group = alice.machine.create_group(GroupKind.GROUP, "Others", party.ids, party.server.now)
    alice.machine.group_rename(group, "Best", party.server.now)
    alice.settle()
    assert [(e.want, e.reason) for e in heard(alice, GroupRefused)] == [
        ("create", Code.GROUP_INVALID),
        ("add", Code.GROUP_OVER),
        ("rename", Code.GROUP_OVER),
    ]
    assert [event.group for event in heard(alice, GroupLeft)] == [group]
    assert alice.machine.groups[group].state is GroupState.LEFT
    party.check_together()


# --- Coming by a link ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "tries"), [(Code.GROUP_LINK, 1), (Code.GROUP_INVALID, MAX_ATTEMPTS)]
)
def test_who_comes_by_a_link_gives_up_where_the_server_does_not_take_it(
    code: Code, tries: int
) -> None:
    party = Party("alice", "bob")
    alice, _ = party.devices
    link = party.link(alice, uses=5)
    dave = party.outsider("dave")
    server = Refusing(party.server, dave, always(Kind.HANDSHAKE, code))
    dave.machine.join_by_link(link, party.server.now)
    let_time_pass(dave, 100)
    assert [(e.want, e.reason) for e in heard(dave, GroupRefused)] == [("join", code)]
    assert server.refused == tries
    assert dave.machine.groups[party.group].state is GroupState.LEFT
    server.doubt = None
    dave.machine.join_by_link(link, party.server.now)
    dave.settle()
    party.devices.append(dave)
    party.settle()
    party.check_together()


def test_who_comes_by_a_link_and_may_not_read_the_group_is_told() -> None:
    party = Party("alice", "bob")
    link = party.link(party.devices[0])
    dave = party.outsider("dave")
    Refusing(party.server, dave, always(Kind.READ_GROUP, Code.GROUP_LINK))
    dave.machine.join_by_link(link, party.server.now)
    let_time_pass(dave, 5)
    assert [(e.want, e.reason) for e in heard(dave, GroupRefused)] == [("join", Code.GROUP_LINK)]
    assert dave.machine.groups == {}
    assert dave.machine._memory.linked == {}


def test_who_comes_by_a_link_and_loses_a_race_comes_after_it() -> None:
    party = Party("alice", "bob")
    alice, _ = party.devices
    link = party.link(alice)
    dave = party.outsider("dave")
    lost: list[Kind] = []

    def race(kind: Kind, body: Struct) -> ParlourError | None:
        if kind is Kind.HANDSHAKE and not lost:
            lost.append(kind)
            alice.machine.group_refresh(party.group, party.server.now)
            alice.settle()
        return None

    Refusing(party.server, dave, race)
    dave.machine.join_by_link(link, party.server.now)
    dave.settle()
    party.devices.append(dave)
    party.settle()
    assert lost
    assert heard(dave, GroupJoined)
    party.check_together()


def test_a_link_serves_who_was_in_the_group_and_left() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    bob.machine.group_leave(party.group, party.server.now)
    bob.settle()
    party.settle()
    assert party.view(bob).state is GroupState.LEFT
    link = party.link(alice)
    bob.machine.join_by_link(link, party.server.now)
    bob.settle()
    party.settle()
    party.check_together()
    party.say(alice, "back again")
    party.settle()
    assert bob.texts() == ["back again"]


def test_a_link_that_a_program_was_killed_over_is_followed_after_its_start() -> None:
    party = Party("alice", "bob")
    alice, _ = party.devices
    link = party.link(alice)
    dave = party.outsider("dave")
    server = Refusing(party.server, dave, always(Kind.HANDSHAKE, Code.LIMIT_RATE))
    dave.machine.join_by_link(link, party.server.now)
    dave.settle()
    assert server.refused
    dave.restart()
    server.doubt = None
    dave.connect()
    party.devices.append(dave)
    party.settle()
    party.check_together()


def test_a_server_that_shows_another_group_than_a_link_names() -> None:
    party = Party("alice", "bob")
    alice, _ = party.devices
    other = alice.machine.create_group(GroupKind.GROUP, "Trap", party.ids, party.server.now)
    alice.settle()
    party.settle()
    link = party.link(alice)
    dave = party.outsider("dave")
    trap = party.server.groups.groups[other]

    def answer(device_id: bytes, kind: Kind, body: Struct, answer: Struct) -> Struct:
        if isinstance(answer, PublicState) and device_id == dave.machine.device_id:
            return replace(trap.epochs[trap.generation, trap.epoch], stream=party.group)
        return answer

    party.server.answer = answer
    dave.machine.join_by_link(link, party.server.now)
    let_time_pass(dave, 5)
    assert [(e.want, e.reason) for e in heard(dave, GroupRefused)] == [
        ("join", Code.CONVERSATION_GENESIS)
    ]
    assert dave.machine.groups == {}


# --- Commits and messages -----------------------------------------------------------------------


@pytest.mark.parametrize("code", [Code.GROUP_NOT_MEMBER, Code.STREAM_UNKNOWN])
@pytest.mark.parametrize("kind", [Kind.HANDSHAKE, Kind.APPEND])
def test_a_server_that_says_we_are_no_member(kind: Kind, code: Code) -> None:
    """It may be so: the way is looked for, and what was wanted comes true after it is found."""
    party = Party("alice", "bob")
    alice, bob = party.devices

    def doubt(asked: Kind, body: Struct) -> ParlourError | None:
        of_group = not isinstance(body, Append) or body.stream == party.group
        return error(code) if asked is kind and of_group else None

    server = Refusing(party.server, alice, doubt)
    alice.machine.group_rename(party.group, "Better", party.server.now)
    alice.machine.send_to(party.group, Text("hello"), party.server.now)
    alice.settle()
    if (kind, code) != (Kind.APPEND, Code.STREAM_UNKNOWN):
        assert reasons(alice) == ["not_member"]
    assert server.refused
    server.doubt = None
    party.reconnect()
    party.settle(20, 10_000)
    party.check_together()
    assert party.view(bob).name == "Better"
    assert bob.texts() == ["hello"]


def test_an_answer_about_another_commit_is_none() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices

    def answer(device_id: bytes, kind: Kind, body: Struct, answer: Struct) -> Struct:
        return replace(answer, client_id=bytes(16)) if isinstance(answer, Handled) else answer

    party.server.answer = answer
    alice.machine.group_rename(party.group, "Better", party.server.now)
    alice.settle()
    assert not chat_of(alice, party).is_taken
    party.settle()
    party.check_together()
    assert party.view(bob).name == "Better"


@pytest.mark.parametrize("refused", [False, True])
def test_an_answer_that_comes_after_the_commit_itself_is_none(refused: bool) -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    before = len(party.server.streams[party.group].entries)

    def late(step: str) -> None:
        entries = party.server.streams[party.group].entries
        if step == "after request" and len(entries) > before:
            alice.fault = lambda step: None
            alice.machine.pushed(PushEntry(entries[-1].entry), party.server.now)
            if refused:
                raise error(Code.GROUP_INVALID)

    alice.fault = late
    alice.machine.group_rename(party.group, "Better", party.server.now)
    alice.settle()
    party.settle()
    party.check_together()
    assert heard(alice, GroupRefused) == []
    assert "handshake.group.invalid" not in alice.machine.counters
    assert len(party.server.streams[party.group].entries) == before + 2
    assert party.view(bob).name == "Better"


# --- Reading again ------------------------------------------------------------------------------


def missed(party: Party, commits: int) -> tuple[MemoryDevice, set[int]]:
    """Carol is not shown so many commits, and then one that follows on them."""
    alice, _, carol = party.devices
    hidden: set[int] = set()

    def deliver(entry: Entry, device_id: bytes) -> list[Entry]:
        hides = device_id == carol.machine.device_id and entry.seq in hidden
        return [] if hides and entry.stream == party.group else [entry]

    party.server.deliver = deliver
    for n in range(commits + 1):
        if n < commits:
            hidden.add(len(party.server.streams[party.group].entries) + 1)
        alice.machine.group_refresh(party.group, party.server.now)
        alice.settle()
        party.devices[1].pull()
    return carol, hidden


def test_what_is_missing_is_followed_after_a_restart() -> None:
    party = Party("alice", "bob", "carol")
    carol, hidden = missed(party, 1)
    carol.pull()
    assert party.view(carol).state is GroupState.REPAIRING
    hidden.clear()
    carol.restart()
    carol.connect()
    party.settle()
    assert "ask" not in [event.step for event in heard(carol, GroupRepairing)]
    party.check_together()


def test_what_is_missing_stands_on_several_pages() -> None:
    party = Party("alice", "bob", "carol")
    pages: list[int] = []

    def answer(device_id: bytes, kind: Kind, body: Struct, answer: Struct) -> Struct:
        if isinstance(answer, Page) and device_id == carol.machine.device_id and answer.entries:
            pages.append(answer.entries[0].seq)
            more = answer.more or len(answer.entries) > 1
            return replace(answer, entries=answer.entries[:1], more=more)
        return answer

    carol = party.devices[2]
    _, hidden = missed(party, 3)
    party.server.answer = answer

    def show(kind: Kind, body: Struct) -> ParlourError | None:
        if kind is Kind.READ:
            hidden.clear()
        return None

    Refusing(party.server, carol, show)
    party.settle()
    assert len(set(pages)) >= 3
    assert [event.step for event in heard(carol, GroupRepairing)] == ["fetch"]
    party.check_together()


def test_pages_that_lead_nowhere_are_not_read_for_ever() -> None:
    party = Party("alice", "bob", "carol")
    carol, _ = missed(party, 1)
    reads: list[int] = []

    def answer(device_id: bytes, kind: Kind, body: Struct, answer: Struct) -> Struct:
        asked = isinstance(body, Read) and body.stream == party.group
        if not asked or device_id != carol.machine.device_id:
            return answer
        reads.append(1)
        first = party.server.streams[party.group].entries[0].entry
        return Page([first], more=True)

    party.server.answer = answer
    party.settle(20)
    assert 0 < len(reads) < 20
    assert [event.step for event in heard(carol, GroupRepairing)] == ["fetch", "ask"]
    party.check_together()


def test_what_is_missing_can_not_be_read_again_and_members_are_asked() -> None:
    party = Party("alice", "bob", "carol")
    carol, _ = missed(party, 1)
    server = Refusing(party.server, carol, always(Kind.READ, Code.INTERNAL_BUG))
    party.settle(20)
    assert server.refused
    assert [event.step for event in heard(carol, GroupRepairing)] == ["fetch", "ask"]
    party.check_together()


# --- The way back -------------------------------------------------------------------------------


def lost_alone() -> tuple[Party, MemoryDevice, Refusing]:
    """Carol has lost her keys, nobody is there, and the server takes none of her commits."""
    party = Party("alice", "bob", "carol")
    carol = party.devices[2]
    server = Refusing(party.server, carol, always(Kind.HANDSHAKE, Code.GROUP_INVALID))
    lose_alone(party, carol)
    return party, carol, server


def test_a_device_comes_back_by_itself_so_often_in_a_day_and_again_on_the_next() -> None:
    party, carol, server = lost_alone()
    for _ in range(100):
        carol.wait(10 * 60_000)
    assert carol.machine.counters["ladder.rejoin"] == MAX_REJOINS
    server.doubt = None
    carol.wait(DAY)
    for _ in range(100):
        carol.wait(60_000)
    assert carol.machine.counters["ladder.rejoin"] == MAX_REJOINS + 1
    assert party.view(carol).state is GroupState.ACTIVE


def test_a_new_connection_shortens_the_pause_of_who_could_not_be_helped() -> None:
    party, carol, _server = lost_alone()
    chat = chat_of(carol, party)
    while (trouble := chat.record.trouble) is None or (trouble.step, trouble.rounds) != WAITED:
        carol.wait(10_000)
    due = carol.machine._groups._ladder.next_timeout(chat)
    assert due is not None
    assert due - party.server.now > 3 * PAUSE
    carol.disconnect()
    carol.connect()
    due = carol.machine._groups._ladder.next_timeout(chat)
    assert due is not None
    assert due - party.server.now <= PAUSE


def test_the_machine_wakes_up_by_itself_to_find_its_way() -> None:
    party, carol, server = lost_alone()
    server.doubt = None
    for _ in range(200):
        due = carol.machine.next_timeout()
        assert due is not None
        carol.wait(max(due - party.server.now, 1))
        if party.view(carol).state is GroupState.ACTIVE:
            break
    assert [event.step for event in heard(carol, GroupRepairing)] == ["ask", "rejoin"]
    assert party.view(carol).state is GroupState.ACTIVE


def test_a_clock_that_is_put_back_delays_no_way_back() -> None:
    party, carol, server = lost_alone()
    carol.wait(1_000)
    server.doubt = None
    party.server.now -= DAY
    let_time_pass(carol)
    assert party.view(carol).state is GroupState.ACTIVE


# --- Servers that were restored -----------------------------------------------------------------


def restore(party: Party, saved: object = None) -> None:
    server = party.server
    if saved is not None:
        server.streams, server.groups.groups, server.windows = saved  # type: ignore[misc]
    server.incarnation = bytes([server.incarnation[0] + 1]) * 16


def test_a_restored_server_has_taken_another_commit_in_place_of_the_lost_one() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    server = party.server
    carol.disconnect()
    saved = deepcopy((server.streams, server.groups.groups, server.windows))
    alice.machine.group_refresh(party.group, server.now)
    alice.settle()
    party.settle(2)
    alice.disconnect()
    bob.disconnect()
    restore(party, saved)
    carol.connect()
    carol.machine.group_refresh(party.group, server.now)
    carol.settle()
    assert party.view(carol).epoch == party.view(alice).epoch
    party.reconnect(alice, bob)
    assert reasons(alice) == reasons(bob) == ["fork"]
    party.settle(20, 10_000)
    party.check_together()
    assert heard(alice, GroupRepaired)
    party.say(carol, "one group")
    party.settle()
    assert alice.texts() == bob.texts() == ["one group"]


def test_a_restored_server_shows_nonsense_of_the_epoch_that_we_are_in() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    lies = True

    def answer(device_id: bytes, kind: Kind, body: Struct, answer: Struct) -> Struct:
        lied = isinstance(answer, PublicState) and device_id == alice.machine.device_id
        return replace(answer, group_info=b"?") if lied and lies else answer

    party.server.answer = answer
    restore(party)
    party.reconnect()
    assert reasons(alice) == ["fork"]
    assert reasons(bob) == []
    # Who looks for its way already is asked nothing by another one.
    restore(party)
    party.reconnect()
    assert reasons(alice) == ["fork"]
    lies = False
    party.settle(20)
    party.check_together()


def test_a_restored_server_is_ahead_of_us_and_nothing_is_wrong_by_that() -> None:
    party = Party("alice", "bob", "carol")
    carol, _ = missed(party, 0)
    hidden = len(party.server.streams[party.group].entries) + 1
    party.server.deliver = lambda entry, device_id: (
        []
        if (entry.stream, entry.seq, device_id) == (party.group, hidden, carol.machine.device_id)
        else [entry]
    )
    party.devices[1].machine.group_refresh(party.group, party.server.now)
    party.devices[1].settle()
    restore(party)
    party.reconnect(carol)
    assert chat_of(carol, party).epoch < chat_of(party.devices[1], party).epoch
    assert reasons(carol) == []
    assert not chat_of(carol, party).compares
    hidden = 0
    party.reconnect()
    party.settle()
    party.check_together()


def test_a_restored_server_says_where_the_group_is_when_we_were_put_out() -> None:
    party = Party("alice", "bob", "carol")
    alice, _, carol = party.devices
    restore(party)
    server = Refusing(party.server, carol, always(Kind.READ_GROUP, Code.LIMIT_RATE))
    party.reconnect()
    alice.machine.group_remove(party.group, [carol.machine.account_id], party.server.now)
    alice.settle()
    party.settle(2)
    assert party.view(carol).state is GroupState.LEFT
    server.doubt = None
    let_time_pass(carol)
    assert not chat_of(carol, party).compares
    assert reasons(carol) == []
    # Numbers are given again: by which one it is let in next, nobody knows.
    restore(party)
    carol.disconnect()
    carol.connect()
    assert chat_of(carol, party).record.followed_seq == 0
    alice.machine.group_add(party.group, [carol.machine.account_id], party.server.now)
    alice.settle()
    party.reconnect()
    party.settle()
    carol.machine.accept_group(party.group, party.server.now)
    party.check_together()


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_server_takes_back_that_it_had_lost_something(goes_on: bool) -> None:
    """It refuses the new beginning, and shows where the group is, which has gone on perhaps."""
    party = Party("alice", "bob", "carol")
    alice, bob, _ = party.devices
    alice.machine.group_refresh(party.group, party.server.now)
    alice.settle()
    party.settle(2)
    old = party.server.groups.groups[party.group].epochs[0, 0]
    mine, lies = alice.machine.device_id, True

    def answer(device_id: bytes, kind: Kind, body: Struct, answer: Struct) -> Struct:
        return old if lies and isinstance(answer, PublicState) and device_id == mine else answer

    party.server.answer = answer
    Refusing(party.server, alice, always(Kind.RESTART_GROUP, Code.GROUP_INVALID))
    restore(party)
    party.reconnect()
    assert reasons(alice) == ["rollback"]
    lies = False
    if goes_on:
        party.server.deliver = lambda entry, device: [] if device == mine else [entry]
        bob.machine.group_refresh(party.group, party.server.now)
        bob.settle()
    let_time_pass(alice, 5)
    party.server.deliver = lambda entry, device: [entry]
    assert reasons(alice) == ["rollback", "fork"] if goes_on else ["rollback"]
    party.settle(30)
    party.check_together()
    assert party.view(bob).generation == 0
    assert heard(alice, GroupRepaired)
