"""Rules of retention that no operation sets yet, and the bound on conversations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from parlour.errors import Code, LimitError
from parlour.server.store.records import DAY_MS
from parlour.server.store.sqlite import SqliteStore
from parlour.wire.streams import Position, Read

from ..builders import NAME, NOW, Someone, conversation, entry, someone


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path, name=NAME)
    yield opened
    await opened.close()


async def stream_under(store: SqliteStore, rule: str, days: int) -> tuple[list[Someone], bytes]:
    people = [await someone(store), await someone(store)]
    stream = await conversation(store, *people)
    await store.database.write(
        lambda connection: (
            connection.execute(
                "UPDATE streams SET retention = ?, retention_days = ? WHERE stream_id = ?",
                (rule, days, stream),
            ).rowcount
        )
    )
    for who in people:
        await store.streams.append(who.device, entry(stream), now=NOW)
        await store.streams.acknowledge(who.device, [Position(stream, 2)], now=NOW)
    return people, stream


async def count(store: SqliteStore, who: Someone, stream: bytes, now: int) -> int:
    page = await store.streams.read(who.device, Read(stream, 0, 10), now=now)
    return len(page.entries)


async def test_forever_is_forever(store: SqliteStore) -> None:
    people, stream = await stream_under(store, "forever", 0)
    late = NOW + 10_000 * DAY_MS
    for who in people:
        await store.streams.acknowledge(who.device, [Position(stream, 2)], now=NOW)
    await store.streams.sweep(now=late)
    assert await count(store, people[0], stream, late) == 2


async def test_days_are_counted_whoever_has_read(store: SqliteStore) -> None:
    people, stream = await stream_under(store, "days", 3)
    for who in people:
        await store.streams.acknowledge(who.device, [Position(stream, 2)], now=NOW)
    late = NOW + 3 * DAY_MS
    await store.streams.sweep(now=late - 1)
    assert await count(store, people[0], stream, late) == 2
    await store.streams.sweep(now=late)
    assert await count(store, people[0], stream, late) == 0


async def test_conversations_of_an_account_are_bounded(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parlour.server.store.sqlite.rows.MAX_CONVERSATIONS", 2)
    alice, bea, carl, dora = [await someone(store) for _ in range(4)]
    await conversation(store, alice, bea)
    await conversation(store, carl, alice)
    for pair in ((alice, dora), (dora, alice)):
        with pytest.raises(LimitError) as refusal:
            await conversation(store, *pair)
        assert refusal.value.code == Code.LIMIT_COUNT
    await conversation(store, alice, bea)
    await conversation(store, bea, carl)
