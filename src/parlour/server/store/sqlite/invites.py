"""Invites, by the hash of their secret."""

from __future__ import annotations

import sqlite3

from parlour.errors import Code, LimitError, UsageError
from parlour.server.store.records import InviteRecord
from parlour.server.store.sqlite.database import Database
from parlour.server.store.sqlite.rows import account_pk
from parlour.wire.limits import MAX_INVITES


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

    async def of_account(self, issuer: bytes, *, now: int) -> list[InviteRecord]:
        """See `interface.Invites.of_account`."""
        return await self._database.read(lambda connection: _of_account(connection, issuer, now))

    async def revoke(self, issuer: bytes, invite_hash: bytes) -> bool:
        """See `interface.Invites.revoke`."""
        return await self._database.write(
            lambda connection: _revoke(connection, issuer, invite_hash)
        )


def insert_invite(
    connection: sqlite3.Connection,
    invite_hash: bytes,
    uses: int,
    expires_at: int,
    issuer: bytes | None,
) -> None:
    """Insert an invite; also for `parlour admin`, which opens the database itself."""
    account = None if issuer is None else account_pk(connection, issuer)
    inserted = connection.execute(
        "INSERT OR IGNORE INTO invites (hash, uses_left, expires_at, issuer) VALUES (?, ?, ?, ?)",
        (invite_hash, uses, expires_at, account),
    )
    if inserted.rowcount != 1:
        raise UsageError(Code.USAGE_INVALID, "there is such an invite")
    (count,) = connection.execute(
        "SELECT count(*) FROM invites WHERE issuer = ? AND uses_left > 0", (account,)
    ).fetchone()
    if count > MAX_INVITES:
        raise LimitError(Code.LIMIT_COUNT, "invites of an account")


def _of_account(connection: sqlite3.Connection, issuer: bytes, now: int) -> list[InviteRecord]:
    rows = connection.execute(
        "SELECT hash, uses_left, expires_at FROM invites WHERE issuer = ? "
        "AND uses_left > 0 AND expires_at > ? ORDER BY pk",
        (account_pk(connection, issuer), now),
    )
    return [InviteRecord(*row) for row in rows]


def _revoke(connection: sqlite3.Connection, issuer: bytes, invite_hash: bytes) -> bool:
    deleted = connection.execute(
        "DELETE FROM invites WHERE hash = ? AND issuer = ?",
        (invite_hash, account_pk(connection, issuer)),
    )
    return deleted.rowcount == 1


def _usable(connection: sqlite3.Connection, invite_hash: bytes, now: int) -> bool:
    row = connection.execute(
        "SELECT 1 FROM invites WHERE hash = ? AND uses_left > 0 AND expires_at > ?",
        (invite_hash, now),
    ).fetchone()
    return row is not None
