"""Streams: behaviour of any store."""

from __future__ import annotations

import asyncio

import pytest

from parlour.errors import Code, ParlourError
from parlour.server.store import Store
from parlour.server.store.records import DAY_MS, KEEP_ROW_MS, QUEUE_DAYS, NewDevice
from parlour.wire.frames import decode_body, encode_body
from parlour.wire.limits import MAX_PAGE, MAX_PAGE_BYTES
from parlour.wire.streams import (
    Append,
    CatchUp,
    Entry,
    Position,
    Read,
    StreamInfo,
)

from .builders import NOW, Someone, conversation, entry, new_device, someone, unique


async def code_of(awaitable: object) -> Code:
    with pytest.raises(ParlourError) as raised:
        await awaitable  # type: ignore[misc]
    return raised.value.code


async def pair(store: Store) -> tuple[Someone, Someone, bytes]:
    alice, bea = await someone(store), await someone(store)
    return alice, bea, await conversation(store, alice, bea)


async def bodies(store: Store, who: Someone, stream: bytes, now: int = NOW) -> list[bytes]:
    page = await store.streams.read(who.device, Read(stream, 0, MAX_PAGE), now=now)
    return [each.envelope.body for each in page.entries]


async def acknowledge(store: Store, who: Someone, stream: bytes, seq: int) -> None:
    await store.streams.acknowledge(who.device, [Position(stream, seq)], now=NOW)


async def test_two_accounts_have_one_direct_stream(store: Store) -> None:
    alice, bea = await someone(store), await someone(store)
    wanted = [
        StreamInfo(unique(), "direct", [alice.account, bea.account], b"genesis", 0)
        for _ in range(10)
    ]
    outcomes = await asyncio.gather(
        *(
            store.streams.create_direct(info, creator=each.account, now=NOW)
            for info, each in zip(wanted, [alice, bea] * 5, strict=True)
        )
    )
    assert sum(made for _, made in outcomes) == 1
    assert len({info.stream for info, _ in outcomes}) == 1
    info = outcomes[0][0]
    assert set(info.members) == {alice.account, bea.account}
    assert info.genesis == b"genesis"
    assert info.last == 0


async def test_a_conversation_needs_accounts_and_a_free_id(store: Store) -> None:
    alice, bea, stream = await pair(store)
    carl = await someone(store)
    unknown = StreamInfo(unique(), "direct", [unique()], b"", 0)
    creating = store.streams.create_direct(unknown, creator=alice.account, now=NOW)
    assert await code_of(creating) == Code.ACCOUNT_UNKNOWN
    taken = StreamInfo(stream, "direct", [carl.account], b"", 0)
    creating = store.streams.create_direct(taken, creator=alice.account, now=NOW)
    assert await code_of(creating) == Code.USAGE_INVALID
    assert len((await store.streams.of_device(bea.device)).streams) == 2


async def test_a_device_finds_its_inbox_and_its_conversations(store: Store) -> None:
    alice, bea, stream = await pair(store)
    listed = await store.streams.of_device(alice.device)
    streams = {each.stream: each for each in listed.streams}
    assert list(streams) == sorted([alice.inbox, stream])
    assert (streams[alice.inbox].kind, streams[stream].kind) == ("inbox", "direct")
    assert streams[alice.inbox].members == [alice.account]
    assert await store.streams.info(alice.device, stream) == streams[stream]
    assert await code_of(store.streams.info(bea.device, alice.inbox)) == Code.STREAM_UNKNOWN


