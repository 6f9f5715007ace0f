"""Profiles: ciphertext, for who shares a stream with its owner."""

from __future__ import annotations

import sqlite3

from parlour.errors import Code, NotFoundError
from parlour.server.store.sqlite.database import Database
from parlour.server.store.sqlite.rows import account_pk


class SqliteProfiles:
    """Implements `interface.Profiles`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def replace(self, account_id: bytes, profile: bytes) -> None:
        """See `interface.Profiles.replace`."""
        await self._database.write(lambda connection: _replace(connection, account_id, profile))

    async def read(self, reader: bytes, account_id: bytes) -> bytes:
        """See `interface.Profiles.read`."""
        return await self._database.read(lambda connection: _read(connection, reader, account_id))


def _replace(connection: sqlite3.Connection, account_id: bytes, profile: bytes) -> None:
    account = account_pk(connection, account_id)
    connection.execute("DELETE FROM profiles WHERE account = ?", (account,))
    if profile:
        connection.execute("INSERT INTO profiles (account, data) VALUES (?, ?)", (account, profile))


def _read(connection: sqlite3.Connection, reader: bytes, account_id: bytes) -> bytes:
    # Everybody shares a stream with themselves: the inbox of a device.
    row = connection.execute(
        "SELECT data FROM profiles JOIN accounts owner ON owner.pk = profiles.account "
        "JOIN members theirs ON theirs.account = owner.pk "
        "JOIN members mine ON mine.stream = theirs.stream "
        "JOIN accounts reader ON reader.pk = mine.account "
        "WHERE owner.account_id = ? AND reader.account_id = ? LIMIT 1",
        (account_id, reader),
    ).fetchone()
    if row is None:
        raise NotFoundError(Code.PROFILE_UNKNOWN)
    return bytes(row[0])
