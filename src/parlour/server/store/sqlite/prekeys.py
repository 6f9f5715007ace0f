"""The prekey directory. Taking deletes in the writer, so a one-time prekey is given out once."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from parlour.errors import Code, LimitError
from parlour.server.store.sqlite.database import Database
from parlour.server.store.sqlite.rows import active_device
from parlour.wire.limits import MAX_PREKEYS_STORED
from parlour.wire.prekeys import Bundle, Prekey, PrekeyCounts, PrekeyKind

# Of these a device has one of each: the newest.
_REPLACED: Final[frozenset[PrekeyKind]] = frozenset({"signed", "kem_last_resort"})


class SqlitePrekeys:
    """Implements `interface.Prekeys`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def publish(self, device_id: bytes, prekeys: Sequence[Prekey]) -> PrekeyCounts:
        """See `interface.Prekeys.publish`."""
        return await self._database.write(
            lambda connection: _publish(connection, device_id, prekeys)
        )

    async def counts(self, device_id: bytes) -> PrekeyCounts:
        """See `interface.Prekeys.counts`."""
        return await self._database.read(
            lambda connection: _counts(connection, active_device(connection, device_id).pk)
        )

    async def take(
        self, account_id: bytes, device_ids: Sequence[bytes], *, now: int
    ) -> list[tuple[Bundle, PrekeyCounts]]:
        """See `interface.Prekeys.take`."""
        return await self._database.write(
            lambda connection: _take(connection, account_id, device_ids, now // 1000)
        )


def insert_prekeys(
    connection: sqlite3.Connection, device: int, prekeys: Sequence[Prekey]
) -> PrekeyCounts:
    """Insert prekeys of a device; one whose kind and id are known is left as it is."""
    for prekey in prekeys:
        if prekey.kind in _REPLACED:
            connection.execute(
                "DELETE FROM prekeys WHERE device = ? AND kind = ?", (device, prekey.kind)
            )
        connection.execute(
            "INSERT OR IGNORE INTO prekeys (device, kind, key_id, expires_at, data) "
            "VALUES (?, ?, ?, ?, ?)",
            (device, prekey.kind, prekey.key_id, prekey.expires_at, prekey.data),
        )
    counts = _counts(connection, device)
    if max(counts.one_time, counts.one_time_kem) > MAX_PREKEYS_STORED:
        raise LimitError(Code.LIMIT_COUNT, "one-time prekeys")
    return counts


def _publish(
    connection: sqlite3.Connection, device_id: bytes, prekeys: Sequence[Prekey]
) -> PrekeyCounts:
    return insert_prekeys(connection, active_device(connection, device_id).pk, prekeys)


def _counts(connection: sqlite3.Connection, device: int) -> PrekeyCounts:
    counted = dict(
        connection.execute(
            "SELECT kind, count(*) FROM prekeys WHERE device = ? "
            "AND kind IN ('one_time', 'kem_one_time') GROUP BY kind",
            (device,),
        ).fetchall()
    )
    return PrekeyCounts(counted.get("one_time", 0), counted.get("kem_one_time", 0))


def _take(
    connection: sqlite3.Connection, account_id: bytes, device_ids: Sequence[bytes], now: int
) -> list[tuple[Bundle, PrekeyCounts]]:
    taken = []
    for device_id in dict.fromkeys(device_ids):
        row = connection.execute(
            "SELECT devices.pk FROM devices JOIN accounts ON accounts.pk = account "
            "WHERE account_id = ? AND device_id = ? AND active = 1",
            (account_id, device_id),
        ).fetchone()
        signed = _current(connection, row[0], "signed") if row else None
        if signed is None:
            continue
        bundle = Bundle(
            device_id,
            signed,
            _take_one(connection, row[0], "one_time", now),
            _take_one(connection, row[0], "kem_one_time", now)
            or _current(connection, row[0], "kem_last_resort"),
        )
        taken.append((bundle, _counts(connection, row[0])))
    return taken


def _current(connection: sqlite3.Connection, device: int, kind: PrekeyKind) -> Prekey | None:
    """The signed or last-resort prekey; whoever fetches it judges its expiry."""
    row = connection.execute(
        "SELECT kind, key_id, expires_at, data FROM prekeys WHERE device = ? AND kind = ?",
        (device, kind),
    ).fetchone()
    return Prekey(*row) if row else None


def _take_one(
    connection: sqlite3.Connection, device: int, kind: PrekeyKind, now: int
) -> Prekey | None:
    row = connection.execute(
        "DELETE FROM prekeys WHERE pk = (SELECT pk FROM prekeys WHERE device = ? AND kind = ? "
        "AND expires_at > ? ORDER BY pk LIMIT 1) RETURNING kind, key_id, expires_at, data",
        (device, kind, now),
    ).fetchone()
    return Prekey(*row) if row else None
