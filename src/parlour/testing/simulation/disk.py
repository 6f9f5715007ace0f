"""Databases in memory, used by one thread: the event loop's.

What is substituted are threads and files alone. Statements, transactions, savepoints and errors are
SQLite's, and the code that runs them is the product's.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar, cast

import sqlcipher3

from parlour.client.store import LocalStore
from parlour.client.store.schema import migrate as migrate_local
from parlour.client.workers import Worker
from parlour.errors import Code, StorageError
from parlour.server.store.sqlite.database import Database, connect
from parlour.server.store.sqlite.lock import FileLock
from parlour.server.store.sqlite.readers import Readers, _as_ours, _read
from parlour.server.store.sqlite.writer import Operation, Writer, _Waiting
from parlour.testing.simulation.process import Process

P = ParamSpec("P")
T = TypeVar("T")

MEMORY: Final = Path(":memory:")
# Pages that a database may have when it is not full: SQLite's own bound.
_UNBOUNDED: Final = 4294967294


class InlineWorker(Worker):
    """In place of the local store's thread. Each call is two steps of the process."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._closed = False

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call it at once."""
        self._process.step()
        try:
            result = function(*args, **kwargs)
        except StorageError as fault:
            self._process.effects["full"] += fault.code is Code.STORE_FULL
            raise
        self._process.step()
        return result

    def close(self) -> None:
        """There is no thread to end."""
        self._closed = True


class InlineWriter(Writer):
    """In place of the server's writing thread. What is submitted at one moment is one commit."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: sqlite3.Connection,
        process: Process,
        delay: Callable[[], float],
    ) -> None:
        self._loop = loop
        self._connection = connection
        self._process = process
        self._delay = delay
        self._closed = False
        self.commits = 0
        self.on_commit: Callable[[], None] = lambda: None
        self._batch: list[_Waiting] = []

    def submit(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Commit it a moment later, with what else comes meanwhile."""
        future: asyncio.Future[T] = self._loop.create_future()
        if not self._batch:
            self._loop.call_later(self._delay(), self._flush)
        self._batch.append(_Waiting(operation, cast(Any, future)))
        return future

    def _flush(self) -> None:
        batch, self._batch = self._batch, []
        if not self._process.survives():
            return
        self._commit(batch)
        refused = [waiting for waiting in batch if isinstance(waiting.error, StorageError)]
        self._process.effects["disk_full"] += len(refused)
        self.on_commit()
        if self._process.survives():
            for waiting in batch:
                waiting.resolve()

    async def close(self) -> None:
        """There is no thread to end."""


class InlineReaders(Readers):
    """In place of the server's reading threads. `stale` is an older state to read from."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connection: sqlite3.Connection, process: Process
    ) -> None:
        self._loop = loop
        self._connection = connection
        self._process = process
        self.stale: sqlite3.Connection | None = None

    def submit(self, operation: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Read at once."""
        future: asyncio.Future[T] = self._loop.create_future()
        try:
            result = _read(self.stale or self._connection, operation)
        except Exception as error:  # every caller gets an answer
            future.set_exception(_as_ours(error))
        else:
            self._process.effects["stale"] += self.stale is not None and self._is_old(
                operation, result
            )
            future.set_result(result)
        return future

    def _is_old(self, operation: Callable[[sqlite3.Connection], T], result: T) -> bool:
        """Whether the present state has something else."""
        try:
            return bool(result != _read(self._connection, operation))
        except Exception:  # what it is has been answered: this is for counting alone
            return True

    async def close(self) -> None:
        """There are no threads to end."""


class InlineDatabase(Database):
    """A database of one connection."""

    def __init__(self, writer: InlineWriter, readers: InlineReaders) -> None:
        self.writer: InlineWriter = writer
        self.readers: InlineReaders = readers


class NoLock(FileLock):
    """In place of the lock on a folder: there is no folder."""

    def __init__(self) -> None:
        self._descriptor = -1


def server_database(image: sqlite3.Connection | None = None) -> sqlite3.Connection:
    """A database of the server, in memory: a copy of `image`, if there is one."""
    connection = connect(MEMORY)
    if image is not None:
        image.backup(connection)
    return connection


class LocalDisk:
    """A device's disk: it outlives the process."""

    def __init__(self) -> None:
        # A key would cost time in each commit; pages are encrypted below all that is tried here.
        self.connection = sqlcipher3.connect(":memory:", isolation_level=None)
        self.connection.execute("PRAGMA foreign_keys = ON")
        migrate_local(self.connection)

    def open(self, process: Process) -> LocalStore:
        """The product's store on this disk."""
        return LocalStore(InlineWorker(process), self.connection)

    def copy(self) -> LocalDisk:
        """The same once more, as somebody who copies a home gets it."""
        other = LocalDisk()
        self.connection.backup(other.connection)
        return other

    def count(self, query: str) -> int:
        """A number that a query gives."""
        return int(self.connection.execute(query).fetchone()[0])


def fill(connection: Any, *, full: bool) -> None:
    """Make a disk full, as far as this database is concerned, or make room again."""
    pages = connection.execute("PRAGMA page_count").fetchone()[0] if full else _UNBOUNDED
    connection.execute(f"PRAGMA max_page_count = {pages:d}")
