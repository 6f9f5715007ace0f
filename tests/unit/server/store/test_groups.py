"""Groups on MLS: behaviour of any store. What it keeps is opaque to it, and so it is here."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from parlour.errors import Code, ParlourError
from parlour.server.store import Store
from parlour.server.store.group_records import (
    GroupChange,
    Handshaken,
    HandshakePlace,
    Leaf,
    NewGroup,
    Node,
    encode_nodes,
)
from parlour.server.store.records import Retention, RetentionRule
from parlour.wire.envelope import Envelope, SuiteId
from parlour.wire.limits import MAX_PAGE
from parlour.wire.streams import Append, CatchUp, Part, Position, Read, StreamInfo, StreamKind

from .builders import NOW, Someone, conversation, entry, new_device, someone, unique

LEAF, PARENT = b"\x01\x01leaf", b"\x01\x02parent"


async def code_of(awaitable: Any) -> Code:
    with pytest.raises(ParlourError) as raised:
        await awaitable
    return raised.value.code


def new_group(creator: Someone, kind: StreamKind = "group", *others: Someone) -> NewGroup:
    members = [creator.account, *(each.account for each in others)]
    return NewGroup(
        StreamInfo(unique(), kind, members, b"genesis " + unique(), 0),
        Retention.queue(),
        b"info 0",
        b"state 0",
        b"head 0",
        LEAF + b" 0",
    )


async def found(store: Store, creator: Someone) -> bytes:
    new = new_group(creator)
    info, _ = await store.groups.create(new, creator=creator.account, device_id=creator.device)
    return info.stream


def handshaken(
    stream: bytes, epoch: int, *to: Someone, generation: int = 0, **changes: Any
) -> Handshaken:
    fields: dict[str, Any] = {
        "stream": stream,
        "client_id": unique(),
        "envelope": Envelope(1, SuiteId.MLS_COMMIT, b"", b"commit"),
        "parts": [Part(each.device, b"for " + each.device) for each in to],
        "generation": generation,
        "epoch": epoch,
    }
    return Handshaken(**(fields | changes))


def after(epoch: int, **changes: Any) -> GroupChange:
    fields: dict[str, Any] = {
        "generation": 0,
        "epoch": epoch,
        "group_info": b"info %d" % epoch,
        "nodes": [],
        "leaves": [],
    }
    return GroupChange(**(fields | changes))


async def grow(
    store: Store, stream: bytes, epoch: int, ada: Someone, *others: Someone
) -> HandshakePlace:
    """Ada adds others, each at the next leaf; the members are then these."""
    nodes = [Node(2 * index, LEAF + b" %d" % index) for index in range(1, len(others) + 1)]
    leaves = [Leaf(index, each.device) for index, each in enumerate(others, start=1)]
    change = after(
        epoch + 1,
        nodes=nodes,
        leaves=leaves,
        roster=(b"state %d" % (epoch + 1), b"head %d" % (epoch + 1)),
        accounts=frozenset(each.account for each in (ada, *others)),
        tree=b"tree %d" % (epoch + 1),
    )
    request = handshaken(stream, epoch, *others)
    place = await store.groups.change(ada.device, request, change, now=NOW)
    assert place is not None
    return place


async def numbers(store: Store, who: Someone, stream: bytes) -> list[int]:
    page = await store.streams.read(who.device, Read(stream, 0, MAX_PAGE), now=NOW)
    return [each.seq for each in page.entries]


def message(stream: bytes) -> Append:
    envelope = Envelope(1, SuiteId.MLS_MESSAGE, b"", b"private message")
    return Append(stream, unique(), envelope, [])


async def test_a_new_group_is_read_as_it_was_made(store: Store) -> None:
    ada = await someone(store)
    new = new_group(ada)
    info, made = await store.groups.create(new, creator=ada.account, device_id=ada.device)
    assert (info, made) == (new.info, True)
    again = await store.groups.create(new, creator=ada.account, device_id=ada.device)
    assert again == (info, False)
    state = await store.groups.state(ada.device, info.stream, None, None)
    assert (state.generation, state.epoch, state.seq) == (0, 0, 0)
    assert (state.genesis, state.group_info) == (info.genesis, b"info 0")
    assert (state.roster_state, state.roster_head) == (b"state 0", b"head 0")
    assert state.tree == encode_nodes([Node(0, LEAF + b" 0")])
    stored = await store.groups.load(info.stream)
    assert (stored.generation, stored.epoch, stored.proposals) == (0, 0, [])
    assert stored.nodes == [Node(0, LEAF + b" 0")]


async def test_a_stream_id_is_taken_once(store: Store) -> None:
    ada, bea = await someone(store), await someone(store)
    stream = await conversation(store, ada, bea)
    new = new_group(ada)
    taken = NewGroup(
        StreamInfo(stream, "group", [ada.account], b"genesis", 0),
        new.retention,
        new.group_info,
        new.roster_state,
        new.roster_head,
        new.node,
    )
    # Neither is a conversation of two taken for a group, though the genesis is the same.
    creating = store.groups.create(taken, creator=ada.account, device_id=ada.device)
    assert await code_of(creating) == Code.USAGE_INVALID


async def test_there_is_one_direct_stream_whatever_it_is(store: Store) -> None:
    ada, bea, cid = [await someone(store) for _ in range(3)]
    pairwise = await conversation(store, ada, bea)
    new = new_group(bea, "direct", ada)
    info, made = await store.groups.create(new, creator=bea.account, device_id=bea.device)
    assert (info.stream, made) == (pairwise, False)
    new = new_group(ada, "direct", cid)
    first, made = await store.groups.create(new, creator=ada.account, device_id=ada.device)
    assert made
    wanted = StreamInfo(unique(), "direct", [ada.account], b"genesis", 0)
    second, made = await store.streams.create_direct(wanted, creator=cid.account, now=NOW)
    assert (second, made) == (first, False)
    own = new_group(ada, "self")
    assert (await store.groups.create(own, creator=ada.account, device_id=ada.device))[1]


async def test_a_stream_is_named_with_the_first_entry_for_that_account(store: Store) -> None:
    ada, bea = await someone(store), await someone(store)
    stream = await found(store, ada)

    async def first(who: Someone) -> int:
        page = await store.streams.catch_up(who.device, CatchUp(positions=[]), now=NOW)
        (named,) = (info.first for info in page.streams if info.stream == stream)
        assert named == (await store.streams.info(who.device, stream)).first
        return named

    # Before anything is said, it is the next one.
    assert await first(ada) == 1
    for epoch in range(2):
        await store.groups.change(ada.device, handshaken(stream, epoch), after(epoch + 1), now=NOW)
    accounts = frozenset([ada.account, bea.account])
    await store.groups.change(
        ada.device, handshaken(stream, 2, bea), after(3, accounts=accounts), now=NOW
    )
    assert (await first(ada), await first(bea)) == (1, 3)


async def test_of_many_changes_at_once_one_wins(store: Store) -> None:
    ada = await someone(store)
    stream = await found(store, ada)
    outcomes = await asyncio.gather(
        *(
            store.groups.change(ada.device, handshaken(stream, 0), after(1), now=NOW)
            for _ in range(10)
        )
    )
    won = [place for place in outcomes if place is not None]
    assert [(place.seq, place.repeated) for place in won] == [(1, False)]
    head = await store.groups.head(ada.device, stream, unique())
    assert (head.kind, head.generation, head.epoch, head.earlier) == ("group", 0, 1, None)
    assert await numbers(store, ada, stream) == [1]


async def test_a_repeat_gets_its_place(store: Store) -> None:
    ada = await someone(store)
    stream = await found(store, ada)
    request = handshaken(stream, 0)
    first = await store.groups.change(ada.device, request, after(1), now=NOW)
    again = await store.groups.change(ada.device, request, after(1), now=NOW + 5)
    assert first is not None
    assert again is not None
    assert (again.seq, again.stored_at, again.repeated) == (first.seq, NOW, True)
    head = await store.groups.head(ada.device, stream, request.client_id)
    assert head.earlier == (1, NOW)


async def test_nodes_and_leaves_change_and_go(store: Store) -> None:
    ada, bea, cid = [await someone(store) for _ in range(3)]
    stream = await found(store, ada)
    await grow(store, stream, 0, ada, bea, cid)
    change = after(
        2,
        nodes=[Node(0, LEAF + b" new"), Node(1, PARENT), Node(4, None), Node(6, None)],
        # Bea goes, and Cid stands in her place.
        leaves=[Leaf(1, cid.device), Leaf(2, None)],
    )
    await store.groups.change(ada.device, handshaken(stream, 1), change, now=NOW)
    stored = await store.groups.load(stream)
    assert stored.nodes == [Node(0, LEAF + b" new"), Node(1, PARENT), Node(2, LEAF + b" 1")]
    assert stored.seq == 2
    place = (0, 2)
    await store.streams.append(cid.device, message(stream), now=NOW, epoch=place)
    appending = store.streams.append(bea.device, message(stream), now=NOW, epoch=place)
    assert await code_of(appending) == Code.GROUP_NOT_MEMBER


async def test_another_generation_begins_with_nothing_of_the_old(store: Store) -> None:
    ada, bea = await someone(store), await someone(store)
    stream = await found(store, ada)
    await grow(store, stream, 0, ada, bea)
    restart = after(
        0, generation=1, nodes=[Node(0, b"new")], leaves=[Leaf(0, bea.device)], whole=True
    )
    place = await store.groups.change(bea.device, handshaken(stream, 1), restart, now=NOW)
    assert place is not None
    assert await numbers(store, ada, stream) == [1, 2]
    assert (await store.groups.load(stream)).nodes == [Node(0, b"new")]
    appending = store.streams.append(ada.device, message(stream), now=NOW, epoch=(0, 1))
    assert await code_of(appending) == Code.GROUP_NOT_MEMBER
    # What was said in the old generation is still taken, of who is in the new one.
    await store.streams.append(bea.device, message(stream), now=NOW, epoch=(0, 700))
    appending = store.streams.append(bea.device, message(stream), now=NOW, epoch=(1, 1))
    assert await code_of(appending) == Code.GROUP_INVALID


async def test_members_come_and_go_with_the_entry(store: Store) -> None:
    ada, bea, cid = [await someone(store) for _ in range(3)]
    stream = await found(store, ada)
    place = await grow(store, stream, 0, ada, bea)
    assert (place.added, place.removed) == ((bea.account,), ())
    assert set(place.members) == {ada.account, bea.account}
    place = await grow(store, stream, 1, ada, cid)
    assert (place.added, place.removed) == ((cid.account,), (bea.account,))
    assert await numbers(store, ada, stream) == [1, 2]
    assert await numbers(store, bea, stream) == [1, 2]
    assert await numbers(store, cid, stream) == [2]
    info = await store.streams.info(cid.device, stream)
    assert set(info.members) == {ada.account, cid.account}
    last = await grow(store, stream, 2, ada, cid)
    assert last.version == place.version
    assert await numbers(store, bea, stream) == [1, 2]


async def test_who_was_removed_catches_up_where_it_asks_or_was_welcomed(store: Store) -> None:
    ada, bea = await someone(store), await someone(store)
    stream = await found(store, ada)
    await grow(store, stream, 0, ada, bea)
    await grow(store, stream, 1, ada)
    await grow(store, stream, 2, ada)
    named = await store.streams.catch_up(bea.device, CatchUp([Position(stream, 1)]), now=NOW)
    assert ([each.seq for each in named.entries], named.streams[1:]) == ([2], [])
    # It was welcomed, and has not said that it has read anything.
    unseen = await store.streams.catch_up(bea.device, CatchUp([]), now=NOW)
    assert [info.stream for info in unseen.streams] == [bea.inbox, stream]
    assert [each.seq for each in unseen.entries if each.stream == stream] == [1, 2]
    await store.streams.acknowledge(bea.device, [Position(stream, 2)], now=NOW)
    unnamed = await store.streams.catch_up(bea.device, CatchUp([]), now=NOW)
    assert [info.stream for info in unnamed.streams] == [bea.inbox]
    # Nor has it read what was said when it was there for the second time.
    await grow(store, stream, 3, ada, bea)
    await grow(store, stream, 4, ada)
    unseen = await store.streams.catch_up(bea.device, CatchUp([]), now=NOW)
    assert [each.seq for each in unseen.entries if each.stream == stream] == [4, 5]


async def test_an_account_that_is_full_is_not_let_in(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parlour.server.store.sqlite.rows.MAX_CONVERSATIONS", 1)
    ada, bea, cid = [await someone(store) for _ in range(3)]
    await conversation(store, bea, cid)
    stream = await found(store, ada)
    assert await code_of(grow(store, stream, 0, ada, bea)) == Code.LIMIT_COUNT
    head = await store.groups.head(ada.device, stream, unique())
    assert head.epoch == 0
    assert await numbers(store, ada, stream) == []


async def test_parts_are_for_devices_that_are_active(store: Store) -> None:
    ada, bea = await someone(store), await someone(store)
    stream = await found(store, ada)
    await store.devices.append_list(bea.account, 1, b"entry 1", [new_device()], now=NOW)
    assert await code_of(grow(store, stream, 0, ada, bea)) == Code.STREAM_PARTS
    assert await numbers(store, ada, stream) == []


async def test_the_loser_sees_all_that_won_with_its_parts(store: Store) -> None:
    ada, bea, cid = [await someone(store) for _ in range(3)]
    stream = await found(store, ada)
    await grow(store, stream, 0, ada, bea, cid)
    await store.streams.append(bea.device, message(stream), now=NOW, epoch=(0, 1))
    await grow(store, stream, 1, ada, bea, cid)
    entries = await store.groups.winners(bea.device, stream, 0, 0, now=NOW)
    assert [each.seq for each in entries] == [1, 3]
    assert {each.part for each in entries} == {b"for " + bea.device}
    entries = await store.groups.winners(ada.device, stream, 0, 1, now=NOW)
    assert [(each.seq, each.part) for each in entries] == [(3, None)]
    assert await store.groups.winners(ada.device, stream, 0, 2, now=NOW) == []
    stranger = await someone(store)
    asking = store.groups.winners(stranger.device, stream, 0, 0, now=NOW)
    assert await code_of(asking) == Code.STREAM_UNKNOWN


async def test_winners_end_at_a_number_of_bytes(store: Store) -> None:
    ada = await someone(store)
    stream = await found(store, ada)
    large = Envelope(1, SuiteId.MLS_COMMIT, b"", bytes(1 << 20))
    for epoch in range(4):
        request = handshaken(stream, epoch, envelope=large)
        await store.groups.change(ada.device, request, after(epoch + 1), now=NOW)
    entries = await store.groups.winners(ada.device, stream, 0, 0, now=NOW)
    assert 0 < len(entries) < 4


async def test_trees_of_epochs_with_joiners(store: Store) -> None:
    ada, bea = await someone(store), await someone(store)
    stream = await found(store, ada)
    await grow(store, stream, 0, ada, bea)
    await grow(store, stream, 1, ada, bea)
    await store.groups.change(ada.device, handshaken(stream, 2), after(3), now=NOW)
    for epoch in (1, 2):
        state = await store.groups.state(bea.device, stream, 0, epoch)
        assert (state.epoch, state.seq, state.tree) == (epoch, epoch, b"tree %d" % epoch)
        assert (state.roster_state, state.group_info) == (b"state %d" % epoch, b"")
    for generation, epoch in ((0, 0), (0, 4), (1, 1)):
        reading = store.groups.state(bea.device, stream, generation, epoch)
        assert await code_of(reading) == Code.GROUP_EPOCH_GONE
    current = await store.groups.state(bea.device, stream, 0, 3)
    assert (current.seq, current.group_info) == (3, b"info 3")


async def test_proposals_wait_for_the_next_change(store: Store) -> None:
    ada, bea = await someone(store), await someone(store)
    stream = await found(store, ada)
    await grow(store, stream, 0, ada, bea)
    request = handshaken(stream, 1, envelope=Envelope(1, SuiteId.MLS_PROPOSAL, b"", b"body"))
    place = await store.groups.propose(bea.device, request, b"proposal", now=NOW)
    again = await store.groups.propose(bea.device, request, b"proposal", now=NOW)
    assert place is not None
    assert again is not None
    assert (place.seq, again.seq, again.repeated) == (2, 2, True)
    assert (await store.groups.head(ada.device, stream, unique())).proposals == 1
    assert (await store.groups.load(stream)).proposals == [b"proposal"]
    late = handshaken(stream, 0)
    assert await store.groups.propose(bea.device, late, b"proposal", now=NOW) is None
    await store.groups.change(ada.device, handshaken(stream, 1), after(2), now=NOW)
    assert (await store.groups.load(stream)).proposals == []


async def test_a_message_names_members_only_to_who_does_not_know_them(store: Store) -> None:
    ada, bea = await someone(store), await someone(store)
    stream = await found(store, ada)
    place = await grow(store, stream, 0, ada, bea)
    request = message(stream)
    first = await store.streams.append(bea.device, request, now=NOW, epoch=(0, 1))
    assert set(first.members) == {ada.account, bea.account}
    assert first.version == place.version
    known = await store.streams.append(
        bea.device, message(stream), now=NOW, epoch=(0, 1), known=first.version
    )
    assert (known.seq, known.members, known.version) == (3, (), first.version)
    again = await store.streams.append(bea.device, request, now=NOW, epoch=(0, 1))
    assert (again.seq, again.repeated) == (2, True)


async def test_what_is_no_group_and_who_is_a_stranger(store: Store) -> None:
    ada, bea, eve = [await someone(store) for _ in range(3)]
    stream = await conversation(store, ada, bea)
    group = await found(store, ada)
    for asking, code in (
        (store.groups.head(ada.device, stream, unique()), Code.GROUP_UNKNOWN),
        (store.groups.head(eve.device, stream, unique()), Code.STREAM_UNKNOWN),
        (store.groups.head(eve.device, unique(), unique()), Code.STREAM_UNKNOWN),
        (store.groups.load(stream), Code.GROUP_UNKNOWN),
        (store.groups.load(unique()), Code.STREAM_UNKNOWN),
        (store.groups.state(ada.device, stream, None, None), Code.GROUP_UNKNOWN),
        (store.groups.state(eve.device, group, None, None), Code.STREAM_UNKNOWN),
        (store.streams.append(ada.device, entry(group), now=NOW), Code.GROUP_INVALID),
        (store.streams.append(eve.device, entry(group), now=NOW), Code.STREAM_UNKNOWN),
    ):
        assert await code_of(asking) == code
    # A stranger may hold a link: what it is compared with comes with the head.
    assert (await store.groups.head(eve.device, group, unique())).roster_state == b"state 0"
    assert (await store.groups.head(ada.device, group, unique())).roster_state is None
    assert (await store.groups.state(None, group, None, None)).group_info == b"info 0"


async def test_keys_of_devices_are_found_whose_they_ever_were(store: Store) -> None:
    ada, bea = await someone(store), await someone(store)
    await store.devices.append_list(bea.account, 1, b"entry 1", [], now=NOW)
    wanted = [unique() for _ in range(1200)]
    found_keys = await store.groups.device_keys([ada.device, *wanted, bea.device, ada.device])
    assert {(key.account_id, key.device_id, key.active) for key in found_keys} == {
        (ada.account, ada.device, True),
        (bea.account, bea.device, False),
    }
    assert {key.signature_key for key in found_keys} == {b"signature key"}


async def test_a_group_keeps_entries_by_its_rule(store: Store) -> None:
    ada = await someone(store)
    new = new_group(ada)
    kept = NewGroup(
        new.info,
        Retention(RetentionRule.DAYS, 2),
        new.group_info,
        new.roster_state,
        new.roster_head,
        new.node,
    )
    await store.groups.create(kept, creator=ada.account, device_id=ada.device)
    stream = new.info.stream
    await store.streams.append(ada.device, message(stream), now=NOW, epoch=(0, 0))
    await store.streams.acknowledge(ada.device, [Position(stream, 1)], now=NOW)
    await store.streams.sweep(now=NOW)
    assert await numbers(store, ada, stream) == [1]
    await store.streams.sweep(now=NOW + 2 * 86_400_000)
    assert await numbers(store, ada, stream) == []
