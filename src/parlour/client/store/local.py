"""`LocalStore`: the database behind awaitable calls, all of which run on its one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, assert_never

import sqlcipher3

from parlour.client.keys import DatabaseKey
from parlour.client.store import entry_hashes, messages, records
from parlour.client.store.database import (
    close_database,
    open_database,
    storage_errors,
    transaction,
    truncate_wal,
)
from parlour.client.store.schema import migrate
from parlour.client.workers import Worker
from parlour.conversation.changes import (
    Change,
    DeleteMessage,
    DeleteMessages,
    DeleteRecord,
    Message,
    Namespace,
    PutEntryHash,
    PutMessage,
    PutRecord,
    ReleaseMessages,
    TrimSilent,
)

P = ParamSpec("P")
T = TypeVar("T")

# Each truncation costs two more waits for the disk; a replaced key lies in the log until then.
BATCHES_PER_TRUNCATION: Final = 64
# Trimming reads as many rows as are kept, 0.7 ms: too much for each message.
BATCHES_PER_TRIM: Final = 128


class LocalStore:
    """What this device keeps. Made by `open`, ended by `close`.

    Every call raises `StorageError` when disk or database fail (`STORE_FULL`, `STORE_BROKEN`), and
    then has changed nothing; after `close` it raises `USAGE_STATE`.
    """

    def __init__(self, worker: Worker, connection: Any) -> None:
        self._worker = worker
        self._connection = connection
        self._batches = 0
        self._hash_batches: dict[bytes, int] = {}

    @classmethod
    async def open(cls, path: Path, key: DatabaseKey) -> LocalStore:
        """Open or create the database. A key that is not its own raises `STORE_BROKEN`."""
        worker = Worker("parlour-store")
        try:
            connection = await worker.run(_open, path, key)
        except BaseException:
            worker.close()
            raise
        return cls(worker, connection)

    async def apply(self, changes: Sequence[Change]) -> list[Message]:
        """Write all changes in their order in one transaction; durable on return.

        Returns the messages that are to be handed out since then, as `undelivered` has them. A
        task that is cancelled here does not know whether they were written: all were, or none.
        """
        return await self._worker.run(self._apply, tuple(changes))

    async def records(self) -> dict[Namespace, dict[bytes, bytes]]:
        """All records but pictures; a namespace without any has an empty dict."""
        return await self._run(records.all_records)

    async def record(self, namespace: Namespace, key: bytes) -> bytes | None:
        """One record, or None; the way to pictures."""
        return await self._run(records.get_record, namespace, key)

    async def message(self, key: messages.Key) -> Message | None:
        """The message of that key (`Message.key`), or None."""
        return await self._run(messages.get_message, key)

    async def messages(
        self, conversation: bytes, *, before: Message | None = None, limit: int
    ) -> list[Message]:
        """A page in the order of display: by number, then what is queued by the time it was said.

        The page ends with the last message, or with the one before `before`, which is the first
        one of the page after it.
        """
        return await self._run(messages.list_messages, conversation, before, limit)

    async def conversations(self) -> list[bytes]:
        """The ids of all conversations that have messages."""
        return await self._run(messages.list_conversations)

    async def message_count(self) -> int:
        """How many messages there are."""
        return await self._run(messages.count_messages)

    async def undelivered(self, limit: int) -> list[Message]:
        """The first messages that were not handed to the program, in the order they came in."""
        return await self._run(messages.list_undelivered, limit)

    async def mark_delivered(self, delivered: Sequence[Message]) -> None:
        """Mark messages as handed out, as `undelivered` gave them.

        One whose state has changed since stays undelivered: its reader saw an older state.
        """
        await self._run(_mark_delivered, tuple(delivered))

    async def entry_hash(self, stream: bytes, seq: int) -> bytes | None:
        """The hash of an entry; None when it was never written, or is no longer kept."""
        return await self._run(entry_hashes.get_entry_hash, stream, seq)

    async def close(self) -> None:
        """Truncate the log and close. Calling it again does nothing."""
        if self._worker.closed:
            return
        try:
            await self._worker.run(close_database, self._connection)
        finally:
            self._worker.close()

    async def _run(
        self, function: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        def call() -> T:
            with storage_errors():
                return function(self._connection, *args, **kwargs)

        return await self._worker.run(call)

    def _apply(self, changes: tuple[Change, ...]) -> list[Message]:
        new: list[Message] = []
        if not changes:
            return new
        with storage_errors(), transaction(self._connection):
            for change in changes:
                new += _write(self._connection, change)
            for stream in {item.stream for item in changes if isinstance(item, PutEntryHash)}:
                self._trim(stream)
        self._batches += 1
        if self._batches % BATCHES_PER_TRUNCATION == 0:
            # The batch is durable already, so a failure here is not the caller's: the next
            # truncation does it again, and a disk that fails shows at the next batch.
            with suppress(sqlcipher3.Error):
                truncate_wal(self._connection)
        return new

    def _trim(self, stream: bytes) -> None:
        """Trim the stream's hashes now and then: at its first batch here, and each so many."""
        batches = self._hash_batches.get(stream, 0)
        if batches % BATCHES_PER_TRIM == 0:
            kept = entry_hashes.KEPT_PER_STREAM
            entry_hashes.trim_entry_hashes(self._connection, stream, kept)
        self._hash_batches[stream] = batches + 1


def _open(path: Path, key: DatabaseKey) -> Any:
    connection = open_database(path, key)
    try:
        with storage_errors():
            migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _write(connection: Any, change: Change) -> list[Message]:
    """Write one change; the messages that are to be handed out since then."""
    match change:
        case PutRecord():
            records.put_record(connection, change)
        case DeleteRecord():
            records.delete_record(connection, change)
        case PutMessage(message=message):
            return [message] if messages.put_message(connection, change) else []
        case ReleaseMessages():
            return messages.release(connection, change.conversation)
        case DeleteMessages():
            messages.delete_messages(connection, change.conversation, everything=change.everything)
        case DeleteMessage():
            messages.delete_message(connection, change.key)
        case TrimSilent(stored_before=stored_before):
            messages.trim_silent(connection, stored_before)
        case PutEntryHash():
            entry_hashes.put_entry_hash(connection, change)
        case _:
            assert_never(change)
    return []


def _mark_delivered(connection: Any, delivered: tuple[Message, ...]) -> None:
    # Not synced: a killed program keeps it, and after a power cut a message is handed out again
    # rather than lost. The next batch syncs it with its own.
    connection.execute("PRAGMA synchronous = NORMAL")
    try:
        with transaction(connection):
            messages.mark_delivered(connection, delivered)
    finally:
        connection.execute("PRAGMA synchronous = FULL")
