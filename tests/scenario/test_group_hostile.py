"""Members and servers that break the rules of groups: it is told of, and the group goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace as replaced

import pytest
from msgspec.structs import replace

from parlour.conversation.content import Text
from parlour.conversation.events import (
    CommitRefused,
    Event,
    GroupJoined,
    GroupRepairing,
    HistoryMismatch,
    MessageUnreadable,
)
from parlour.conversation.groups.records import GroupState
from parlour.errors import Code
from parlour.mls.private.committing import CommitOptions
from parlour.mls.public.capabilities import RequiredCapabilities
from parlour.mls.public.extensions import Extension
from parlour.mls.public.key_package import KeyPackage
from parlour.mls.public.proposals import GroupContextExtensions, Proposal
from parlour.mls.public.types import ExtensionType, LeafIndex
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.roster.changes import Added, Change, RoleSet
from parlour.roster.extension import EXTENSION_TYPE, RosterBinding
from parlour.roster.genesis import Genesis
from parlour.roster.genesis import Kind as GroupKind
from parlour.roster.roles import Role
from parlour.testing.device import MemoryDevice
from parlour.wire import groups as wire
from parlour.wire.envelope import ENVELOPE_FORMAT, Envelope, SuiteId
from parlour.wire.kinds import Kind
from parlour.wire.push import PushStream
from parlour.wire.streams import Append, Entry, Part, StreamInfo
from tests.handshakes import handshake
from tests.scenario.parties import Party, chat_of, let_time_pass
from tests.scenario.people import heard


def forge(
    party: Party,
    device: MemoryDevice,
    *,
    adds: Sequence[KeyPackage] = (),
    removes: Sequence[LeafIndex] = (),
    proposals: Sequence[Proposal] = (),
    roster: Sequence[bytes] = (),
    change: Callable[[bytes], bytes] = lambda commit: commit,
) -> None:
    """A commit made by hand, which the server takes as it is."""
    group = chat_of(device, party).live()
    pending = group.commit(
        party.server.now // 1000,
        adds=adds,
        removes=removes,
        proposals=proposals,
        options=CommitOptions(ratchet_tree=False, group_info=True),
        random=device.random,
    )
    body = wire.CommitBody(0, change(pending.commit), list(roster), b"")
    request = made_by(party, device, body, group_info=pending.group_info)
    group.clear_pending()
    put(party, device, request)


def made_by(
    party: Party,
    device: MemoryDevice,
    body: wire.CommitBody | wire.ProposalBody,
    *,
    parts: Sequence[Part] = (),
    group_info: bytes | None = None,
) -> wire.Handshake:
    """What a device may ask of the server, in the epoch in which it is."""
    epoch, client_id = chat_of(device, party).epoch, device.random(16)
    return handshake(party.group, client_id, epoch, body, parts=parts, group_info=group_info)


def put(party: Party, device: MemoryDevice, request: wire.Handshake | Append) -> None:
    """Let the server store something, whatever it is."""
    party.server._store(device.machine.device_id, request, [])


def refusals(device: MemoryDevice) -> list[Code]:
    return [event.reason for event in heard(device, CommitRefused)]


def check_goes_on(party: Party, *devices: MemoryDevice) -> None:
    """The others find together again, and speak."""
    party.settle(30)
    for device in devices:
        assert party.view(device).state is GroupState.ACTIVE
    party.say(devices[0], "we go on")
    party.settle()
    for device in devices[1:]:
        assert device.texts()[-1] == "we go on"


def test_a_member_without_the_right_puts_somebody_out() -> None:
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    leaf = chat_of(mallory, party).leaf_of(bob.machine.device_id)
    assert leaf is not None
    forge(party, mallory, removes=[leaf])
    mallory.disconnect()
    party.settle(2)
    assert refusals(alice) == [Code.GROUP_COMMIT_REFUSED]
    assert party.view(bob).state is not GroupState.LEFT
    check_goes_on(party, alice, bob)


@pytest.mark.parametrize("at_once", [False, True])
def test_a_device_gets_no_second_leaf(at_once: bool) -> None:
    """Whoever is put out with one of them would read on with the other."""
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    coming = bob
    if at_once:
        coming = MemoryDevice(party.server, "bob", seed="tablet", beside=bob, linked=True)
        party.reconnect()
    packages = []
    for _ in range(1 + at_once):
        # Its key is replaced in time, and key packages under the old one stay good.
        coming.machine._memory.leaf_key = None
        key_packages = coming.machine._groups._joining._key_packages
        packages.append(key_packages.for_wish(1, party.server.now // 1000).key_package)
    forge(party, mallory, adds=packages)
    mallory.disconnect()
    party.settle(2)
    refused = heard(alice, CommitRefused)
    assert [event.detail for event in refused] == ["two leaves of one device"]
    check_goes_on(party, alice, bob)


def roster_entry(party: Party, device: MemoryDevice, changes: Sequence[Change]) -> bytes:
    """An entry as its maker would like it, signed, whatever its rights."""
    roster = chat_of(device, party).known_roster()
    entry = roster.head
    forged = replaced(
        entry,
        number=entry.number + 1,
        previous=roster.head_hash,
        changes=tuple(changes),
        signer_account=device.machine.account_id,
        signer_device=device.machine.device_id,
        at=party.server.now,
        signature=b"",
    )
    return forged.sign(device.machine._memory.local.signature_key).encode()


@pytest.mark.parametrize("what", ["role", "stranger"])
def test_a_member_writes_what_it_may_not_into_the_roster(what: str) -> None:
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    account = mallory.machine.account_id
    changes: Change = (
        RoleSet(account, Role.OWNER) if what == "role" else Added(bytes(16), Role.ADMIN)
    )
    forge(party, mallory, roster=[roster_entry(party, mallory, [changes])])
    mallory.disconnect()
    party.settle(2)
    assert [code.value.partition(".")[0] for code in refusals(alice)] == ["roster"]
    assert [member.role for member in party.view(alice).members] == [
        Role.OWNER,
        Role.MEMBER,
        Role.MEMBER,
    ]
    check_goes_on(party, alice, bob)


def test_an_epoch_that_names_another_roster() -> None:
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    extensions = chat_of(mallory, party).live().extensions
    lie = RosterBinding(bytes(32), 7, bytes(32)).encode()
    forge(
        party,
        mallory,
        proposals=[GroupContextExtensions(extensions.with_(Extension(EXTENSION_TYPE, lie)))],
    )
    mallory.disconnect()
    party.settle(2)
    assert refusals(alice) == [Code.GROUP_COMMIT_REFUSED]
    check_goes_on(party, alice, bob)


def test_extensions_that_nobody_agreed_on() -> None:
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    extensions = chat_of(mallory, party).live().extensions
    nothing = RequiredCapabilities().encode()
    more = extensions.with_(Extension(ExtensionType.REQUIRED_CAPABILITIES, nothing))
    forge(party, mallory, proposals=[GroupContextExtensions(more)])
    mallory.disconnect()
    party.settle(2)
    assert len(refusals(alice)) == 1
    check_goes_on(party, alice, bob)


@pytest.mark.parametrize(
    "change",
    [
        lambda commit: commit[:-1],
        lambda commit: commit[:-1] + bytes([commit[-1] ^ 1]),
        lambda commit: commit + b"\0",
        lambda commit: b"\0" * len(commit),
        lambda commit: b"\1",
    ],
)
def test_commits_that_are_damaged(change: Callable[[bytes], bytes]) -> None:
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    forge(party, mallory, change=change)
    mallory.disconnect()
    party.settle(2)
    assert len(refusals(alice)) == 1
    check_goes_on(party, alice, bob)


@pytest.mark.parametrize("suite", [0x100, 0x101, 0x102, 0x103, 0x104, 2, 0x7777])
@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x93", b"\0" * 64])
def test_entries_of_nonsense(suite: int, body: bytes) -> None:
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    append = Append(
        stream=party.group,
        client_id=mallory.random(16),
        envelope=Envelope(ENVELOPE_FORMAT, suite, b"", body),
        parts=[],
    )
    put(party, mallory, append)
    party.settle(30)
    told: list[type[Event]] = [CommitRefused, MessageUnreadable]
    assert suite in (0x102,) or any(heard(alice, kind) for kind in told)
    check_goes_on(party, alice, bob)


def test_a_part_that_opens_nothing() -> None:
    party = Party("alice", "bob")
    alice, _bob = party.devices
    dave = party.outsider("dave")
    deliver = party.server.deliver

    def spoil(entry: Entry, device_id: bytes) -> list[Entry]:
        if (
            entry.part is not None
            and device_id == dave.machine.device_id
            and entry.stream == party.group
        ):
            entry = replace(entry, part=entry.part[:-1] + bytes([entry.part[-1] ^ 1]))
        return [entry]

    party.server.deliver = spoil
    alice.machine.group_add(party.group, [alice.meet("dave")], party.server.now)
    alice.settle()
    dave.pull()
    assert [event.reason for event in heard(dave, GroupRepairing)] == ["welcome"]
    party.server.deliver = deliver
    party.devices.append(dave)
    party.settle(20)
    assert heard(dave, GroupJoined)
    dave.machine.accept_group(party.group, party.server.now)
    party.check_together()


def test_who_has_to_let_itself_in_is_told_of_no_inviter() -> None:
    """The Welcome is spoiled, and nobody is there: who had added dave, only the server has said."""
    party = Party("alice", "bob")
    alice, bob = party.devices
    dave = party.outsider("dave")
    party.server.deliver = lambda entry, device_id: [
        entry if entry.part is None else replace(entry, part=entry.part[:-1])
    ]
    alice.machine.group_add(party.group, [alice.meet("dave")], party.server.now)
    alice.settle()
    for device in (alice, bob):
        device.disconnect()
    dave.pull()
    let_time_pass(dave)
    (joined,) = heard(dave, GroupJoined)
    assert (joined.inviter, joined.invited, joined.confirmed) == (b"", True, False)


def test_a_removed_member_still_speaks() -> None:
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    mallory.disconnect()
    message = chat_of(mallory, party).live().encrypt(b"never mind")
    alice.machine.group_remove(party.group, [mallory.machine.account_id], party.server.now)
    alice.settle()
    party.settle()
    put(
        party,
        mallory,
        Append(
            stream=party.group,
            client_id=mallory.random(16),
            envelope=Envelope(ENVELOPE_FORMAT, SuiteId.MLS_MESSAGE, b"", message),
            parts=[],
        ),
    )
    party.settle()
    assert [e.reason.value for e in heard(bob, MessageUnreadable)] == ["unreadable.not_member"]
    check_goes_on(party, alice, bob)


def test_a_message_in_somebody_elses_name() -> None:
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    mallory.machine.send_to(party.group, Text("i am mallory"), party.server.now)
    mallory.settle()
    stored = party.server.streams[party.group].entries[-1]
    stored.entry = replace(
        stored.entry,
        sender_account=alice.machine.account_id,
        sender_device=alice.machine.device_id,
    )
    party.settle()
    assert bob.texts() == []
    assert [e.reason.value for e in heard(bob, MessageUnreadable)] == ["unreadable.not_member"]


def test_a_server_that_shows_two_histories() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    party.say(alice, "one")
    party.settle()
    stream = party.server.streams[party.group]
    party.say(alice, "two")
    last = stream.entries[-1].entry.seq

    def deliver(entry: Entry, device_id: bytes) -> list[Entry]:
        mine = entry.stream == party.group and device_id == carol.machine.device_id
        if mine and entry.seq == last:
            return [replace(entry, client_id=bytes(16))]
        return [entry]

    party.server.deliver = deliver
    party.settle()
    party.say(bob, "three")
    party.settle()
    assert heard(carol, HistoryMismatch)


def exchange_roster(
    party: Party, reader: MemoryDevice, author: MemoryDevice, *entries: bytes
) -> None:
    """The server gives one device other roster entries with the commits of another."""

    def deliver(entry: Entry, device_id: bytes) -> list[Entry]:
        mine = device_id == reader.machine.device_id
        if not mine or entry.sender_device != author.machine.device_id:
            return [entry]
        if entry.stream != party.group or entry.envelope.suite != SuiteId.MLS_COMMIT:
            return [entry]
        body = wire.decode_body(entry.envelope.body, wire.CommitBody)
        changed = wire.encode_body(replace(body, roster=list(entries)))
        return [replace(entry, envelope=replace(entry.envelope, body=changed))]

    party.server.deliver = deliver


@pytest.mark.parametrize("entries", [[], [b"junk"]])
def test_our_own_commit_comes_back_with_another_roster(entries: list[bytes]) -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    exchange_roster(party, alice, alice, *entries)
    alice.machine.group_rename(party.group, "New", party.server.now)
    alice.settle()
    party.settle()
    party.check_together()
    assert chat_of(alice, party).known_roster() == chat_of(bob, party).known_roster()
    assert alice.machine.counters["commit.changed"] == 1
    assert refusals(alice) == []


def test_a_server_that_shows_two_newcomers() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    link = party.link(alice, uses=5)
    dave = party.outsider("dave")
    roster = chat_of(bob, party).known_roster()
    change = link.sign_join(roster.state.roster_id, dave.machine.account_id, dave.machine.device_id)
    other = roster.next_entry(
        [change],
        dave.machine.account_id,
        dave.machine.device_id,
        dave.machine._memory.local.signature_key,
        party.server.now + 77,
        lambda *_: None,
    )
    exchange_roster(party, bob, dave, other.encode())
    dave.machine.join_by_link(link, party.server.now)
    for _ in range(3):
        dave.settle()
    for device in (alice, carol, bob):
        device.pull()
    heads = [chat_of(device, party).known_roster().head_hash for device in (alice, carol)]
    assert other.hash() not in heads
    assert chat_of(bob, party).known_roster() == roster
    assert refusals(bob) == [Code.GROUP_COMMIT_REFUSED]


def test_an_old_group_info_is_not_joined_below_what_is_known() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    old = party.server.groups.groups[party.group].epochs[0, 1]
    alice.machine.group_refresh(party.group, party.server.now)
    alice.settle()
    party.settle()

    def answer(device_id: bytes, kind: Kind, body: object, answer: object) -> object:
        return old if isinstance(answer, wire.GroupState) else answer

    party.server.answer = answer  # type: ignore[assignment]
    trouble = chat_of(carol, party)
    carol.machine._groups._ladder.lost(
        trouble, party.server.streams[party.group].entries[-1].entry, party.server.now
    )
    alice.disconnect()
    bob.disconnect()
    for _ in range(60):
        carol.wait(5_000)
    assert carol.machine.counters["group.rollback"] >= 1
    assert trouble.epoch == 2
    assert "commit.lost" not in carol.machine.counters


def test_a_group_of_a_suite_below_the_floor_is_not_entered() -> None:
    party = Party("alice", "bob")
    alice, _ = party.devices
    key: Ed25519PrivateKey = alice.machine._memory.local.signature_key
    stream = alice.random(16)
    genesis = Genesis.create(
        key,
        kind=GroupKind.GROUP,
        suite=2,
        stream=stream,
        roster_id=stream,
        creator_account=alice.machine.account_id,
        created_at=party.server.now,
    )
    info = StreamInfo(stream, "group", [alice.machine.account_id], genesis.encode(), 0)
    bob = party.devices[1]
    bob.machine.pushed(PushStream(info), party.server.now)
    assert stream not in bob.machine.groups
    other = StreamInfo(stream, "family", [alice.machine.account_id], genesis.encode(), 0)
    bob.machine.pushed(PushStream(other), party.server.now)
    assert stream not in bob.machine.groups
    changed = replace(party.server.streams[party.group].info, genesis=genesis.encode())
    bob.machine.pushed(PushStream(changed), party.server.now)
    assert party.view(bob).genesis.suite == 1
