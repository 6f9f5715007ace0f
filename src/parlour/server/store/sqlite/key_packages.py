"""Key packages. Taking deletes in the writer, so one that is no last resort is given out once."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from typing import Final

from parlour.errors import Code, LimitError
from parlour.primitives.hashes import sha256
from parlour.server.store.records import TakenKeyPackage, TakenKeyPackages
from parlour.server.store.sqlite.database import Database
from parlour.server.store.sqlite.rows import active_device
from parlour.wire.groups import FoundKeyPackage, KeyPackageCount, KeyPackageUpload
from parlour.wire.limits import MAX_KEY_PACKAGES_STORED, MAX_PAGE_BYTES

# Of how many suites one device may have key packages: all that there are, and some to come.
MAX_SUITES: Final = 16
# MessagePack's heads, id and mark around the data.
_OVERHEAD: Final = 32

_ONE_TIME: Final = (
    "DELETE FROM key_packages WHERE pk = (SELECT pk FROM key_packages WHERE device = ? "
    "AND suite = ? AND last_resort = 0 AND expires_at > ? ORDER BY pk LIMIT 1) RETURNING data"
)
_LAST_RESORT: Final = (
    "UPDATE key_packages SET used = 1 WHERE device = ? AND suite = ? AND last_resort = 1 "
    "AND expires_at > ? RETURNING data"
)


class SqliteKeyPackages:
    """Implements `interface.KeyPackages`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def publish(
        self, device_id: bytes, packages: Sequence[KeyPackageUpload], *, now: int
    ) -> list[KeyPackageCount]:
        """See `interface.KeyPackages.publish`."""
        return await self._database.write(
            lambda connection: _publish(connection, device_id, packages, now // 1000)
        )

    async def counts(self, device_id: bytes, *, now: int) -> list[KeyPackageCount]:
        """See `interface.KeyPackages.counts`."""
        return await self._database.read(
            lambda connection: _counts(
                connection, active_device(connection, device_id).pk, now // 1000
            )
        )

    async def take(
        self,
        suite: int,
        device_ids: Sequence[bytes],
        *,
        spared: Collection[bytes],
        low: int,
        now: int,
    ) -> TakenKeyPackages:
        """See `interface.KeyPackages.take`."""
        wanted, few = list(dict.fromkeys(device_ids)), frozenset(spared)
        return await self._database.write(
            lambda connection: _take(connection, suite, wanted, few, low, now // 1000)
        )


def _publish(
    connection: sqlite3.Connection, device_id: bytes, packages: Sequence[KeyPackageUpload], now: int
) -> list[KeyPackageCount]:
    device = active_device(connection, device_id).pk
    for package in packages:
        if package.last_resort:
            connection.execute(
                "DELETE FROM key_packages WHERE device = ? AND suite = ? AND last_resort = 1 "
                "AND hash != ?",
                (device, package.suite, sha256(package.data)),
            )
        connection.execute(
            "INSERT OR IGNORE INTO key_packages (device, suite, last_resort, used, expires_at, "
            "hash, data) VALUES (?, ?, ?, 0, ?, ?, ?)",
            (
                device,
                package.suite,
                package.last_resort,
                package.expires_at,
                sha256(package.data),
                package.data,
            ),
        )
    _check_room(connection, device)
    return _counts(connection, device, now)


def _check_room(connection: sqlite3.Connection, device: int) -> None:
    stored = connection.execute(
        "SELECT sum(last_resort = 0) FROM key_packages WHERE device = ? GROUP BY suite", (device,)
    ).fetchall()
    if len(stored) > MAX_SUITES:
        raise LimitError(Code.LIMIT_COUNT, "suites of key packages")
    if any(count > MAX_KEY_PACKAGES_STORED for (count,) in stored):
        raise LimitError(Code.LIMIT_COUNT, "key packages")


def _counts(connection: sqlite3.Connection, device: int, now: int) -> list[KeyPackageCount]:
    rows = connection.execute(
        "SELECT suite, sum(last_resort = 0), max(last_resort), max(used) FROM key_packages "
        "WHERE device = ? AND expires_at > ? GROUP BY suite ORDER BY suite",
        (device, now),
    )
    return [
        KeyPackageCount(suite, left, bool(last_resort), bool(used))
        for suite, left, last_resort, used in rows
    ]


def _take(
    connection: sqlite3.Connection,
    suite: int,
    device_ids: Sequence[bytes],
    spared: frozenset[bytes],
    low: int,
    now: int,
) -> TakenKeyPackages:
    taken: list[TakenKeyPackage] = []
    room = MAX_PAGE_BYTES
    for asked, device_id in enumerate(device_ids):
        if room <= 0:
            return TakenKeyPackages(taken, asked)
        found = _take_one(connection, suite, device_id, device_id in spared, low, now)
        if found is not None:
            taken.append(found)
            room -= len(found.package.data) + _OVERHEAD
    return TakenKeyPackages(taken, len(device_ids))


def _take_one(
    connection: sqlite3.Connection, suite: int, device_id: bytes, spare: bool, low: int, now: int
) -> TakenKeyPackage | None:
    device = connection.execute(
        "SELECT devices.pk, account_id FROM devices JOIN accounts ON accounts.pk = account "
        "WHERE device_id = ? AND active = 1",
        (device_id,),
    ).fetchone()
    if device is None:
        return None
    last_resort, arguments = False, (device[0], suite, now)
    row = None if spare else connection.execute(_ONE_TIME, arguments).fetchone()
    if row is None:
        last_resort = True
        row = connection.execute(_LAST_RESORT, arguments).fetchone()
    if row is None and spare:
        # Who publishes no last resort has nothing that could be saved for others.
        last_resort = False
        row = connection.execute(_ONE_TIME, arguments).fetchone()
    if row is None:
        return None
    (left,) = connection.execute(
        "SELECT count(*) FROM key_packages WHERE device = ? AND suite = ? AND last_resort = 0",
        (device[0], suite),
    ).fetchone()
    counts = _counts(connection, device[0], now) if last_resort or left < low else None
    return TakenKeyPackage(device[1], FoundKeyPackage(device_id, last_resort, row[0]), counts)