async def test_many_conversations_come_by_pages(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bea, _ = await pair(store)
    for _ in range(4):
        friend = await someone(store)
        info = StreamInfo(unique(), "direct", [alice.account, friend.account], b"genesis", 0)
        await store.streams.create_direct(info, creator=alice.account, now=NOW)
    whole = await store.streams.of_device(alice.device)
    assert not whole.more
    # Two of them: each has the ids of two members, a genesis, and what stands around.
    monkeypatch.setattr("parlour.server.store.sqlite.pages.MAX_PAGE_BYTES", 220)
    found: list[StreamInfo] = []
    pages, more = 0, True
    while more:
        page = await store.streams.of_device(alice.device, found[-1].stream if found else b"")
        found, more, pages = [*found, *page.streams], page.more, pages + 1
        assert len(page.streams) <= 2
    assert (found, pages) == (whole.streams, 3)
    # An id of somebody else's is a place in the order, and nothing is learnt by it.
    page = await store.streams.of_device(alice.device, bea.inbox)
    assert all(each.stream > bea.inbox for each in page.streams)


async def test_entries_are_numbered_and_come_back_as_they_were(store: Store) -> None:
    alice, bea, stream = await pair(store)
    request = entry(stream, b"hello", alice.device, bea.device, expires_at=NOW + 1)
    place = await store.streams.append(alice.device, request, now=NOW)
    assert (place.seq, place.stored_at, place.repeated) == (1, NOW, False)
    assert set(place.members) == {alice.account, bea.account}
    assert place.inbox_device is None
    page = await store.streams.read(bea.device, Read(stream, 0, 10), now=NOW)
    assert not page.more
    assert page.entries == [
        Entry(
            stream,
            1,
            alice.account,
            alice.device,
            request.client_id,
            NOW,
            NOW + 1,
            request.envelope,
            b"part of " + bea.device,
        )
    ]


async def test_concurrent_appends_get_numbers_without_gaps(store: Store) -> None:
    alice, bea, stream = await pair(store)
    requests = [entry(stream, b"%d" % number) for number in range(100)]
    places = await asyncio.gather(
        *(
            store.streams.append(who.device, request, now=NOW)
            for request, who in zip(requests, [alice, bea] * 50, strict=True)
        )
    )
    # Submitted in this order, so numbered in it.
    assert [each.seq for each in places] == list(range(1, 101))


async def test_appending_twice_is_appending_once(store: Store) -> None:
    alice, bea, stream = await pair(store)
    request = entry(stream, b"once", bea.device)
    first, *others = await asyncio.gather(
        *(store.streams.append(alice.device, request, now=NOW + n) for n in range(5))
    )
    assert not first.repeated
    assert all(each.repeated for each in others)
    assert {(each.seq, each.stored_at) for each in others} == {(1, NOW)}
    assert await bodies(store, bea, stream) == [b"once"]
    # Another device may use the same id.
    place = await store.streams.append(
        bea.device, entry(stream, client_id=request.client_id), now=NOW
    )
    assert place.seq == 2
    elsewhere = entry(alice.inbox, b"", alice.device, client_id=request.client_id)
    appending = store.streams.append(alice.device, elsewhere, now=NOW)
    assert await code_of(appending) == Code.USAGE_INVALID


async def test_a_repeat_is_known_after_trimming_for_a_week(store: Store) -> None:
    alice, bea, stream = await pair(store)
    request = entry(stream, b"once", bea.device)
    await store.streams.append(alice.device, request, now=NOW)
    for who in (alice, bea):
        await acknowledge(store, who, stream, 1)
    assert await bodies(store, bea, stream) == []
    late = NOW + KEEP_ROW_MS
    assert await store.streams.sweep(now=late - 1) == 0
    assert (await store.streams.append(alice.device, request, now=late)).repeated
    assert await store.streams.sweep(now=late) == 1
    # Forgotten; and its number is not given out again.
    place = await store.streams.append(alice.device, request, now=late)
    assert (place.seq, place.repeated) == (2, False)


async def test_parts_are_for_active_devices_of_members(store: Store) -> None:
    alice, bea, stream = await pair(store)
    stranger = await someone(store)
    for request in (
        entry(stream, b"", stranger.device),
        entry(stream, b"", unique()),
        entry(stream, b"", bea.device, stranger.device),
        entry(stream, b"", bea.device, bea.device),
    ):
        appending = store.streams.append(alice.device, request, now=NOW)
        assert await code_of(appending) == Code.STREAM_PARTS
    assert await bodies(store, alice, stream) == []


async def test_who_may_write_to_an_inbox(store: Store) -> None:
    alice, bea, _ = await pair(store)
    stranger = await someone(store)
    tablet = new_device()
    listed = [NewDevice(alice.device, b"signature key", unique()), tablet]
    await store.devices.append_list(alice.account, 1, b"entry 1", listed, now=NOW)
    place = await store.streams.append(bea.device, entry(alice.inbox, b"", alice.device), now=NOW)
    assert place.inbox_device == alice.device
    await store.streams.append(tablet.device_id, entry(alice.inbox, b"", alice.device), now=NOW)
    for who, request, code in (
        (stranger.device, entry(alice.inbox, b"", alice.device), Code.STREAM_FORBIDDEN),
        (bea.device, entry(alice.inbox, b""), Code.STREAM_PARTS),
        (bea.device, entry(alice.inbox, b"", tablet.device_id), Code.STREAM_PARTS),
        (bea.device, entry(alice.inbox, b"", alice.device, bea.device), Code.STREAM_PARTS),
        (stranger.device, entry(unique()), Code.STREAM_UNKNOWN),
    ):
        assert await code_of(store.streams.append(who, request, now=NOW)) == code


async def test_one_change_per_epoch_wins(store: Store) -> None:
    alice, bea, stream = await pair(store)
    changes = [entry(stream, b"change", expect_epoch=0) for _ in range(10)]
    outcomes = await asyncio.gather(
        *(
            store.streams.append(who.device, change, now=NOW)
            for change, who in zip(changes, [alice, bea] * 5, strict=True)
        ),
        return_exceptions=True,
    )
    errors = [each for each in outcomes if isinstance(each, ParlourError)]
    assert len(errors) == 9
    assert {each.code for each in errors} == {Code.STREAM_EPOCH}
    assert (await store.streams.append(alice.device, changes[0], now=NOW)).repeated
    await store.streams.append(bea.device, entry(stream, expect_epoch=1), now=NOW)
    assert (await store.streams.append(bea.device, entry(stream), now=NOW)).seq == 3


async def test_pages_go_both_ways_and_end_at_their_limit(store: Store) -> None:
    alice, bea, stream = await pair(store)
    for number in range(1, 6):
        await store.streams.append(alice.device, entry(stream, b"%d" % number), now=NOW)

    async def numbers(request: Read) -> tuple[list[int], bool]:
        page = await store.streams.read(bea.device, request, now=NOW)
        return [each.seq for each in page.entries], page.more

    assert await numbers(Read(stream, 0, 2)) == ([1, 2], True)
    assert await numbers(Read(stream, 2, 3)) == ([3, 4, 5], False)
    assert await numbers(Read(stream, 5, 3)) == ([], False)
    assert await numbers(Read(stream, 6, 2, backwards=True)) == ([5, 4], True)
    assert await numbers(Read(stream, 3, 2, backwards=True)) == ([2, 1], False)


async def test_a_page_ends_before_it_is_too_large_for_a_frame(store: Store) -> None:
    alice, bea, stream = await pair(store)
    large = b"x" * (MAX_PAGE_BYTES // 2 - 1000)
    for _ in range(3):
        await store.streams.append(alice.device, entry(stream, large), now=NOW)
    page = await store.streams.read(bea.device, Read(stream, 0, MAX_PAGE), now=NOW)
    assert (len(page.entries), page.more) == (2, True)
    caught = await store.streams.catch_up(bea.device, CatchUp([]), now=NOW)
    assert (len(caught.entries), caught.more) == (2, True)


async def test_catching_up_covers_all_streams(store: Store) -> None:
    alice, bea, stream = await pair(store)
    carl = await someone(store)
    other = await conversation(store, bea, carl)
    for number in range(3):
        await store.streams.append(alice.device, entry(stream, b"a%d" % number), now=NOW)
        await store.streams.append(carl.device, entry(other, b"c%d" % number), now=NOW)
    await store.streams.append(alice.device, entry(bea.inbox, b"i", bea.device), now=NOW)
    caught = await store.streams.catch_up(
        bea.device, CatchUp([Position(stream, 2), Position(bea.inbox, 0)]), now=NOW
    )
    assert [each.stream for each in caught.streams] == [other]
    assert [each.envelope.body for each in caught.entries] == [b"i", b"a2", b"c0", b"c1", b"c2"]
    assert not caught.more


async def test_who_names_a_position_beyond_the_end_is_told_where_that_is(store: Store) -> None:
    alice, bea, stream = await pair(store)
    await store.streams.append(alice.device, entry(stream), now=NOW)
    await store.streams.append(alice.device, entry(bea.inbox, b"i", bea.device), now=NOW)
    at_the_end = [Position(stream, 1), Position(bea.inbox, 1)]
    caught = await store.streams.catch_up(bea.device, CatchUp(at_the_end), now=NOW)
    assert caught.streams == []
    beyond = [Position(stream, 1 << 60), Position(bea.inbox, 2)]
    caught = await store.streams.catch_up(bea.device, CatchUp(beyond), now=NOW)
    ends = {each.stream: each.last for each in caught.streams}
    assert (ends, caught.entries, caught.more) == ({stream: 1, bea.inbox: 1}, [], False)


async def test_catching_up_page_by_page_finds_everything_once(store: Store) -> None:
    alice, bea, stream = await pair(store)
    carl = await someone(store)
    other = await conversation(store, bea, carl)
    expected = []
    for number in range(5):
        for who, where in ((alice, stream), (carl, other)):
            body = b"%d in %s" % (number, where)
            await store.streams.append(who.device, entry(where, body), now=NOW)
            expected.append(body)
    positions: dict[bytes, int] = {}
    found: list[bytes] = []
    more = True
    while more:
        named = [Position(*each) for each in positions.items()]
        caught = await store.streams.catch_up(bea.device, CatchUp(named, limit=3), now=NOW)
        for info in caught.streams:
            assert positions.setdefault(info.stream, 0) == 0
        for each in caught.entries:
            assert positions[each.stream] < each.seq
            positions[each.stream] = each.seq
            found.append(each.envelope.body)
        more = caught.more
    assert sorted(found) == sorted(expected)


async def test_an_entry_is_trimmed_when_every_device_has_read_it(store: Store) -> None:
    alice, bea, stream = await pair(store)
    for number in range(3):
        await store.streams.append(alice.device, entry(stream, b"%d" % number), now=NOW)
    await acknowledge(store, bea, stream, 3)
    assert len(await bodies(store, bea, stream)) == 3
    await acknowledge(store, alice, stream, 2)
    assert await bodies(store, bea, stream) == [b"2"]
    # Cursors go forward only, and never ahead of the stream.
    await acknowledge(store, alice, stream, 1)
    await acknowledge(store, alice, stream, 1000)
    await acknowledge(store, bea, stream, 1000)
    await store.streams.append(alice.device, entry(stream, b"new"), now=NOW)
    assert await bodies(store, bea, stream) == [b"new"]
    await acknowledge(store, alice, stream, 4)
    assert await bodies(store, bea, stream) == [b"new"]


async def test_an_inbox_is_trimmed_by_its_own_device(store: Store) -> None:
    alice, bea, _ = await pair(store)
    await store.streams.append(bea.device, entry(alice.inbox, b"x", alice.device), now=NOW)
    await acknowledge(store, alice, alice.inbox, 1)
    assert await bodies(store, alice, alice.inbox) == []


async def test_a_device_that_never_reads_stops_nothing_for_long(store: Store) -> None:
    alice, _, stream = await pair(store)
    await store.streams.append(alice.device, entry(stream, b"old"), now=NOW)
    await store.streams.append(alice.device, entry(stream, b"newer"), now=NOW + 1)
    late = NOW + QUEUE_DAYS * DAY_MS
    assert await store.streams.sweep(now=late - 1) == 0
    assert await store.streams.sweep(now=late) == 1
    assert await bodies(store, alice, stream, now=late) == [b"newer"]


async def test_an_expired_entry_is_not_served_and_then_swept(store: Store) -> None:
    alice, bea, stream = await pair(store)
    await store.streams.append(
        alice.device, entry(stream, b"brief", bea.device, expires_at=NOW + 10), now=NOW
    )
    await store.streams.append(alice.device, entry(stream, b"lasting"), now=NOW)
    assert len(await bodies(store, bea, stream, now=NOW + 9)) == 2
    assert await bodies(store, bea, stream, now=NOW + 10) == [b"lasting"]
    caught = await store.streams.catch_up(bea.device, CatchUp([]), now=NOW + 10)
    assert len(caught.entries) == 1
    assert await store.streams.sweep(now=NOW + 10) == 1
    assert await store.streams.sweep(now=NOW + 10) == 0


async def test_the_sweeper_forgets_what_is_over(store: Store) -> None:
    alice = await someone(store)
    await store.invites.add(unique(), uses=1, expires_at=NOW, issuer=None)
    await store.tokens.revoke(alice.account, alice.token, now=NOW)
    assert await store.streams.sweep(now=NOW) == 1
    assert await store.streams.sweep(now=NOW + 30 * DAY_MS) == 1
    assert await store.tokens.find(alice.token) is None


async def test_appended_requests_are_what_the_wire_carries(store: Store) -> None:
    """The store's tests build requests by hand; here is that they are ones."""
    request = entry(unique(), b"body", unique(), expires_at=5)
    assert decode_body(encode_body(request), Append) == request
