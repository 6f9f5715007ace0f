"""Threads that read, each with a connection of its own.

A read sees one state of the database from its first statement to its last, and never waits for
the writer, because the database is in WAL mode.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final, TypeVar

from parlour.errors import Code, InternalError, ParlourError, StorageError

T = TypeVar("T")

# Reads are short; a second one lets a page of history pass beside a look-up.
READERS: Final = 2


class Readers:
    """The threads. Made on the event loop that their futures belong to."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Callable[[sqlite3.Connection], None] | None] = SimpleQueue()
        self._closed = False
        connections = [connect() for _ in range(READERS)]
        self._threads = [
            threading.Thread(target=self._run, args=(each,), name="parlour-reader", daemon=True)
            for each in connections
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, operation: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Queue a read; raises `StorageError` (``store.broken``) through the future."""
        future: asyncio.Future[T] = self._loop.create_future()
        if self._closed:
            future.set_exception(StorageError(Code.STORE_BROKEN, "the store is closed"))
            return future
        self._queue.put(lambda connection: self._answer(connection, operation, future))
        return future

    async def close(self) -> None:
        """Finish what was submitted, then end the threads."""
        if not self._closed:
            self._closed = True
            for _ in self._threads:
                self._queue.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _run(self, connection: sqlite3.Connection) -> None:
        try:
            while (answer := self._queue.get()) is not None:
                answer(connection)
        finally:
            connection.close()

    def _answer(
        self,
        connection: sqlite3.Connection,
        operation: Callable[[sqlite3.Connection], T],
        future: asyncio.Future[T],
    ) -> None:
        try:
            result = _read(connection, operation)
        except Exception as error:  # every caller gets an answer
            self._tell(_fail, future, _as_ours(error))
        else:
            self._tell(_succeed, future, result)

    def _tell(self, resolve: Callable[..., None], *arguments: object) -> None:
        # The loop may have ended while the last read went on.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(resolve, *arguments)


def _read(connection: sqlite3.Connection, operation: Callable[[sqlite3.Connection], T]) -> T:
    connection.execute("BEGIN")
    try:
        return operation(connection)
    finally:
        connection.execute("ROLLBACK")


def _succeed(future: asyncio.Future[object], result: object) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[object], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _as_ours(error: Exception) -> ParlourError:
    if isinstance(error, ParlourError):
        return error
    kind: type[ParlourError] = StorageError if isinstance(error, sqlite3.Error) else InternalError
    code = Code.STORE_BROKEN if kind is StorageError else Code.INTERNAL_BUG
    ours = kind(code, type(error).__name__)
    ours.__cause__ = error
    return ours
