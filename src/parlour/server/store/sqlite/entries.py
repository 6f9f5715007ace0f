"""Append an entry: membership, parts, epoch and number, in one transaction.

This is the hot path: about eight statements for a message between two people.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from parlour.errors import AccessError, Code, ConflictError, NotFoundError, UsageError
from parlour.server.store.records import AppendedEntry
from parlour.server.store.sqlite.rows import DeviceRow, active_device
from parlour.wire.streams import Append


class _Stream(NamedTuple):
    pk: int
    epoch: int
    last_seq: int
    device: int | None


def append(
    connection: sqlite3.Connection, device_id: bytes, request: Append, now: int
) -> AppendedEntry:
    """See `interface.Streams.append`."""
    sender = active_device(connection, device_id)
    stream = _find_stream(connection, request.stream)
    members = _members(connection, stream.pk)
    _check_writer(connection, sender, stream, members)
    owner = _inbox_owner(connection, stream)
    earlier = _find_repeat(connection, sender, stream, request.client_id)
    if earlier is not None:
        return AppendedEntry(*earlier, True, tuple(members.values()), owner)
    parts = _check_parts(connection, stream, owner, request)
    epoch = _next_epoch(stream, request)
    seq = stream.last_seq + 1
    connection.execute(
        "UPDATE streams SET last_seq = ?, epoch = ? WHERE pk = ?", (seq, epoch, stream.pk)
    )
    _insert(connection, sender, stream, seq, request, parts, now)
    return AppendedEntry(seq, now, False, tuple(members.values()), owner)


def _find_stream(connection: sqlite3.Connection, stream_id: bytes) -> _Stream:
    row = connection.execute(
        "SELECT pk, epoch, last_seq, device FROM streams WHERE stream_id = ?", (stream_id,)
    ).fetchone()
    if row is None:
        raise NotFoundError(Code.STREAM_UNKNOWN)
    return _Stream(*row)


def _members(connection: sqlite3.Connection, stream: int) -> dict[int, bytes]:
    return dict(
        connection.execute(
            "SELECT accounts.pk, account_id FROM members "
            "JOIN accounts ON accounts.pk = members.account WHERE stream = ?",
            (stream,),
        ).fetchall()
    )


def _check_writer(
    connection: sqlite3.Connection, sender: DeviceRow, stream: _Stream, members: dict[int, bytes]
) -> None:
    """Members write; to an inbox also those who share a conversation with its owner."""
    if sender.account in members:
        return
    if stream.device is None:
        raise NotFoundError(Code.STREAM_UNKNOWN)
    (owner,) = members
    shared = connection.execute(
        "SELECT 1 FROM members mine JOIN members theirs ON theirs.stream = mine.stream "
        "WHERE mine.account = ? AND theirs.account = ? LIMIT 1",
        (sender.account, owner),
    ).fetchone()
    if shared is None:
        raise AccessError(Code.STREAM_FORBIDDEN)


def _inbox_owner(connection: sqlite3.Connection, stream: _Stream) -> bytes | None:
    if stream.device is None:
        return None
    row = connection.execute("SELECT device_id FROM devices WHERE pk = ?", (stream.device,))
    return bytes(row.fetchone()[0])


def _find_repeat(
    connection: sqlite3.Connection, sender: DeviceRow, stream: _Stream, client_id: bytes
) -> tuple[int, int] | None:
    row = connection.execute(
        "SELECT stream, seq, stored_at FROM entries WHERE sender = ? AND client_id = ?",
        (sender.pk, client_id),
    ).fetchone()
    if row is None:
        return None
    if row[0] != stream.pk:
        raise UsageError(Code.USAGE_INVALID, "the client id was used in another stream")
    return row[1], row[2]


def _check_parts(
    connection: sqlite3.Connection, stream: _Stream, owner: bytes | None, request: Append
) -> list[tuple[int, bytes]]:
    """Resolve the parts' devices; every one must be an active device of a member."""
    named = {part.device_id: part.data for part in request.parts}
    if len(named) != len(request.parts):
        raise ConflictError(Code.STREAM_PARTS, "a device is named twice")
    if owner is not None and named.keys() != {owner}:
        raise ConflictError(Code.STREAM_PARTS, "an inbox takes a part for its device")
    if not named:
        return []
    allowed = dict(
        connection.execute(
            "SELECT device_id, devices.pk FROM members "
            "JOIN devices ON devices.account = members.account AND devices.active = 1 "
            "WHERE members.stream = ?",
            (stream.pk,),
        ).fetchall()
    )
    if not named.keys() <= allowed.keys():
        raise ConflictError(Code.STREAM_PARTS)
    return [(allowed[device_id], data) for device_id, data in named.items()]


def _next_epoch(stream: _Stream, request: Append) -> int:
    if request.expect_epoch is None:
        return stream.epoch
    if request.expect_epoch != stream.epoch:
        raise ConflictError(Code.STREAM_EPOCH)
    return stream.epoch + 1


def _insert(
    connection: sqlite3.Connection,
    sender: DeviceRow,
    stream: _Stream,
    seq: int,
    request: Append,
    parts: list[tuple[int, bytes]],
    now: int,
) -> None:
    envelope = request.envelope
    entry = connection.execute(
        "INSERT INTO entries (stream, seq, sender, client_id, format, suite, key_id, body, "
        "stored_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            stream.pk,
            seq,
            sender.pk,
            request.client_id,
            envelope.format,
            envelope.suite,
            envelope.key_id,
            envelope.body,
            now,
            request.expires_at,
        ),
    ).lastrowid
    connection.executemany(
        "INSERT INTO parts (entry, device, data) VALUES (?, ?, ?)",
        [(entry, device, data) for device, data in parts],
    )
