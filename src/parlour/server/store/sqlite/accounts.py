"""Accounts: all that a registration makes, in one transaction."""

from __future__ import annotations

import sqlite3
from typing import Final

from parlour.errors import AccessError, Code, ConflictError
from parlour.server.store.records import AccountChange, AccountRecord, ListChange, NewAccount
from parlour.server.store.sqlite.database import Database
from parlour.server.store.sqlite.devices import append_list, insert_device
from parlour.server.store.sqlite.prekeys import insert_prekeys
from parlour.server.store.sqlite.rows import active_device
from parlour.server.store.sqlite.tokens import insert_token, revoke_all
from parlour.wire.vaults import NewVaults

_COLUMNS: Final = "account_id, name, record, vault, recovery_vault, vault_number"


class SqliteAccounts:
    """Implements `interface.Accounts`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, account: NewAccount, *, now: int) -> None:
        """See `interface.Accounts.register`."""
        await self._database.write(lambda connection: _register(connection, account, now))

    async def by_name(self, name: str) -> AccountRecord | None:
        """See `interface.Accounts.by_name`."""
        return await self._database.read(lambda connection: _find(connection, "name", name))

    async def by_id(self, account_id: bytes) -> AccountRecord | None:
        """See `interface.Accounts.by_id`."""
        return await self._database.read(
            lambda connection: _find(connection, "account_id", account_id)
        )

    async def change(self, account_id: bytes, change: AccountChange, *, now: int) -> ListChange:
        """See `interface.Accounts.change`."""
        return await self._database.write(
            lambda connection: _change(connection, account_id, change, now)
        )

    async def contacts(self, account_id: bytes) -> tuple[bytes, ...]:
        """See `interface.Accounts.contacts`."""
        return await self._database.read(lambda connection: _contacts(connection, account_id))


def _register(connection: sqlite3.Connection, new: NewAccount, now: int) -> None:
    if new.invite is not None:
        _use_invite(connection, new.invite, now)
    taken = connection.execute(
        "SELECT 1 FROM accounts WHERE name = ? OR account_id = ? "
        "UNION ALL SELECT 1 FROM devices WHERE device_id = ?",
        (new.name, new.account_id, new.device.device_id),
    ).fetchone()
    if taken:
        raise ConflictError(Code.ACCOUNT_EXISTS)
    account = connection.execute(
        "INSERT INTO accounts (account_id, name, record, record_signature, vault, "
        "recovery_vault) VALUES (?, ?, ?, ?, ?, ?) RETURNING pk",
        (
            new.account_id,
            new.name,
            new.record,
            new.record_signature,
            new.vault,
            new.recovery_vault,
        ),
    ).fetchone()[0]
    connection.execute(
        "INSERT INTO device_lists (account, number, entry) VALUES (?, 0, ?)",
        (account, new.list_entry),
    )
    device = insert_device(connection, account, new.device)
    insert_prekeys(connection, device, new.prekeys)
    insert_token(connection, device, new.token)


def _change(
    connection: sqlite3.Connection, account_id: bytes, change: AccountChange, now: int
) -> ListChange:
    listed = ListChange(())
    if change.device_list is not None:
        listed = append_list(connection, account_id, change.device_list, now)
    if change.vaults is not None:
        _replace_vaults(connection, account_id, change.vaults)
    if change.record is not None:
        connection.execute(
            "UPDATE accounts SET record = ?, record_signature = ? WHERE account_id = ?",
            (*change.record, account_id),
        )
    if change.end_sessions:
        revoke_all(connection, account_id, change.keep_session, now)
    if change.token is not None:
        device_id, token = change.token
        insert_token(connection, active_device(connection, device_id).pk, token)
    return listed


def _replace_vaults(connection: sqlite3.Connection, account_id: bytes, new: NewVaults) -> None:
    replaced = connection.execute(
        "UPDATE accounts SET vault = ?, recovery_vault = ?, vault_number = ? "
        "WHERE account_id = ? AND vault_number = ?",
        (new.vault, new.recovery_vault, new.number, account_id, new.number - 1),
    )
    if replaced.rowcount != 1:
        raise ConflictError(Code.VAULT_CONFLICT)


def _use_invite(connection: sqlite3.Connection, invite_hash: bytes, now: int) -> None:
    used = connection.execute(
        "UPDATE invites SET uses_left = uses_left - 1 "
        "WHERE hash = ? AND uses_left > 0 AND expires_at > ?",
        (invite_hash, now),
    )
    if used.rowcount != 1:
        raise AccessError(Code.INVITE_INVALID)


def _find(connection: sqlite3.Connection, column: str, value: object) -> AccountRecord | None:
    # `column` is one of two literals above.
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM accounts WHERE {column} = ?",  # noqa: S608
        (value,),
    ).fetchone()
    return AccountRecord(*row) if row else None


def _contacts(connection: sqlite3.Connection, account_id: bytes) -> tuple[bytes, ...]:
    rows = connection.execute(
        "SELECT DISTINCT other.account_id FROM accounts me "
        "JOIN members mine ON mine.account = me.pk "
        "JOIN members theirs ON theirs.stream = mine.stream "
        "JOIN accounts other ON other.pk = theirs.account WHERE me.account_id = ?",
        (account_id,),
    )
    return tuple(row[0] for row in rows)
