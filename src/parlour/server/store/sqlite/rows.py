"""Look-ups that several topics share. Each takes a connection inside a transaction."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from parlour.errors import AccessError, Code, NotFoundError
from parlour.wire.streams import StreamInfo


class DeviceRow(NamedTuple):
    """A device's keys in the database."""

    pk: int
    account: int


def account_pk(connection: sqlite3.Connection, account_id: bytes) -> int:
    """The account's key in the database; raises ``account.unknown``."""
    row = connection.execute("SELECT pk FROM accounts WHERE account_id = ?", (account_id,))
    found = row.fetchone()
    if found is None:
        raise NotFoundError(Code.ACCOUNT_UNKNOWN)
    return int(found[0])


def active_device(connection: sqlite3.Connection, device_id: bytes) -> DeviceRow:
    """The device, if it may act; raises ``device.removed``."""
    row = connection.execute(
        "SELECT pk, account FROM devices WHERE device_id = ? AND active = 1", (device_id,)
    ).fetchone()
    if row is None:
        raise AccessError(Code.DEVICE_REMOVED)
    return DeviceRow(*row)


def readable_stream(connection: sqlite3.Connection, device: DeviceRow, stream_id: bytes) -> int:
    """The key of a stream that the device may read; raises ``stream.unknown``.

    One that exists and one that does not are refused alike, so that ids can't be tried out.
    """
    row = connection.execute(
        "SELECT streams.pk FROM streams JOIN members ON members.stream = streams.pk "
        "WHERE stream_id = ? AND members.account = ? "
        "AND (streams.device IS NULL OR streams.device = ?)",
        (stream_id, device.account, device.pk),
    ).fetchone()
    if row is None:
        raise NotFoundError(Code.STREAM_UNKNOWN)
    return int(row[0])


def readable_streams(connection: sqlite3.Connection, device: DeviceRow) -> list[int]:
    """The keys in the database of all streams that a device may read, in the order of creation."""
    rows = connection.execute(
        "SELECT streams.pk FROM members JOIN streams ON streams.pk = members.stream "
        "WHERE members.account = ? AND (streams.device IS NULL OR streams.device = ?) "
        "ORDER BY streams.pk",
        (device.account, device.pk),
    )
    return [row[0] for row in rows]


def last_of(connection: sqlite3.Connection, stream: int) -> int:
    """The number of a stream's newest entry, by its key in the database."""
    row = connection.execute("SELECT last_seq FROM streams WHERE pk = ?", (stream,)).fetchone()
    return int(row[0])


def describe(connection: sqlite3.Connection, stream: int) -> StreamInfo:
    """Describe a stream, by its key in the database."""
    row = connection.execute(
        "SELECT stream_id, kind, genesis, last_seq FROM streams WHERE pk = ?", (stream,)
    ).fetchone()
    if row is None:
        raise NotFoundError(Code.STREAM_UNKNOWN)
    members = connection.execute(
        "SELECT account_id FROM members JOIN accounts ON accounts.pk = account "
        "WHERE stream = ? ORDER BY members.pk",
        (stream,),
    )
    return StreamInfo(row[0], row[1], [member[0] for member in members], row[2], row[3])
