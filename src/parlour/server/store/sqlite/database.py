"""Open a SQLite database the one way that all of its users need."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from parlour.server.store.sqlite.migrations import migrate
from parlour.server.store.sqlite.readers import Readers
from parlour.server.store.sqlite.writer import Writer

T = TypeVar("T")

# How long to wait for another process that writes, such as `parlour admin`.
BUSY_SECONDS: Final = 5.0
_CACHE_KIB: Final = 16 << 10
# The log is cut back to this after a burst.
_WAL_LIMIT: Final = 64 << 20


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open a connection: WAL, synced at each commit, foreign keys checked.

    Every transaction is begun and ended by us, so autocommit is the driver's mode.
    """
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    # Overwrites what was deleted where that costs no further write.
    connection.execute("PRAGMA secure_delete = FAST")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB:d}")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT:d}")
    if read_only:
        connection.execute("PRAGMA query_only = ON")
    return connection


def prepare(path: Path) -> None:
    """Make the file, for its owner alone, and bring its schema up to date."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = connect(path)
    try:
        migrate(connection)
    finally:
        connection.close()


class Database:
    """One writer and some readers of one file."""

    def __init__(self, path: Path) -> None:
        prepare(path)
        self.writer = Writer(lambda: connect(path))
        self.readers = Readers(lambda: connect(path, read_only=True))

    async def write(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run `operation` in the writer and return when its commit is on disk."""
        return await self.writer.submit(operation)

    async def read(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run `operation` on one state of the database."""
        return await self.readers.submit(operation)

    async def close(self) -> None:
        """Finish what was submitted and close; the log is folded into the file."""
        await self.readers.close()
        await self.writer.close()
