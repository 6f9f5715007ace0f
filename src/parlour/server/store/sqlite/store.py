"""The store as a whole: its lock, its name and its topics."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from parlour.errors import Code, StorageError, UsageError
from parlour.primitives.random import Random, system_random
from parlour.server.store.sqlite.accounts import SqliteAccounts
from parlour.server.store.sqlite.database import Database
from parlour.server.store.sqlite.devices import SqliteDevices
from parlour.server.store.sqlite.groups import SqliteGroups
from parlour.server.store.sqlite.invites import SqliteInvites
from parlour.server.store.sqlite.key_packages import SqliteKeyPackages
from parlour.server.store.sqlite.lock import FileLock
from parlour.server.store.sqlite.prekeys import SqlitePrekeys
from parlour.server.store.sqlite.profiles import SqliteProfiles
from parlour.server.store.sqlite.streams import SqliteStreams
from parlour.server.store.sqlite.tokens import SqliteTokens
from parlour.wire.ids import ID_SIZE

DATABASE_FILE: Final = "parlour.db"
LOCK_FILE: Final = "parlour.lock"


class SqliteStore:
    """Implements `interface.Store`."""

    def __init__(self, database: Database, lock: FileLock, name: str, incarnation: bytes) -> None:
        self.name = name
        self.incarnation = incarnation
        self.database = database
        self._lock = lock
        self.accounts = SqliteAccounts(database)
        self.devices = SqliteDevices(database)
        self.tokens = SqliteTokens(database)
        self.invites = SqliteInvites(database)
        self.profiles = SqliteProfiles(database)
        self.prekeys = SqlitePrekeys(database)
        self.key_packages = SqliteKeyPackages(database)
        self.streams = SqliteStreams(database)
        self.groups = SqliteGroups(database)

    @classmethod
    async def open(cls, folder: Path, *, name: str, random: Random = system_random) -> SqliteStore:
        """Open the store in `folder`, or make it for a server of that name.

        Raises ``store.locked`` when another server uses it, ``usage.config`` when it was made
        under another name, which accounts are bound to, and ``store.broken``.
        """
        lock = FileLock(folder / LOCK_FILE)
        try:
            database = Database(folder / DATABASE_FILE)
        except sqlite3.Error as error:
            lock.release()
            raise StorageError(Code.STORE_BROKEN, type(error).__name__) from error
        except BaseException:
            lock.release()
            raise
        stored_name, incarnation = await database.write(
            lambda connection: _identify(connection, name, random)
        )
        store = cls(database, lock, stored_name, incarnation)
        if stored_name != name:
            await store.close()
            raise UsageError(Code.USAGE_CONFIG, f"name: this server's is {stored_name}")
        return store

    async def set_port(self, port: int) -> None:
        """See `interface.Store.set_port`."""
        await self.database.write(
            lambda connection: connection.execute(
                "INSERT OR REPLACE INTO meta (key, value) VALUES ('port', ?)", (port,)
            )
        )

    async def close(self) -> None:
        """See `interface.Store.close`."""
        await self.database.close()
        self._lock.release()


def _identify(connection: sqlite3.Connection, name: str, random: Random) -> tuple[str, bytes]:
    """Read the server's name and incarnation, writing them the first time."""
    connection.execute("INSERT OR IGNORE INTO meta (key, value) VALUES ('name', ?)", (name,))
    connection.execute(
        "INSERT OR IGNORE INTO meta (key, value) VALUES ('incarnation', ?)", (random(ID_SIZE),)
    )
    meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    return str(meta["name"]), bytes(meta["incarnation"])
