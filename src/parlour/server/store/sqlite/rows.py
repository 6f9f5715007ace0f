"""Look-ups that several topics share. Each takes a connection inside a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final, NamedTuple

from parlour.errors import AccessError, Code, LimitError, NotFoundError, UsageError
from parlour.wire.envelope import Envelope
from parlour.wire.limits import MAX_STREAMS_PER_REQUEST
from parlour.wire.streams import StreamInfo

# With the inbox, a device can name all its streams in one request.
MAX_CONVERSATIONS: Final = MAX_STREAMS_PER_REQUEST - 1
# Behind every number that an entry can have.
_NO_END: Final = (1 << 63) - 1
_OF_MEMBER: Final = (
    f"streams.pk, members.first_seq, {_NO_END}, "  # noqa: S608 - a number
    "coalesce((SELECT min(first_seq) "
    "FROM former_members WHERE former_members.stream = members.stream "
    "AND former_members.account = members.account), members.first_seq) "
    "FROM members JOIN streams ON streams.pk = members.stream"
)


class DeviceRow(NamedTuple):
    """A device's keys in the database."""

    pk: int
    account: int


class Readable(NamedTuple):
    """A stream's key in the database, and the first and the last entry that may be read of it.

    `floor` is the first one of all times in which the account was a member.
    """

    pk: int
    first: int
    last: int = _NO_END
    floor: int = 0


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


def stream_pk(connection: sqlite3.Connection, stream_id: bytes) -> int:
    """The stream's key in the database, for whoever it is; raises ``stream.unknown``."""
    row = connection.execute("SELECT pk FROM streams WHERE stream_id = ?", (stream_id,)).fetchone()
    if row is None:
        raise NotFoundError(Code.STREAM_UNKNOWN)
    return int(row[0])


def member_stream(
    connection: sqlite3.Connection, device: DeviceRow, stream_id: bytes, *, former: bool = True
) -> Readable:
    """A stream that the device may read; raises ``stream.unknown``.

    One that exists and one that does not are refused alike, so that ids can't be tried out. Who
    was removed reads up to its removal for a while, unless `former` is False.
    """
    row = connection.execute(
        f"SELECT {_OF_MEMBER} WHERE stream_id = ? AND members.account = ? "
        "AND (streams.device IS NULL OR streams.device = ?)",
        (stream_id, device.account, device.pk),
    ).fetchone()
    if row is not None:
        return Readable(*row)
    if former:
        row = connection.execute(
            "SELECT former_members.stream, max(former_members.first_seq), "
            "max(former_members.last_seq), min(former_members.first_seq) FROM former_members "
            "JOIN streams ON streams.pk = former_members.stream "
            "WHERE stream_id = ? AND former_members.account = ? GROUP BY former_members.stream",
            (stream_id, device.account),
        ).fetchone()
    if row is None:
        raise NotFoundError(Code.STREAM_UNKNOWN)
    return Readable(*row)


def member_streams(
    connection: sqlite3.Connection, device: DeviceRow, after: bytes | None = None
) -> list[Readable]:
    """All streams that a device may read and goes on to be in, in the order of creation.

    With `after`, those behind that id, by their ids: so no id is looked up that may be another's.
    """
    order = "streams.pk" if after is None else "stream_id"
    rows = connection.execute(
        f"SELECT {_OF_MEMBER} WHERE members.account = ? "
        f"AND (streams.device IS NULL OR streams.device = ?) AND stream_id > ? ORDER BY {order}",
        (device.account, device.pk, after or b""),
    )
    return [Readable(*row) for row in rows]


def unseen_streams(connection: sqlite3.Connection, device: DeviceRow) -> list[Readable]:
    """Streams to which the device was welcomed, and its account removed before it has read any.

    What was said until then is for it. What it has read in an earlier time there does not count.
    """
    rows = connection.execute(
        "SELECT former_members.stream, first_seq, last_seq, first_seq FROM former_members "
        "WHERE account = :account AND NOT EXISTS (SELECT 1 FROM cursors "
        "WHERE cursors.device = :device AND cursors.stream = former_members.stream "
        "AND cursors.seq >= former_members.first_seq) "
        "AND EXISTS (SELECT 1 FROM parts JOIN entries ON entries.pk = parts.entry "
        "WHERE parts.device = :device AND entries.stream = former_members.stream "
        "AND seq BETWEEN first_seq AND last_seq) "
        "ORDER BY former_members.stream, first_seq DESC",
        {"account": device.account, "device": device.pk},
    )
    return [Readable(*row) for row in rows]


def check_room(connection: sqlite3.Connection, account: int) -> None:
    """Return if the account may have one conversation more; raises ``limit.count``."""
    (count,) = connection.execute(
        "SELECT count(*) FROM members JOIN streams ON streams.pk = stream "
        "WHERE account = ? AND device IS NULL",
        (account,),
    ).fetchone()
    if count >= MAX_CONVERSATIONS:
        raise LimitError(Code.LIMIT_COUNT, "conversations of an account")


def find_repeat(
    connection: sqlite3.Connection, sender: DeviceRow, stream: int, client_id: bytes
) -> tuple[int, int] | None:
    """Number and time of the entry that the device appended under that id before."""
    row = connection.execute(
        "SELECT stream, seq, stored_at FROM entries WHERE sender = ? AND client_id = ?",
        (sender.pk, client_id),
    ).fetchone()
    if row is None:
        return None
    if row[0] != stream:
        raise UsageError(Code.USAGE_INVALID, "the client id was used in another stream")
    return row[1], row[2]


def insert_entry(  # noqa: PLR0913  # all that an entry is
    connection: sqlite3.Connection,
    sender: DeviceRow,
    stream: int,
    seq: int,
    client_id: bytes,
    envelope: Envelope,
    parts: Iterable[tuple[int, bytes]],
    *,
    now: int,
    expires_at: int | None = None,
) -> None:
    """Insert an entry with its parts, each for a device by its key in the database."""
    entry = connection.execute(
        "INSERT INTO entries (stream, seq, sender, client_id, format, suite, key_id, body, "
        "stored_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            stream,
            seq,
            sender.pk,
            client_id,
            envelope.format,
            envelope.suite,
            envelope.key_id,
            envelope.body,
            now,
            expires_at,
        ),
    ).lastrowid
    connection.executemany(
        "INSERT INTO parts (entry, device, data) VALUES (?, ?, ?)",
        [(entry, device, data) for device, data in parts],
    )


def last_of(connection: sqlite3.Connection, stream: int) -> int:
    """The number of a stream's newest entry, by its key in the database."""
    row = connection.execute("SELECT last_seq FROM streams WHERE pk = ?", (stream,)).fetchone()
    return int(row[0])


def describe(connection: sqlite3.Connection, stream: int, first: int = 0) -> StreamInfo:
    """Describe a stream, by its key in the database, to whom may read it from `first` on."""
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
    stream_id, kind, genesis, last = row
    (kept,) = connection.execute(
        "SELECT min(seq) FROM entries WHERE stream = ? AND body IS NOT NULL AND seq >= ?",
        (stream, first),
    ).fetchone()
    accounts = [account_id for (account_id,) in members]
    return StreamInfo(stream_id, kind, accounts, genesis, last, kept or last + 1)
