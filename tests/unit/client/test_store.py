import asyncio
import stat
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlcipher3

from parlour.client.keys import DatabaseKey
from parlour.client.store import (
    LocalStore,
    database,
    entry_hashes,
    local,
    messages,
    records,
    schema,
)
from parlour.conversation.changes import (
    DeleteRecord,
    Message,
    MessageState,
    Namespace,
    PutEntryHash,
    PutMessage,
    PutRecord,
)
from parlour.errors import Code, StorageError, UsageError

KEY = DatabaseKey(bytes(range(32)))
CONVERSATION = b"c" * 16
ALL_STATES = list(MessageState)
ALLOWED = {
    (MessageState.QUEUED, MessageState.QUEUED),
    (MessageState.QUEUED, MessageState.SENT),
    (MessageState.QUEUED, MessageState.UNSENT),
    (MessageState.UNSENT, MessageState.SENT),
    (MessageState.SENT, MessageState.SENT),
    (MessageState.SILENT, MessageState.SILENT),
    (MessageState.UNREADABLE, MessageState.UNREADABLE),
    (MessageState.UNREADABLE, MessageState.RECEIVED),
    (MessageState.UNREADABLE, MessageState.REQUESTED),
}


def message(
    number: int,
    *,
    state: MessageState = MessageState.RECEIVED,
    seq: int | None = None,
    sent_at: int = 1,
    content: bytes = b"content",
    conversation: bytes = CONVERSATION,
) -> Message:
    return Message(
        conversation=conversation,
        message_id=number.to_bytes(16),
        sender_account=b"a" * 16,
        sender_device=b"d" * 16,
        seq=seq,
        sent_at=sent_at,
        stored_at=None,
        state=state,
        content=content,
    )


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LocalStore]:
    opened = await LocalStore.open(tmp_path / "store.db", KEY)
    yield opened
    await opened.close()


async def test_records_are_put_replaced_and_deleted(store: LocalStore) -> None:
    assert await store.records() == {namespace: {} for namespace in Namespace}
    await store.apply(
        [
            PutRecord(Namespace.DEVICE, b"", b"one"),
            PutRecord(Namespace.SESSIONS, b"x", b"two"),
            PutRecord(Namespace.SESSIONS, b"y", b"three"),
            PutRecord(Namespace.DEVICE, b"", b"four"),
            DeleteRecord(Namespace.SESSIONS, b"x"),
            DeleteRecord(Namespace.SESSIONS, b"not there"),
        ]
    )
    found = await store.records()
    assert found[Namespace.DEVICE] == {b"": b"four"}
    assert found[Namespace.SESSIONS] == {b"y": b"three"}
    assert found[Namespace.CONTACT] == {}


