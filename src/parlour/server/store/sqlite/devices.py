"""Devices, their lists and their tickets."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from parlour.errors import Code, ConflictError, SecurityStop
from parlour.server.store.records import (
    DeviceRecord,
    ListChange,
    ListPage,
    ListTip,
    NewDevice,
    NewList,
    Retention,
)
from parlour.server.store.sqlite.database import Database
from parlour.server.store.sqlite.prekeys import insert_prekeys
from parlour.server.store.sqlite.rows import account_pk, active_device
from parlour.wire.groups import KnownList

# Id, name and MessagePack's heads around the entries of one list.
_PAGE_OVERHEAD: Final = 160


class SqliteDevices:
    """Implements `interface.Devices`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, device_id: bytes) -> DeviceRecord | None:
        """See `interface.Devices.find`."""
        return await self._database.read(lambda connection: _find(connection, device_id))

    async def list_page(
        self, account_id: bytes, first: int, limit: int
    ) -> tuple[list[bytes], bool]:
        """See `interface.Devices.list_page`."""
        return await self._database.read(
            lambda connection: _list_page(connection, account_id, first, limit)
        )

    async def list_head(self, account_id: bytes) -> bytes | None:
        """See `interface.Devices.list_head`."""
        return await self._database.read(lambda connection: _list_head(connection, account_id))

    async def list_pages(
        self, wanted: Sequence[KnownList], limit: int, max_bytes: int
    ) -> list[ListPage]:
        """See `interface.Devices.list_pages`."""
        return await self._database.read(
            lambda connection: _list_pages(connection, wanted, limit, max_bytes)
        )

    async def list_heads(self, account_ids: Sequence[bytes]) -> list[ListTip]:
        """See `interface.Devices.list_heads`."""
        return await self._database.read(
            lambda connection: _list_heads(connection, dict.fromkeys(account_ids))
        )

    async def append_list(
        self,
        account_id: bytes,
        number: int,
        entry: bytes,
        devices: Sequence[NewDevice],
        *,
        now: int,
    ) -> ListChange:
        """See `interface.Devices.append_list`."""
        return await self._database.write(
            lambda connection: append_list(
                connection, account_id, NewList(number, entry, devices), now
            )
        )

    async def exchange_ticket(
        self, device_id: bytes, ticket: bytes | None, next_ticket: bytes
    ) -> None:
        """See `interface.Devices.exchange_ticket`."""
        await self._database.write(
            lambda connection: _exchange_ticket(connection, device_id, ticket, next_ticket)
        )


def insert_device(connection: sqlite3.Connection, account: int, device: NewDevice) -> int:
    """Insert an active device with its inbox and return its key in the database."""
    pk = connection.execute(
        "INSERT INTO devices (device_id, account, signature_key, active) "
        "VALUES (?, ?, ?, 1) RETURNING pk",
        (device.device_id, account, device.signature_key),
    ).fetchone()[0]
    retention = Retention.queue()
    stream = connection.execute(
        "INSERT INTO streams (stream_id, kind, genesis, retention, retention_days, epoch, "
        "last_seq, device) VALUES (?, 'inbox', x'', ?, ?, 0, 0, ?) RETURNING pk",
        (device.inbox, retention.rule.value, retention.days, pk),
    ).fetchone()[0]
    connection.execute("INSERT INTO members (stream, account) VALUES (?, ?)", (stream, account))
    return int(pk)


def _find(connection: sqlite3.Connection, device_id: bytes) -> DeviceRecord | None:
    row = connection.execute(
        "SELECT devices.device_id, account_id, signature_key, active, stream_id FROM devices "
        "JOIN accounts ON accounts.pk = devices.account "
        "JOIN streams ON streams.device = devices.pk WHERE devices.device_id = ?",
        (device_id,),
    ).fetchone()
    if row is None:
        return None
    return DeviceRecord(row[0], row[1], row[2], bool(row[3]), row[4])


def _list_page(
    connection: sqlite3.Connection, account_id: bytes, first: int, limit: int
) -> tuple[list[bytes], bool]:
    rows = connection.execute(
        "SELECT entry FROM device_lists JOIN accounts ON accounts.pk = account "
        "WHERE account_id = ? AND number >= ? ORDER BY number LIMIT ?",
        (account_id, first, limit + 1),
    ).fetchall()
    return [row[0] for row in rows[:limit]], len(rows) > limit


def _list_head(connection: sqlite3.Connection, account_id: bytes) -> bytes | None:
    row = connection.execute(
        "SELECT entry FROM device_lists JOIN accounts ON accounts.pk = account "
        "WHERE account_id = ? ORDER BY number DESC LIMIT 1",
        (account_id,),
    ).fetchone()
    return row[0] if row else None


