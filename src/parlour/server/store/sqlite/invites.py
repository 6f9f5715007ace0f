"""Invites, by the hash of their secret."""

from __future__ import annotations

import sqlite3

from parlour.server.store.sqlite.database import Database
from parlour.server.store.sqlite.rows import account_pk


class SqliteInvites:
    """Implements `interface.Invites`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, invite_hash: bytes, *, uses: int, expires_at: int, issuer: bytes | None
    ) -> None:
        """See `interface.Invites.add`."""
        await self._database.write(
            lambda connection: insert_invite(connection, invite_hash, uses, expires_at, issuer)
        )

    async def usable(self, invite_hash: bytes, *, now: int) -> bool:
        """See `interface.Invites.usable`."""
        return await self._database.read(lambda connection: _usable(connection, invite_hash, now))


def insert_invite(
    connection: sqlite3.Connection,
    invite_hash: bytes,
    uses: int,
    expires_at: int,
    issuer: bytes | None,
) -> None:
    """Insert an invite; also for `parlour admin`, which opens the database itself."""
    connection.execute(
        "INSERT INTO invites (hash, uses_left, expires_at, issuer) VALUES (?, ?, ?, ?)",
        (
            invite_hash,
            uses,
            expires_at,
            None if issuer is None else account_pk(connection, issuer),
        ),
    )


def _usable(connection: sqlite3.Connection, invite_hash: bytes, now: int) -> bool:
    row = connection.execute(
        "SELECT 1 FROM invites WHERE hash = ? AND uses_left > 0 AND expires_at > ?",
        (invite_hash, now),
    ).fetchone()
    return row is not None