async def test_what_was_written_is_there_after_opening_again(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    first = await LocalStore.open(path, KEY)
    await first.apply([PutRecord(Namespace.DEVICE, b"", b"kept"), PutMessage(message(1), True)])
    await first.close()
    second = await LocalStore.open(path, KEY)
    assert (await second.records())[Namespace.DEVICE] == {b"": b"kept"}
    assert await second.undelivered(10) == [message(1)]
    await second.close()


async def test_a_batch_that_fails_leaves_nothing_behind(store: LocalStore) -> None:
    await store.apply([PutRecord(Namespace.DEVICE, b"", b"before")])
    broken: Any = PutEntryHash(b"s" * 16, "no number", b"h")  # type: ignore[arg-type]
    with pytest.raises(StorageError) as caught:
        await store.apply(
            [PutRecord(Namespace.DEVICE, b"", b"after"), PutMessage(message(1)), broken]
        )
    assert caught.value.code is Code.STORE_BROKEN
    assert (await store.records())[Namespace.DEVICE] == {b"": b"before"}
    assert await store.message(message(1).key) is None
    await store.apply([PutRecord(Namespace.DEVICE, b"", b"after")])


async def test_an_empty_batch_writes_nothing(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "transaction", None)
    await store.apply([])


async def test_a_message_is_found_by_its_key(store: LocalStore) -> None:
    kept = replace(message(7, seq=3), stored_at=9, reason="why")
    await store.apply([PutMessage(kept)])
    assert await store.message(kept.key) == kept
    assert await store.message((b"other" * 3 + b"x", kept.sender_device, kept.message_id)) is None


@pytest.mark.parametrize("before", ALL_STATES)
@pytest.mark.parametrize("after", ALL_STATES)
async def test_which_state_may_follow_which(
    store: LocalStore, before: MessageState, after: MessageState
) -> None:
    first = message(1, state=before, content=b"first")
    second = message(1, state=after, content=b"second", seq=5)
    await store.apply([PutMessage(first), PutMessage(second)])
    expected = second if (before, after) in ALLOWED else first
    assert await store.message(first.key) == expected


async def test_a_received_message_is_final_even_in_what_was_delivered(store: LocalStore) -> None:
    await store.apply([PutMessage(message(1), undelivered=True)])
    await store.mark_delivered([message(1)])
    await store.apply([PutMessage(message(1, content=b"forged"), undelivered=True)])
    assert await store.undelivered(10) == []
    assert await store.message(message(1).key) == message(1)


async def test_what_becomes_readable_is_undelivered_again(store: LocalStore) -> None:
    unreadable = message(1, state=MessageState.UNREADABLE, content=b"")
    await store.apply([PutMessage(unreadable, undelivered=True)])
    await store.mark_delivered([unreadable])
    assert await store.undelivered(10) == []
    await store.apply([PutMessage(message(1))])
    assert await store.undelivered(10) == [message(1)]


async def test_marking_an_older_state_does_not_swallow_the_newer_one(store: LocalStore) -> None:
    unreadable = message(1, state=MessageState.UNREADABLE, content=b"")
    await store.apply([PutMessage(unreadable, undelivered=True)])
    handed_out = await store.undelivered(10)
    await store.apply([PutMessage(message(1), undelivered=True)])
    await store.mark_delivered(handed_out)
    assert await store.undelivered(10) == [message(1)]
    await store.mark_delivered([message(1)])
    assert await store.undelivered(10) == []


async def test_undelivered_keeps_the_order_of_arrival_and_its_limit(store: LocalStore) -> None:
    arrived = [message(number, seq=10 - number) for number in range(5)]
    for item in arrived:
        await store.apply([PutMessage(item, undelivered=True)])
    assert await store.undelivered(3) == arrived[:3]
    await store.mark_delivered(arrived[:3])
    assert await store.undelivered(3) == arrived[3:]
    # A state that is written over does not lose that it was not handed out.
    late = message(9, state=MessageState.UNREADABLE)
    await store.apply([PutMessage(late, undelivered=True), PutMessage(replace(late, reason="b"))])
    assert await store.undelivered(9) == [*arrived[3:], replace(late, reason="b")]


async def test_pages_are_in_the_order_of_display(store: LocalStore) -> None:
    numbered = [message(number, seq=20 - number) for number in range(10)]
    queued = [
        message(number, state=MessageState.QUEUED, sent_at=100 - number) for number in (11, 12)
    ]
    twin = message(13, seq=20)
    elsewhere = message(14, seq=1, conversation=b"e" * 16)
    await store.apply([PutMessage(item) for item in (*queued, *numbered, twin, elsewhere)])
    whole = [*reversed(numbered), twin, queued[1], queued[0]]
    assert await store.messages(CONVERSATION, limit=100) == whole
    assert await store.messages(CONVERSATION, limit=4) == whole[-4:]
    for limit in (1, 2, 3, 5):
        pages: list[Message] = []
        while page := await store.messages(
            CONVERSATION, before=pages[0] if pages else None, limit=limit
        ):
            pages = page + pages
        assert pages == whole


async def test_entry_hashes_are_replaced_and_bounded(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry_hashes, "KEPT_PER_STREAM", 10)
    monkeypatch.setattr(local, "BATCHES_PER_TRIM", 1)
    stream, other = b"s" * 16, b"o" * 16
    await store.apply([PutEntryHash(other, 1, b"other")])
    await store.apply([PutEntryHash(stream, seq, b"%d" % seq) for seq in range(1, 16)])
    await store.apply([PutEntryHash(stream, 15, b"again")])
    kept = [await store.entry_hash(stream, seq) for seq in range(1, 16)]
    assert kept == [None] * 5 + [b"%d" % seq for seq in range(6, 15)] + [b"again"]
    # A number far ahead, which a server can make up, costs one place.
    await store.apply([PutEntryHash(stream, 1 << 60, b"far")])
    assert await store.entry_hash(stream, 7) == b"7"
    assert await store.entry_hash(other, 1) == b"other"


async def test_entry_hashes_are_trimmed_at_first_and_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry_hashes, "KEPT_PER_STREAM", 2)
    monkeypatch.setattr(local, "BATCHES_PER_TRIM", 5)
    stream, path = b"s" * 16, tmp_path / "store.db"
    kept = []
    for first in (1, 8):
        opened = await LocalStore.open(path, KEY)
        for seq in range(first, first + 7):
            await opened.apply([PutEntryHash(stream, seq, b"h")])
            hashes = [await opened.entry_hash(stream, known) for known in range(1, seq + 1)]
            kept.append(len(hashes) - hashes.count(None))
        await opened.close()
    assert kept == [1, 2, 3, 4, 5, 2, 3, 2, 3, 4, 5, 6, 2, 3]


