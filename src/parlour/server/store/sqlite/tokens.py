"""Tokens, by their hash."""

from __future__ import annotations

import sqlite3
from typing import Final

from parlour.server.store.records import NewToken, TokenRecord
from parlour.server.store.sqlite.database import Database
from parlour.server.store.sqlite.rows import active_device

_COLUMNS: Final = (
    "SELECT hash, account_id, device_id, tokens.created_at, last_used, expires_at, "
    "revoked_at IS NOT NULL, active FROM tokens "
    "JOIN devices ON devices.pk = tokens.device JOIN accounts ON accounts.pk = devices.account "
)


class SqliteTokens:
    """Implements `interface.Tokens`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, device_id: bytes, token: NewToken) -> None:
        """See `interface.Tokens.add`."""
        await self._database.write(
            lambda connection: insert_token(
                connection, active_device(connection, device_id).pk, token
            )
        )

    async def find(self, token_hash: bytes) -> TokenRecord | None:
        """See `interface.Tokens.find`."""
        return await self._database.read(lambda connection: _find(connection, token_hash))

    async def touch(self, token_hash: bytes, *, last_used: int, expires_at: int) -> None:
        """See `interface.Tokens.touch`."""
        await self._database.write(
            lambda connection: _touch(connection, token_hash, last_used, expires_at)
        )

    async def of_account(self, account_id: bytes, *, now: int) -> list[TokenRecord]:
        """See `interface.Tokens.of_account`."""
        return await self._database.read(
            lambda connection: _of_account(connection, account_id, now)
        )

    async def revoke(self, account_id: bytes, token_hash: bytes, *, now: int) -> bool:
        """See `interface.Tokens.revoke`."""
        return await self._database.write(
            lambda connection: _revoke(connection, account_id, token_hash, now)
        )

    async def revoke_all(self, account_id: bytes, *, keep: bytes | None, now: int) -> None:
        """See `interface.Tokens.revoke_all`."""
        await self._database.write(lambda connection: revoke_all(connection, account_id, keep, now))


def insert_token(connection: sqlite3.Connection, device: int, token: NewToken) -> None:
    """Insert a token for a device, by the device's key in the database."""
    connection.execute(
        "INSERT INTO tokens (hash, device, created_at, last_used, expires_at) "
        "VALUES (?, ?, ?, ?, ?)",
        (token.hash, device, token.created_at, token.created_at, token.expires_at),
    )


def _find(connection: sqlite3.Connection, token_hash: bytes) -> TokenRecord | None:
    row = connection.execute(_COLUMNS + "WHERE hash = ?", (token_hash,)).fetchone()
    return _record(row) if row else None


def _of_account(connection: sqlite3.Connection, account_id: bytes, now: int) -> list[TokenRecord]:
    rows = connection.execute(
        _COLUMNS + "WHERE account_id = ? AND revoked_at IS NULL AND expires_at > ? "
        "AND active = 1 ORDER BY tokens.pk",
        (account_id, now),
    )
    return [_record(row) for row in rows]


def _touch(
    connection: sqlite3.Connection, token_hash: bytes, last_used: int, expires_at: int
) -> None:
    connection.execute(
        "UPDATE tokens SET last_used = ?, expires_at = ? WHERE hash = ? AND revoked_at IS NULL",
        (last_used, expires_at, token_hash),
    )


def _revoke(connection: sqlite3.Connection, account_id: bytes, token_hash: bytes, now: int) -> bool:
    revoked = connection.execute(
        "UPDATE tokens SET revoked_at = ? WHERE hash = ? AND revoked_at IS NULL AND device IN "
        "(SELECT devices.pk FROM devices JOIN accounts ON accounts.pk = account "
        "WHERE account_id = ?)",
        (now, token_hash, account_id),
    )
    return revoked.rowcount == 1


def revoke_all(
    connection: sqlite3.Connection, account_id: bytes, keep: bytes | None, now: int
) -> None:
    """End all tokens of an account but one."""
    connection.execute(
        "UPDATE tokens SET revoked_at = ? WHERE revoked_at IS NULL AND hash IS NOT ? "
        "AND device IN (SELECT devices.pk FROM devices "
        "JOIN accounts ON accounts.pk = account WHERE account_id = ?)",
        (now, keep, account_id),
    )


def _record(row: tuple[bytes, bytes, bytes, int, int, int, int, int]) -> TokenRecord:
    return TokenRecord(*row[:6], revoked=bool(row[6]), active=bool(row[7]))
