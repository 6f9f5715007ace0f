"""One thread that writes, and groups whatever waits into one commit.

While one batch is being synced to disk, the next one gathers; so a full sync per commit costs
little under load and nothing is acknowledged before it is durable. Each operation of a batch runs
under its own savepoint: one that fails takes back its own changes only.

An operation is a function of the connection alone. It may be run a second time, after everything
that it did was rolled back, so it changes nothing but the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final, TypeAlias, TypeVar

from parlour.errors import Code, InternalError, ParlourError, StorageError

T = TypeVar("T")
Operation: TypeAlias = Callable[[sqlite3.Connection], T]

# Bounds how long the first of a batch waits for the last; research showed no gain above.
MAX_BATCH: Final = 500


class _Waiting:
    """An operation and who waits for it."""

    __slots__ = ("error", "future", "operation", "result")

    def __init__(self, operation: Operation[object], future: asyncio.Future[object]) -> None:
        self.operation = operation
        self.future = future
        self.result: object = None
        self.error: BaseException | None = None

    def run(self, connection: sqlite3.Connection) -> None:
        self.error = None
        self.result = self.operation(connection)

    def resolve(self) -> None:
        """Tell who waits; on the event loop's thread."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Writer:
    """The thread. Made on the event loop that its futures belong to."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._connection = connect()
        self._closed = False
        self.commits = 0
        self._thread = threading.Thread(target=self._run, name="parlour-writer", daemon=True)
        self._thread.start()

    def submit(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Queue `operation`; the future is resolved after the commit that holds it.

        Operations are applied in the order of their submission, and their futures are resolved in
        it. Raises `StorageError` (``store.full``, ``store.broken``) through the future.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        if self._closed:
            future.set_exception(StorageError(Code.STORE_BROKEN, "the store is closed"))
            return future
        self._queue.put(_Waiting(operation, future))  # type: ignore[arg-type]
        return future

    async def close(self) -> None:
        """Finish what was submitted, then end the thread and close the connection."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        try:
            while batch := self._next_batch():
                self._commit(batch)
                self._tell(batch)
        finally:
            self._connection.close()

    def _next_batch(self) -> list[_Waiting]:
        """Wait for one operation and take along those that wait; empty at the end."""
        first = self._queue.get()
        if first is None:
            return []
        batch = [first]
        with contextlib.suppress(Empty):
            while len(batch) < MAX_BATCH:
                following = self._queue.get_nowait()
                if following is None:
                    self._queue.put(None)
                    break
                batch.append(following)
        return batch

    def _commit(self, batch: list[_Waiting]) -> None:
        try:
            self._commit_together(batch)
        except sqlite3.Error as fault:
            self._roll_back()
            if len(batch) == 1:
                batch[0].error = _storage_error(fault)
                return
            # The disk took none of them. Some may still fit, so each gets its own commit.
            for waiting in batch:
                self._commit([waiting])

    def _commit_together(self, batch: list[_Waiting]) -> None:
        """Apply all in one transaction; `sqlite3.Error` means that none was applied."""
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        for waiting in batch:
            connection.execute("SAVEPOINT operation")
            try:
                waiting.run(connection)
            except sqlite3.Error as fault:
                if not connection.in_transaction or len(batch) == 1:
                    raise
                waiting.error = _storage_error(fault)
                connection.execute("ROLLBACK TO operation")
            except Exception as error:  # every caller gets an answer
                waiting.error = _as_ours(error)
                connection.execute("ROLLBACK TO operation")
            connection.execute("RELEASE operation")
        connection.execute("COMMIT")
        self.commits += 1

    def _roll_back(self) -> None:
        # A full disk may have ended the transaction already.
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _tell(self, batch: list[_Waiting]) -> None:
        def resolve() -> None:
            for waiting in batch:
                waiting.resolve()

        # The loop may have ended while the last batch was written.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(resolve)


def _as_ours(error: Exception) -> ParlourError:
    if isinstance(error, ParlourError):
        return error
    ours = InternalError(Code.INTERNAL_BUG, type(error).__name__)
    ours.__cause__ = error
    return ours


def _storage_error(fault: sqlite3.Error) -> StorageError:
    """Tell a full disk from a broken one. What SQLite says stays local."""
    name = getattr(fault, "sqlite_errorname", "") or type(fault).__name__
    code = Code.STORE_FULL if name.startswith("SQLITE_FULL") else Code.STORE_BROKEN
    error = StorageError(code, name)
    error.__cause__ = fault
    return error