async def test_every_call_runs_on_one_thread_that_is_not_the_loops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def recording(module: Any, name: str) -> None:
        original = getattr(module, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            threads.append(threading.get_ident())
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, call)

    recording(local, "open_database")
    recording(local, "close_database")
    recording(local, "_write")
    recording(local, "migrate")
    for name in ("get_message", "list_messages", "list_undelivered", "mark_delivered"):
        recording(messages, name)
    recording(records, "all_records")
    recording(entry_hashes, "get_entry_hash")
    store = await LocalStore.open(tmp_path / "store.db", KEY)
    await store.apply([PutRecord(Namespace.DEVICE, b"", b"x")])
    await store.message(message(1).key)
    await store.messages(CONVERSATION, limit=1)
    await store.undelivered(1)
    await store.mark_delivered([])
    await store.records()
    await store.entry_hash(b"s" * 16, 1)
    await store.close()
    assert len(threads) == 10
    assert len(set(threads)) == 1
    assert threading.get_ident() not in threads


async def test_a_full_disk_is_named_and_leaves_nothing_behind(
    store: LocalStore, tmp_path: Path
) -> None:
    await store.apply([PutRecord(Namespace.DEVICE, b"", b"before")])

    def fill_up(connection: Any) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 2}").fetchall()

    await store._run(fill_up)
    large = [PutRecord(Namespace.SESSIONS, bytes([n]), bytes(3000)) for n in range(9)]
    with pytest.raises(StorageError) as caught:
        await store.apply([PutRecord(Namespace.DEVICE, b"", b"after"), *large])
    assert caught.value.code is Code.STORE_FULL
    found = await store.records()
    assert found[Namespace.DEVICE] == {b"": b"before"}
    assert found[Namespace.SESSIONS] == {}
    await store.apply([PutRecord(Namespace.DEVICE, b"", b"small")])


async def test_the_wrong_key_and_a_damaged_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await (await LocalStore.open(path, KEY)).close()
    with pytest.raises(StorageError) as caught:
        await LocalStore.open(path, DatabaseKey(bytes(32)))
    assert caught.value.code is Code.STORE_BROKEN
    damaged = bytearray(path.read_bytes())
    damaged[100] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(StorageError) as caught:
        await LocalStore.open(path, KEY)
    assert caught.value.code is Code.STORE_BROKEN


