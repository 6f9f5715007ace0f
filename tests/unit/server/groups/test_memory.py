"""What the service of groups keeps in memory, and how little it may be believed."""

from __future__ import annotations

import asyncio

import pytest

from parlour.errors import Code, ParlourError
from parlour.server.groups.cache import GroupCache
from parlour.server.groups.members import Members
from parlour.server.groups.messages import epoch_of
from parlour.server.groups.tracked import TrackedGroup
from parlour.server.groups.turns import MAX_WAITING, Turns
from parlour.server.limits import RateExceeded
from parlour.wire.groups import ProposalBody
from tests.served_groups import Room, Services, unique


async def tracked(services: Services, room: Room) -> TrackedGroup:
    return TrackedGroup.of(await services.store.groups.load(room.stream))


async def test_what_is_loaded_is_what_was_followed(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = await Room.of(services, ada, bea)
    await room.send(bea, room.leave(bea))
    message = ada.live.propose_update(services.now // 1000)
    await room.send(ada, room.proposal(ada, ProposalBody(0, message, b"")))
    loaded = await tracked(services, room)
    kept = services.groups._handshaking._cache.find(room.stream, (0, 1, 2))
    assert kept is not None
    assert loaded.state == kept.state == ada.live.as_origin().state
    assert loaded.owners == kept.owners
    assert list(loaded.proposals) == list(kept.proposals)
    assert loaded.roster.binding == kept.roster.binding == room.roster.binding


async def test_a_group_elsewhere_is_not_found(services: Services) -> None:
    ada, bea = await services.devices("ada", "bea")
    room = await Room.of(services, ada, bea)
    cache = GroupCache()
    cache.put(await tracked(services, room))
    assert cache.find(room.stream, (0, 1, 0)) is not None
    for place in ((0, 2, 0), (1, 1, 0), (0, 1, 1)):
        assert cache.find(room.stream, place) is None
    assert cache.find(unique(), (0, 1, 0)) is None


async def test_the_cache_is_bounded_by_leaves(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parlour.server.groups.cache.MAX_LEAVES", 5)
    ada, bea = await services.devices("ada", "bea")
    rooms = [await Room.of(services, ada, bea) for _ in range(3)]
    cache = GroupCache()
    for room in rooms[:2]:
        cache.put(await tracked(services, room))
    assert cache.find(rooms[0].stream, (0, 1, 0)) is not None
    cache.put(await tracked(services, rooms[2]))
    found = [cache.find(room.stream, (0, 1, 0)) is not None for room in rooms]
    # The one that was used last stays.
    assert found == [True, False, True]
    monkeypatch.setattr("parlour.server.groups.cache.MAX_LEAVES", 1)
    cache.put(await tracked(services, rooms[1]))
    assert [cache.find(room.stream, (0, 1, 0)) is not None for room in rooms] == [
        False,
        True,
        False,
    ]


def test_members_of_a_version_are_remembered() -> None:
    members = Members()
    assert members.find(b"stream") == (None, ())
    members.remember(b"stream", 1, (b"ada", b"bea"))
    assert members.find(b"stream") == (1, (b"ada", b"bea"))
    members.remember(b"stream", 0, (b"ada",))
    assert members.find(b"stream") == (1, (b"ada", b"bea"))
    members.remember(b"stream", 2, (b"ada",))
    assert members.find(b"stream") == (2, (b"ada",))


def test_members_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parlour.server.groups.members.MAX_REMEMBERED", 4)
    members = Members()
    for stream in (b"one", b"two"):
        members.remember(stream, 1, (b"ada", b"bea"))
    members.find(b"one")
    members.remember(b"three", 1, (b"ada",))
    known = [members.find(stream)[0] for stream in (b"one", b"two", b"three")]
    assert known == [1, None, 1]
    members.remember(b"four", 1, (b"a", b"b", b"c", b"d", b"e"))
    known = [members.find(stream)[0] for stream in (b"one", b"three", b"four")]
    assert known == [None, None, 1]


async def test_turns_of_one_group_follow_each_other() -> None:
    turns = Turns()
    inside: list[int] = []
    most = 0

    async def take(stream: bytes) -> None:
        nonlocal most
        async with turns.of(stream):
            inside.append(1)
            most = max(most, len(inside))
            await asyncio.to_thread(lambda: None)
            inside.pop()

    await asyncio.gather(*(take(b"one") for _ in range(10)))
    assert most == 1
    await asyncio.gather(*(take(b"%d" % n) for n in range(10)))
    assert most > 1
    assert turns._locks == {}


async def test_only_so_many_wait_for_a_turn() -> None:
    turns = Turns()
    free = asyncio.Event()

    async def take() -> None:
        async with turns.of(b"one"):
            await free.wait()

    waiting = [asyncio.create_task(take()) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(RateExceeded) as refusal:
        await take()
    assert refusal.value.code == Code.LIMIT_RATE
    assert refusal.value.retry_after
    # Whoever gives up makes room.
    waiting[-1].cancel()
    await asyncio.gather(waiting[-1], return_exceptions=True)
    again = asyncio.create_task(take())
    await asyncio.sleep(0)
    free.set()
    await asyncio.gather(*waiting[:-1], again)
    assert turns._locks == {}


async def test_a_refusal_does_not_keep_the_turn() -> None:
    turns = Turns()
    with pytest.raises(ParlourError):
        async with turns.of(b"one"):
            raise RateExceeded(1)
    async with turns.of(b"one"):
        assert list(turns._locks) == [b"one"]


@pytest.mark.parametrize("size", range(0, 40, 3))
async def test_the_head_of_half_a_message(services: Services, size: int) -> None:
    ada = await services.device("ada")
    room = await Room.found(services, ada)
    body = ada.live.encrypt(b"hello")
    assert epoch_of(room.stream, body) == (0, 0)
    head = len(body) if size > 33 else size
    assert (epoch_of(room.stream, body[:head]) is None) == (size <= 33)
    assert epoch_of(unique(), body) is None
