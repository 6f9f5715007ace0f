"""The writer thread: grouping, savepoints, and a disk that is full or broken."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from parlour.errors import Code, InternalError, LimitError, ParlourError, StorageError
from parlour.server.store.sqlite.database import connect
from parlour.server.store.sqlite.readers import Readers
from parlour.server.store.sqlite.writer import MAX_BATCH, Operation, Writer


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    connection = connect(tmp_path / "test.db")
    connection.execute("CREATE TABLE notes (pk INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)")
    connection.close()
    return tmp_path / "test.db"


@pytest.fixture
async def writer(path: Path) -> AsyncIterator[Writer]:
    opened = Writer(lambda: connect(path))
    yield opened
    await opened.close()


def note(text: str) -> Operation[str]:
    def insert(connection: sqlite3.Connection) -> str:
        connection.execute("INSERT INTO notes (text) VALUES (?)", (text,))
        return text

    return insert


def notes(path: Path) -> list[str]:
    connection = connect(path)
    try:
        return [row[0] for row in connection.execute("SELECT text FROM notes ORDER BY pk")]
    finally:
        connection.close()


class Gate:
    """Holds the writer in an operation, so that others gather behind it."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self, connection: sqlite3.Connection) -> None:
        self.entered.set()
        assert self.open.wait(10)


async def gather(writer: Writer, *operations: Operation[Any]) -> list[object | BaseException]:
    """Have the operations committed in as few batches as the writer makes."""
    gate = Gate()
    first = writer.submit(gate)
    await asyncio.to_thread(gate.entered.wait, 10)
    futures = [writer.submit(operation) for operation in operations]
    gate.open.set()
    await first
    return list(await asyncio.gather(*futures, return_exceptions=True))


async def test_what_waits_shares_a_commit(writer: Writer, path: Path) -> None:
    texts = [str(number) for number in range(100)]
    assert await gather(writer, *map(note, texts)) == texts
    assert notes(path) == texts
    assert writer.commits == 2


async def test_a_batch_is_bounded(writer: Writer, path: Path) -> None:
    texts = [str(number) for number in range(MAX_BATCH + 1)]
    await gather(writer, *map(note, texts))
    assert writer.commits == 3
    assert notes(path) == texts


async def test_nothing_is_told_before_it_is_committed(writer: Writer, path: Path) -> None:
    future = writer.submit(note("told"))
    await future
    assert notes(path) == ["told"]
    gate = Gate()
    held = writer.submit(gate)
    await asyncio.to_thread(gate.entered.wait, 10)
    waiting = writer.submit(note("waiting"))
    await asyncio.sleep(0)
    assert not waiting.done()
    gate.open.set()
    await asyncio.gather(held, waiting)


async def test_one_that_fails_does_not_sink_its_neighbours(writer: Writer, path: Path) -> None:
    def half_done(connection: sqlite3.Connection) -> None:
        note("half")(connection)
        raise LimitError(Code.LIMIT_COUNT)

    def our_bug(connection: sqlite3.Connection) -> None:
        note("bug")(connection)
        raise ZeroDivisionError

    outcomes = await gather(writer, note("a"), half_done, note("b"), note("a"), our_bug, note("c"))
    assert notes(path) == ["a", "b", "c"]
    assert [outcomes[0], outcomes[2], outcomes[5]] == ["a", "b", "c"]
    codes = [each.code for each in outcomes if isinstance(each, ParlourError)]
    assert codes == [Code.LIMIT_COUNT, Code.STORE_BROKEN, Code.INTERNAL_BUG]
    assert isinstance(outcomes[4], InternalError)


async def test_one_alone_that_fails_changes_nothing(writer: Writer, path: Path) -> None:
    def half_done(connection: sqlite3.Connection) -> None:
        note("half")(connection)
        raise LimitError(Code.LIMIT_COUNT)

    with pytest.raises(LimitError):
        await writer.submit(half_done)
    await writer.submit(note("a"))
    with pytest.raises(StorageError):
        await writer.submit(note("a"))
    assert notes(path) == ["a"]


async def test_a_full_disk_fails_those_that_do_not_fit(writer: Writer, path: Path) -> None:
    def limit(connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 5}")

    await writer.submit(limit)
    large = "x" * 100_000
    outcomes = await gather(writer, note("small"), note(large), note("also small"))
    assert outcomes[0] == "small"
    assert isinstance(outcomes[1], StorageError)
    assert outcomes[1].code == Code.STORE_FULL
    assert outcomes[2] == "also small"
    with pytest.raises(StorageError) as alone:
        await writer.submit(note(large))
    assert alone.value.code == Code.STORE_FULL
    assert notes(path) == ["small", "also small"]


async def test_a_transaction_that_is_lost_is_begun_again_one_by_one(
    writer: Writer, path: Path
) -> None:
    """SQLite ends the whole transaction on some faults; the innocent are applied all the same."""

    def lose(connection: sqlite3.Connection) -> None:
        connection.execute("ROLLBACK")
        raise sqlite3.OperationalError("disk I/O error")

    outcomes = await gather(writer, note("a"), lose, note("b"))
    assert outcomes[::2] == ["a", "b"]
    assert isinstance(outcomes[1], StorageError)
    assert outcomes[1].code == Code.STORE_BROKEN
    assert notes(path) == ["a", "b"]


async def test_another_process_that_writes_is_waited_for(writer: Writer, path: Path) -> None:
    other = connect(path)
    other.execute("BEGIN IMMEDIATE")
    note("other")(other)
    future = writer.submit(note("ours"))
    await asyncio.sleep(0)
    assert not future.done()
    other.execute("COMMIT")
    other.close()
    assert await future == "ours"
    assert notes(path) == ["other", "ours"]


async def test_a_caller_that_went_away_disturbs_nobody(writer: Writer, path: Path) -> None:
    gate = Gate()
    held = writer.submit(gate)
    await asyncio.to_thread(gate.entered.wait, 10)
    gone, stayed = writer.submit(note("gone")), writer.submit(note("stayed"))
    gone.cancel()
    gate.open.set()
    await held
    assert await stayed == "stayed"
    assert notes(path) == ["gone", "stayed"]


async def test_closing_finishes_what_was_submitted(path: Path) -> None:
    writer = Writer(lambda: connect(path))
    futures = [writer.submit(note(str(number))) for number in range(10)]
    await writer.close()
    await asyncio.gather(*futures)
    assert len(notes(path)) == 10
    with pytest.raises(StorageError):
        await writer.submit(note("late"))
    await writer.close()


async def test_readers_see_one_state_and_write_nothing(writer: Writer, path: Path) -> None:
    readers = Readers(lambda: connect(path, read_only=True))
    seen, go_on = threading.Event(), threading.Event()

    def count_twice(connection: sqlite3.Connection) -> tuple[int, int]:
        first = connection.execute("SELECT count(*) FROM notes").fetchone()[0]
        seen.set()
        assert go_on.wait(10)
        return first, connection.execute("SELECT count(*) FROM notes").fetchone()[0]

    reading = readers.submit(count_twice)
    await asyncio.to_thread(seen.wait, 10)
    await writer.submit(note("meanwhile"))
    go_on.set()
    assert await reading == (0, 0)
    with pytest.raises(StorageError):
        await readers.submit(note("forbidden"))
    with pytest.raises(InternalError):
        await readers.submit(lambda connection: 1 // 0)
    await readers.close()
    with pytest.raises(StorageError):
        await readers.submit(lambda connection: None)
    assert notes(path) == ["meanwhile"]