async def test_what_another_version_has_written_is_named(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await LocalStore.open(path, KEY)
    await store._run(
        lambda connection: connection.execute(
            "INSERT INTO record (namespace, key, value) VALUES ('of tomorrow', x'00', x'00')"
        )
    )
    with pytest.raises(StorageError) as caught:
        await store.records()
    assert caught.value.code is Code.STORE_VERSION
    later = len(schema.MIGRATIONS) + 1
    await store._run(lambda connection: connection.execute(f"PRAGMA user_version = {later}"))
    await store.close()
    with pytest.raises(StorageError) as caught:
        await LocalStore.open(path, KEY)
    assert caught.value.code is Code.STORE_VERSION


async def test_a_store_from_before_the_last_step_is_brought_up(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await LocalStore.open(path, KEY)
    await store.apply([PutRecord(Namespace.DEVICE, b"", b"kept")])
    await store._run(lambda connection: connection.execute("PRAGMA user_version = 1"))
    await store.close()
    store = await LocalStore.open(path, KEY)
    assert (await store.records())[Namespace.DEVICE] == {b"": b"kept"}
    (version,) = await store._run(
        lambda connection: connection.execute("PRAGMA user_version").fetchone()
    )
    assert version == len(schema.MIGRATIONS)
    await store.close()


async def test_a_second_opening_is_refused(store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        await LocalStore.open(tmp_path / "store.db", KEY)
    assert caught.value.code is Code.STORE_LOCKED


async def test_the_files_are_ciphertext_and_private(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await LocalStore.open(path, KEY)
    await store.apply([PutRecord(Namespace.DEVICE, b"", b"canary" * 100)])
    wal = tmp_path / "store.db-wal"
    assert names(tmp_path) == {"store.db", "store.db-wal"}
    for file in (path, wal):
        assert b"canary" not in file.read_bytes()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert wal.stat().st_size > 0
    await store.close()
    assert not wal.exists()
    assert not path.read_bytes().startswith(b"SQLite format 3")


async def test_the_log_is_truncated_regularly(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "BATCHES_PER_TRUNCATION", 2)
    wal = tmp_path / "store.db-wal"
    await store.apply([PutRecord(Namespace.DEVICE, b"", b"1")])
    assert wal.stat().st_size > 0
    await store.apply([PutRecord(Namespace.DEVICE, b"", b"2")])
    assert wal.stat().st_size == 0


async def test_a_truncation_that_fails_does_not_fail_the_batch(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(connection: Any) -> None:
        raise sqlcipher3.OperationalError("disk I/O error")

    monkeypatch.setattr(local, "BATCHES_PER_TRUNCATION", 1)
    monkeypatch.setattr(local, "truncate_wal", fail)
    await store.apply([PutRecord(Namespace.DEVICE, b"", b"1")])
    assert (await store.records())[Namespace.DEVICE] == {b"": b"1"}


async def test_what_protects_the_file_is_switched_on(store: LocalStore) -> None:
    def read(connection: Any) -> dict[str, Any]:
        names = ("journal_mode", "synchronous", "secure_delete", "foreign_keys", "temp_store")
        return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names}

    assert await store._run(read) == {
        "journal_mode": "wal",
        "synchronous": 2,
        "secure_delete": 1,
        "foreign_keys": 1,
        "temp_store": 2,
    }


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = await LocalStore.open(tmp_path / "store.db", KEY)
    await store.close()
    await store.close()
    with pytest.raises(UsageError) as caught:
        await store.records()
    assert caught.value.code is Code.USAGE_STATE


def test_migrations_are_taken_once_and_wholly(tmp_path: Path) -> None:
    connection = database.open_database(tmp_path / "store.db", KEY)
    steps = (("CREATE TABLE a (x)",), ("CREATE TABLE b (x)", "CREATE TABLE a (y)"))
    schema.migrate(connection, steps[:1])
    with pytest.raises(sqlcipher3.OperationalError):
        schema.migrate(connection, steps)
    tables = "SELECT name FROM sqlite_schema"
    assert connection.execute(tables).fetchall() == [("a",)]
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    schema.migrate(connection, (steps[0], ("CREATE TABLE b (x)",)))
    assert connection.execute(tables).fetchall() == [("a",), ("b",)]
    connection.close()


async def test_pages_are_found_by_the_index(store: LocalStore) -> None:
    def explain(connection: Any) -> str:
        traced: list[str] = []
        connection.set_trace_callback(traced.append)
        messages.list_messages(connection, CONVERSATION, message(1, seq=2), 5)
        connection.set_trace_callback(None)
        return str(connection.execute("EXPLAIN QUERY PLAN " + traced[0]).fetchall())

    plan = await store._run(explain)
    assert "message_place" in plan
    assert "TEMP B-TREE" not in plan


async def test_a_cancelled_write_is_wholly_there_or_not(store: LocalStore) -> None:
    for number in range(20):
        task = asyncio.ensure_future(
            store.apply(
                [PutRecord(Namespace.DEVICE, bytes([number]), b"x"), PutMessage(message(number))]
            )
        )
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        there = bytes([number]) in (await store.records())[Namespace.DEVICE]
        assert (await store.message(message(number).key) is not None) == there