def _list_pages(
    connection: sqlite3.Connection, wanted: Sequence[KnownList], limit: int, max_bytes: int
) -> list[ListPage]:
    pages: list[ListPage] = []
    for known in wanted:
        account = connection.execute(
            "SELECT name FROM accounts WHERE account_id = ?", (known.account_id,)
        ).fetchone()
        page = ListPage(known.account_id, None, [], False)
        if account is not None:
            entries, more = _list_page(connection, known.account_id, known.first, limit)
            page = ListPage(known.account_id, account[0], entries, more)
        max_bytes -= _PAGE_OVERHEAD + sum(map(len, page.entries))
        if max_bytes < 0 and pages:
            break
        pages.append(page)
    return pages


def _list_heads(connection: sqlite3.Connection, account_ids: Iterable[bytes]) -> list[ListTip]:
    tips = []
    for account_id in account_ids:
        row = connection.execute(
            "SELECT number, entry FROM device_lists JOIN accounts ON accounts.pk = account "
            "WHERE account_id = ? ORDER BY number DESC LIMIT 1",
            (account_id,),
        ).fetchone()
        if row is not None:
            tips.append(ListTip(account_id, row[0], row[1]))
    return tips


def append_list(
    connection: sqlite3.Connection, account_id: bytes, new: NewList, now: int
) -> ListChange:
    """See `interface.Devices.append_list`; prekeys are stored for devices that are added."""
    account = account_pk(connection, account_id)
    (last,) = connection.execute(
        "SELECT max(number) FROM device_lists WHERE account = ?", (account,)
    ).fetchone()
    if new.number != last + 1:
        raise ConflictError(Code.DEVICE_LIST_CONFLICT)
    connection.execute(
        "INSERT INTO device_lists (account, number, entry) VALUES (?, ?, ?)",
        (account, new.number, new.entry),
    )
    listed = {device.device_id for device in new.devices}
    removed = [
        (pk, device_id)
        for pk, device_id in connection.execute(
            "SELECT pk, device_id FROM devices WHERE account = ? AND active = 1", (account,)
        ).fetchall()
        if device_id not in listed
    ]
    for pk, _ in removed:
        _deactivate(connection, pk, now)
    for device in new.devices:
        _activate(connection, account, device)
    for device_id, prekeys in new.prekeys.items():
        insert_prekeys(connection, active_device(connection, device_id).pk, prekeys)
    return ListChange(tuple(device_id for _, device_id in removed))


def _activate(connection: sqlite3.Connection, account: int, device: NewDevice) -> None:
    row = connection.execute(
        "SELECT account FROM devices WHERE device_id = ?", (device.device_id,)
    ).fetchone()
    if row is None:
        insert_device(connection, account, device)
    elif row[0] != account:
        raise SecurityStop(Code.DEVICE_LIST_INVALID, "a device of another account")
    else:
        connection.execute("UPDATE devices SET active = 1 WHERE device_id = ?", (device.device_id,))


def _deactivate(connection: sqlite3.Connection, device: int, now: int) -> None:
    """Take everything from a device but its row, which its entries still name."""
    connection.execute("UPDATE devices SET active = 0, ticket = NULL WHERE pk = ?", (device,))
    connection.execute(
        "UPDATE tokens SET revoked_at = ? WHERE device = ? AND revoked_at IS NULL", (now, device)
    )
    connection.execute("DELETE FROM prekeys WHERE device = ?", (device,))
    connection.execute("DELETE FROM key_packages WHERE device = ?", (device,))
    connection.execute("DELETE FROM cursors WHERE device = ?", (device,))
    connection.execute("DELETE FROM parts WHERE device = ?", (device,))
    connection.execute(
        "UPDATE entries SET body = NULL, key_id = x'', trimmed_at = ? WHERE body IS NOT NULL "
        "AND stream = (SELECT pk FROM streams WHERE device = ?)",
        (now, device),
    )


def _exchange_ticket(
    connection: sqlite3.Connection, device_id: bytes, ticket: bytes | None, next_ticket: bytes
) -> None:
    device = active_device(connection, device_id)
    (stored,) = connection.execute(
        "SELECT ticket FROM devices WHERE pk = ?", (device.pk,)
    ).fetchone()
    if stored == next_ticket:
        return
    # A backup that was restored has forgotten the tickets: whoever comes first is believed.
    if stored not in (None, ticket):
        raise SecurityStop(Code.DEVICE_COPIED)
    connection.execute("UPDATE devices SET ticket = ? WHERE pk = ?", (next_ticket, device.pk))
